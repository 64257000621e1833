"""ONNX models that others made: what can be a part of an artifact, and why another cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mainstem.errors import ModelError, UnknownName
from mainstem.models.graphs.builder import CONTRIB, ML, OPSET

DOMAINS = ("", "ai.onnx", ML, CONTRIB)
"""The operators that ONNX Runtime has by itself."""

KINDS = {1: "FLOAT", 11: "DOUBLE", 7: "INT64", 6: "INT32", 9: "BOOL", 8: "STRING"}
"""The types of inputs, by ONNX's numbers. A text column is for STRING, a number for the others."""

DYNAMIC = "a first dimension without a size, so that any number of rows is scored"


@dataclass(frozen=True)
class Given:
    """An input of a model: the inputs of Mainstem in it, side by side. `flat`: it has one dimension."""

    name: str
    kind: str
    columns: tuple[int, ...]
    flat: bool


@dataclass(frozen=True, eq=False)
class Own:
    """A model that can be a part of an artifact. `numbers` and `texts` are its inputs; `output` is the place of the one
    with the scores, which has `width` of them for each row, 1 of a flat one; None if it does not say."""

    model: Any
    inputs: tuple[Given, ...]
    output: int
    width: int | None


def own(
    content: bytes,
    where: str,
    floats: Sequence[str],
    strings: Sequence[str],
    *,
    order: Sequence[str],
    output: str | None,
) -> Own:
    """Return a model with its inputs bound to columns. `order` are those of an input with several columns.

    An input that is named like a column is that column; another one is all numbers, or all texts, side by side.
    Raises `ModelError` with what is wrong, and `UnknownName`.
    """
    model = _portable(_read(content, where), where)
    inputs = tuple(_given(each, where, floats, strings, order) for each in _inputs(model))
    names = [each.name for each in model.graph.output]
    place = _output(model, where) if output is None else _named(output, names, where)
    return Own(model, inputs, place, _width(model.graph.output[place], where))


def _read(content: bytes, where: str) -> Any:
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as problem:
        raise ModelError("the file is not an ONNX model", where=where, got=str(problem)[:200]) from None
    for tensor in chain.from_iterable(map(_tensors, (model.graph, *model.functions))):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                "the model keeps numbers in files beside it",
                where=where,
                got=f"{tensor.name} in {_location(tensor)!r}",
                expected="a model in one file: paths that a model names are never opened",
                hint="onnx.save(model, path, save_as_external_data=False)",
            )
    return model


def _location(tensor: Any) -> str:
    return next((each.value for each in tensor.external_data if each.key == "location"), "")


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield the tensors of a graph, or of a function, with those of the graphs in it."""
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in [attribute.sparse_tensor, *attribute.sparse_tensors]:
                yield from (sparse.values, sparse.indices)
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _tensors(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(inner)


def _portable(model: Any, where: str) -> Any:
    """Return the model without functions of its own, in the opset of artifacts."""
    import onnx
    from onnx import inliner, version_converter

    if len(model.functions):
        model = inliner.inline_local_functions(model)
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in _nodes(model.graph) if node.domain not in DOMAINS})
    if foreign:
        raise ModelError(
            "the model has custom operators",
            where=where,
            got=", ".join(foreign[:5]),
            expected="operators of ONNX and of ONNX Runtime itself: no library of others is loaded",
        )
    if len(model.graph.sparse_initializer):
        raise ModelError("the model has sparse constants", where=where, expected="dense ones")
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), OPSET)
    try:
        if opset != OPSET:
            model = version_converter.convert_version(model, OPSET)
        onnx.checker.check_model(model)
    except Exception as problem:
        raise ModelError(
            "the model cannot be a part of an artifact" if opset == OPSET else "the model's opset cannot be converted",
            where=where,
            got=f"opset {opset}: {' '.join(str(problem).split())[:200]}",
            expected=f"opset {OPSET}",
            hint=f"export it again with opset {OPSET}",
        ) from None
    return model


def _inputs(model: Any) -> list[Any]:
    constants = {each.name for each in model.graph.initializer}
    return [each for each in model.graph.input if each.name not in constants]


def _given(value: Any, where: str, floats: Sequence[str], strings: Sequence[str], order: Sequence[str]) -> Given:
    name, tensor = value.name, value.type.tensor_type
    kind = KINDS.get(tensor.elem_type)
    if kind is None:
        raise ModelError(
            f"the input {name!r} has a type that columns do not have",
            where=where,
            got=str(value.type).strip()[:100],
            expected=", ".join(KINDS.values()).lower(),
        )
    sizes = _sizes(tensor, f"input {name!r}", where)
    block, word = (strings, "texts") if kind == "STRING" else (floats, "numbers")
    if name in (*floats, *strings):
        if name not in block:
            raise ModelError(f"the input {name!r} is of {word}, and the column is not", where=where, got=kind.lower())
        columns: tuple[int, ...] = (block.index(name),)
    elif len(sizes) == 1 or sizes[1] == 1:
        raise UnknownName.among("input of the model", name, [*floats, *strings], of=f"the model {where}")
    else:
        chosen = [each for each in order if each in block] if order else list(block)
        columns = tuple(block.index(each) for each in chosen)
    if len(sizes) > 2 or (len(sizes) == 2 and sizes[1] not in (None, len(columns))):
        raise ModelError(
            f"the input {name!r} has another shape",
            where=where,
            got=f"[rows, {', '.join('?' if size is None else str(size) for size in sizes[1:])}]",
            expected=f"[rows, {len(columns)}]: {', '.join(block[j] for j in columns)}",
            hint="inputs=[…] names the columns in their order",
        )
    return Given(name, kind, columns, len(sizes) == 1)


def _sizes(tensor: Any, what: str, where: str) -> list[int | None]:
    """Return the sizes of a tensor of rows, the first of which is not fixed."""
    if not tensor.HasField("shape"):
        return [None, None]
    sizes = [each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim]
    if not sizes or sizes[0] not in (None, 0, -1):
        got = f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"
        raise ModelError(f"the {what} has a fixed number of rows", where=where, got=got, expected=DYNAMIC)
    return sizes


def _output(model: Any, where: str) -> int:
    """Return the place of the output with the scores: the only one of numbers, or the last of them."""
    able = [n for n, each in enumerate(model.graph.output) if each.type.tensor_type.elem_type in (1, 11)]
    if not able:
        kinds = [each.type.WhichOneof("value") for each in model.graph.output]
        raise ModelError(
            "the model has no output of numbers",
            where=where,
            got=", ".join(f"{each.name}: {kind}" for each, kind in zip(model.graph.output, kinds, strict=True)),
            expected="a tensor of scores",
            hint="skl2onnx: options={'zipmap': False}" if "sequence_type" in kinds else None,
        )
    return able[-1]


def _named(output: str, names: Sequence[str], where: str) -> int:
    if output not in names:
        raise UnknownName.among("output of the model", output, names, of=f"the model {where}")
    return names.index(output)


def _width(value: Any, where: str) -> int | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    sizes = _sizes(value.type.tensor_type, f"output {value.name!r}", where)
    return 1 if len(sizes) == 1 else sizes[1]

"""Rows and answers as the named tensors of the Open Inference Protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.errors import RequestError, close_matches
from mainstem.masking import brief, brief_value
from mainstem.serving.predictor import Predictor

INTEGERS = frozenset({f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)})
FLOATS = frozenset({"FP16", "FP32", "FP64"})

_MOST = 2**63 - 1
"""The largest dimension of a shape."""

Tensor = dict[str, Any]


def datatype(type: str) -> str:
    """Return the data type of an Ibis type; of a list, that of its elements. Instants and dates are ISO 8601 texts."""
    parsed = dt.dtype(type)
    if isinstance(parsed, dt.Array):
        return datatype(str(parsed.value_type))
    if parsed.is_boolean():
        return "BOOL"
    return "INT64" if parsed.is_integer() else "FP64" if parsed.is_floating() else "BYTES"


def is_list(type: str) -> bool:
    """Return whether an Ibis type is one of lists."""
    return isinstance(dt.dtype(type), dt.Array)


def rows_of(predictor: Predictor, given: Any, where: str) -> list[dict[str, Any]]:
    """Return the rows of a request's inputs: each is a tensor `[rows]` or `[rows, 1]`, a list is `[rows, elements]`.

    Raises `RequestError`.
    """
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given) or not given:
        raise RequestError("`inputs` is not a list of tensors", where=where, got=brief_value(given), expected=_A_TENSOR)
    types = {**predictor.schema.columns, **predictor.schema.optional}
    columns: dict[str, list[Any]] = {}
    for tensor in given:
        name = tensor.get("name")
        if not isinstance(name, str) or name not in types:
            raise _unknown("input", brief(str(name)), types, where)
        if name in columns:
            raise RequestError(f"the input {name!r} is given twice", where=where)
        columns[name] = _column(tensor, types[name], f"{where}, input {name}")
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        got = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise RequestError("the inputs differ in rows", where=where, got=got, expected="the same number of rows")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(tensor: Mapping[str, Any], type: str, where: str) -> list[Any]:
    wanted, kind = datatype(type), tensor.get("datatype")
    fits = isinstance(kind, str) and (
        kind == wanted
        or (wanted == "INT64" and kind in INTEGERS)
        or (wanted == "FP64" and (kind in FLOATS or kind in INTEGERS))
    )
    if not fits:
        raise RequestError("the tensor has the wrong datatype", where=where, got=brief_value(kind), expected=wanted)
    shape, data, lists = tensor.get("shape"), tensor.get("data"), is_list(type)
    if not isinstance(shape, list) or not _has_shape(shape, lists):
        got, expected = brief_value(shape), "[rows, elements]" if lists else "[rows]"
        raise RequestError("the tensor has the wrong shape", where=where, got=got, expected=expected)
    if not isinstance(data, list):
        hint = "binary data is not supported: send JSON"
        raise RequestError("the tensor has no `data`", where=where, got=brief_value(data), expected="a list", hint=hint)
    flat = list(chain.from_iterable(each if isinstance(each, list) else [each] for each in data))
    if len(flat) != math.prod(shape):
        got, expected = f"{len(flat)} elements", f"as many as the shape {brief_value(shape)} has"
        raise RequestError("the tensor has another number of elements", where=where, got=got, expected=expected)
    return [flat[start : start + shape[1]] for start in range(0, len(flat), shape[1])] if lists else flat


def _has_shape(shape: Sequence[Any], lists: bool) -> bool:
    if not all(each.__class__ is int and 0 <= each <= _MOST for each in shape):
        return False
    return len(shape) == 2 and shape[1] > 0 if lists else len(shape) in (1, 2) and shape[1:] in ([], [1])


def metadata(predictor: Predictor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the inputs and the outputs of an endpoint."""
    schema = predictor.schema
    inputs: list[Tensor] = [
        {"name": name, "datatype": datatype(type), "shape": [-1, -1] if is_list(type) else [-1]}
        for name, type in schema.columns.items()
    ]
    for name, type in schema.optional.items():
        inputs.append({"name": name, "datatype": datatype(type), "shape": [-1], "parameters": {"optional": True}})
    outputs = [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in _outputs(predictor)]
    return inputs, outputs


def tensors_of(
    predictor: Predictor, answers: Sequence[Mapping[str, Any]], wanted: Sequence[str] | None, where: str
) -> list[Tensor]:
    """Return answers as tensors: those that are wanted, or all. Raises `RequestError`."""
    known = {name: (kind, shape) for name, kind, shape in _outputs(predictor)}
    for name in wanted or ():
        if name not in known:
            raise _unknown("output", name, known, where)
    return [_tensor(predictor, name, *known[name], answers) for name in (known if wanted is None else wanted)]


def _tensor(
    predictor: Predictor, name: str, kind: str, shape: list[int], answers: Sequence[Mapping[str, Any]]
) -> Tensor:
    make = _MADE.get(name) or partial(_field, name)
    if name == "scores":
        data = [answer.get("scores", {}).get(one) for answer in answers for one in predictor.scorer.classes]
    else:
        data = [make(answer) for answer in answers]
    return {"name": name, "datatype": kind, "shape": [len(answers), *shape[1:]], "data": data}


def _field(name: str, answer: Mapping[str, Any]) -> Any:
    return answer.get(name)


def _outputs(predictor: Predictor) -> list[tuple[str, str, list[int]]]:
    """Return the name, data type and shape of each output. Lists of candidates and forecasts are JSON."""
    found = [("id", "BYTES", [-1]), ("time", "BYTES", [-1])]
    if predictor.heavy:
        return [*found, ("answer", "BYTES", [-1]), ("flags", "BYTES", [-1])]
    found.append(("score", "FP64", [-1]))
    if predictor.policy is not None:
        found += [("decision", "BYTES", [-1]), ("values", "BYTES", [-1])]
    elif predictor.threshold is not None:
        found.append(("decision", "BOOL", [-1]))
    if predictor.scorer.manifest.task in ("multiclass", "quantile"):
        found.append(("scores", "FP64", [-1, len(predictor.scorer.classes)]))
        found += [] if predictor.scorer.manifest.task == "quantile" else [("label", "BYTES", [-1])]
    return [*found, ("flags", "BYTES", [-1])]


def _unknown(kind: str, name: str, known: Mapping[str, Any], where: str) -> RequestError:
    expected, near = ", ".join(known), close_matches(name, list(known))
    return RequestError(f"unknown {kind} {name!r}", where=where, got=name, expected=expected, hint=near)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_MADE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "flags": lambda answer: ",".join(answer.get("flags", ())),
    "values": lambda answer: _text(answer.get("values")),  # a repeated event may have been answered without
    "answer": lambda answer: _text(answer.get("decision", answer.get("forecast"))),
}
_A_TENSOR = '[{"name": "amount", "shape": [1], "datatype": "FP64", "data": [20.0]}]'

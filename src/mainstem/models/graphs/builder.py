"""Build ONNX graphs by hand: nodes, constants, and a checked model of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MissingExtra

OPSET, ML_OPSET, IR_VERSION = 18, 3, 9
"""The opset: old enough for the runtimes of Spark images, new enough for trees with float64 thresholds."""

ML = "ai.onnx.ml"

CONTRIB = "com.microsoft"
"""Operators of ONNX Runtime itself."""


class Builder:
    """An unfinished graph. `floats` and `strings` name its inputs. Each method returns the name of a new tensor."""

    floats: str = "floats"
    strings: str = "strings"

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise MissingExtra.named("learn", "onnx") from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._domains: dict[str, int] = {}
        self._shapes: list[Any] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with a single output."""
        if domain == CONTRIB:
            self._domains[domain] = 1
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def shaped(self, tensor: str, kind: str, shape: Sequence[int | str]) -> str:
        """Say what a tensor of an operator of ONNX Runtime is. Without it, onnx 1.23's check crashes the process."""
        kinds = self._onnx.TensorProto
        self._shapes.append(self._onnx.helper.make_tensor_value_info(tensor, getattr(kinds, kind), list(shape)))
        return tensor

    def top(self, tensor: str, count: int) -> str:
        """Add the places [rows, count] of the smallest values of each row. Of equal values, the first comes first."""
        values, places = (f"topk_{kind}_{len(self._nodes)}" for kind in ("values", "places"))
        given = [tensor, self.constant(np.array([count], np.int64))]
        self._nodes.append(self._onnx.helper.make_node("TopK", given, [values, places], axis=1, largest=0, sorted=1))
        return places

    def ascending(self, tensor: str, count: int) -> str:
        """Add the `count` values of each row in ascending order."""
        values, places = (f"topk_{kind}_{len(self._nodes)}" for kind in ("values", "places"))
        given = [tensor, self.constant(np.array([count], np.int64))]
        self._nodes.append(self._onnx.helper.make_node("TopK", given, [values, places], axis=1, largest=0, sorted=1))
        return values

    def include(self, model: Any, inputs: Mapping[str, str]) -> list[str]:
        """Add the nodes of a model whose inputs are tensors of this graph. Return the names of its outputs."""
        prefix = f"part_{len(self._nodes)}_"
        own = [each.name for each in model.graph.input]
        part = self._onnx.compose.add_prefix(model, prefix)
        for name in own:
            self._nodes.append(self._onnx.helper.make_node("Identity", [inputs[name]], [prefix + name]))
        self._nodes += part.graph.node
        self._constants += part.graph.initializer
        for opset in part.opset_import:
            if opset.domain not in ("", "ai.onnx", ML):
                self._domains[opset.domain] = opset.version
        return [each.name for each in part.graph.output]

    @contextmanager
    def renamed(self, floats: str, strings: str) -> Iterator[None]:
        """Give the nodes that are added other tensors for the inputs."""
        before = self.floats, self.strings
        self.floats, self.strings = floats, strings
        try:
            yield
        finally:
            self.floats, self.strings = before

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant tensor of numbers."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(self.tensor(values, name))
        return name

    def tensor(self, values: NDArray[Any], name: str = "") -> Any:
        """Return numbers as an ONNX tensor, for an attribute."""
        return self._onnx.numpy_helper.from_array(values, name)

    def cast(self, tensor: str, to: str) -> str:
        """Cast a tensor to `FLOAT`, `DOUBLE` or `INT64`."""
        return self.add("Cast", tensor, to=getattr(self._onnx.TensorProto, to))

    def concat(self, tensors: Sequence[str]) -> str:
        """Concatenate matrices side by side."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def model(self, widths: Mapping[str, int], score: str, shape: Sequence[int | str]) -> bytes:
        """Return the finished model: inputs `[rows, width]` of each kind with columns, to the output `score`
        (float64)."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        kinds = {self.floats: types.FLOAT, self.strings: types.STRING}
        self._nodes.append(helper.make_node("Identity", [score], ["score"]))
        graph = helper.make_graph(
            self._nodes,
            "mainstem",
            [helper.make_tensor_value_info(n, kinds[n], ["rows", width]) for n, width in widths.items() if width],
            [helper.make_tensor_value_info("score", types.DOUBLE, list(shape))],
            self._constants,
            value_info=self._shapes,
        )
        domains = {"": OPSET, ML: ML_OPSET, **self._domains}
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mainstem")
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

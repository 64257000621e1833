"""Build ONNX graphs by hand: nodes, constants, and a checked model of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mainstem.errors import MissingExtra

OPSET, ML_OPSET, IR_VERSION = 18, 3, 9
"""The opset: old enough for the runtimes of Spark images, new enough for trees with float64 thresholds."""

ML = "ai.onnx.ml"


class Builder:
    """An unfinished graph. `floats` and `strings` name its inputs. Each method returns the name of a new tensor."""

    floats, strings = "floats", "strings"

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise MissingExtra.named("learn", "onnx") from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with a single output."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

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
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mainstem")
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

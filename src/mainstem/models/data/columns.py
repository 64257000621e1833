"""Convert columns of requests and tables to the two blocks of model inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError, close_matches
from mainstem.models.data.rows import NULL, Matrix, Rows, Strings
from mainstem.nodes.records import InputColumn

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, Any]
"""Lists or arrays of equal length by name; None and NaN are missing."""


def split_inputs(inputs: Sequence[InputColumn]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the float inputs and of the string inputs, each in order."""
    return (
        tuple(column.name for column in inputs if column.type == "float"),
        tuple(column.name for column in inputs if column.type == "string"),
    )


def lacking(inputs: Sequence[InputColumn], columns: Mapping[str, str]) -> list[str]:
    """Return the inputs that columns (name → Ibis type) do not have, or have as texts in place of numbers, or the
    reverse."""
    import ibis

    found = []
    for each in inputs:
        given, is_text = columns.get(each.name), each.type == "string"
        if given is None:
            found.append(each.name)
        elif ibis.dtype(given).is_string() != is_text:
            found.append(f"{each.name} as {'texts' if is_text else 'numbers'}")
    return found


def floats_of(columns: Columns, names: Sequence[str]) -> Matrix:
    """Return [n, F] float32: booleans as 0 and 1, missing as NaN, overflow as ±inf. Raises `ModelError`."""
    block = np.empty((_length(columns, names), len(names)), np.float32)
    with np.errstate(over="ignore"):
        for j, name in enumerate(names):
            try:
                block[:, j] = columns[name]
            except (KeyError, TypeError, ValueError) as problem:
                raise _refused(columns, name, "numbers") from problem
    return block


def strings_of(columns: Columns, names: Sequence[str]) -> Strings:
    """Return [n, S] texts, missing as `NULL`. Raises `ModelError`."""
    block = np.empty((_length(columns, names), len(names)), object)
    for j, name in enumerate(names):
        try:
            block[:, j] = [NULL if value is None else _text(value) for value in columns[name]]
        except (KeyError, TypeError, ValueError) as problem:
            raise _refused(columns, name, "texts") from problem
    return block


def rows_of(table: pa.Table, inputs: Sequence[InputColumn]) -> Rows:
    """Return the inputs of an Arrow table with these columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    floats, strings = split_inputs(inputs)
    numbers = np.empty((len(table), len(floats)), np.float32)
    for j, name in enumerate(floats):
        wide = pc.cast(table[name], pa.float64(), safe=False)
        with np.errstate(over="ignore"):
            numbers[:, j] = wide.to_numpy()
    texts = np.empty((len(table), len(strings)), object)
    for j, name in enumerate(strings):
        texts[:, j] = pc.cast(table[name], pa.string()).fill_null(NULL).to_numpy()
    return Rows(numbers, texts)


def _length(columns: Columns, names: Sequence[str]) -> int:
    name = names[0] if names else next(iter(columns), "")
    return len(columns[name]) if name in columns else 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value != value:
        return NULL
    raise TypeError(f"{value!r} is not a text")


def _refused(columns: Columns, name: str, kind: str) -> ModelError:
    if name not in columns:
        return ModelError(f"the input {name!r} is missing", hint=close_matches(name, columns))
    lengths = {len(columns[n]) for n in columns if hasattr(columns[n], "__len__")}
    found: NDArray[Any] | list[Any] = list(columns[name][:3])
    if len(lengths) > 1:
        return ModelError("the inputs differ in length", got=f"{name!r} has {len(columns[name])} rows")
    return ModelError(f"the input {name!r} cannot be read", got=repr(found), expected=kind)

"""Targets of two values: which one is to be predicted, and how a declaration says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstem.errors import ModelError
from mainstem.nodes.models import Task
from mainstem.nodes.outcomes import condition_of

if TYPE_CHECKING:
    import pyarrow as pa

YES = ("yes", "y", "true", "t", "1", "positive")
TRUTHS = (["false", "true"], ["0", "1"])


def positive(values: Sequence[str]) -> str:
    """Return which of two values is the one to predict: yes, true or 1; else the last in order."""
    return next((value for value in values if value.lower() in YES), values[-1])


def compared(target: Any, value: str) -> str:
    """Return the declaration that compares a target with a value: `target=_.status == "late"`."""
    target = condition_of(target)
    if isinstance(target, str):
        target = f"_.{target}" if target.isidentifier() else f'_["{target}"]'
    return f"target={target} == {value}"


def check_binary(values: pa.ChunkedArray, target: Any) -> None:
    """Refuse two values that are neither true and false nor 1 and 0, which do not say which one to predict. Raises
    `ModelError`."""
    two = two_of(values)
    if two and [_text(value) for value in two] not in TRUTHS:
        raise ModelError(
            "a binary target must be true or false",
            got=", ".join(_text(value) for value in two),
            hint=f"compare it with a value: {_predicting(target, two)}",
        )


def told_of_two(values: pa.ChunkedArray, target: Any, task: Task) -> str | None:
    """Return what is said of a target of two values that is not learned as a binary one; None for any other."""
    if task not in ("regression", "multiclass") or not (two := two_of(values)):
        return None
    said = " and ".join(_text(value) for value in two)
    return f"the target has only the values {said}: {_predicting(target, two)} is binary, with a threshold"


def two_of(values: pa.ChunkedArray) -> list[Any]:
    """Return the values of a target if it has exactly two, in order, else none. Null and NaN are no value."""
    found = sorted(value for value in values.unique().drop_null().to_pylist() if value == value)
    return found if len(found) == 2 else []


def _predicting(target: Any, two: Sequence[Any]) -> str:
    texts = [_text(value) for value in two]
    value = positive(texts)
    is_text = isinstance(two[0], str)
    return compared(target, '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if is_text else value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Functions of the engine that give equal results for equal arguments, which Ibis assumes of none."""

from __future__ import annotations

from typing import Any

import ibis.expr.operations as ops

_OF_REWRITES = ("epoch_us", "try", "floor", "ceil", "round")
_OF_VERBS = ("try_strptime", "timezone", "nfc_normalize", "strlen")
_PURE = frozenset((*_OF_REWRITES, *_OF_VERBS))


def is_pure(op: Any) -> bool:
    """Return whether an operation is a function of the engine that Mainstem itself uses, and always the same."""
    return isinstance(op, ops.ScalarUDF) and op.__func_name__ in _PURE

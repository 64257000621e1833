"""What DuckDB does faster when it is said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import ibis
import ibis.expr.operations as ops

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def quicker(expression: ibis.Table) -> ibis.Table:
    """The same rows; instants as microseconds since 1970 by `epoch_us`, a hundred times as fast as `DATE_DIFF`."""

    def said(node: Any, rebuilt: Mapping[str, Any] | None) -> Any:
        node = node.__recreate__(rebuilt) if rebuilt else node
        return _epoch_us()(node.left.to_expr()).op() if _is_since_1970(node) else node

    rewritten: ibis.Table = expression.op().replace(said).to_expr()
    return rewritten


def _is_since_1970(node: Any) -> bool:
    if not isinstance(node, ops.TimestampDelta) or not isinstance(node.right, ops.Literal):
        return False
    return bool(node.part.value == "microsecond" and node.right.value == _EPOCH)


@cache
def _epoch_us() -> Any:
    @ibis.udf.scalar.builtin(signature=(("timestamp('UTC')",), "int64"), name="epoch_us")
    def epoch_us(at): ...  # type: ignore[no-untyped-def]

    return epoch_us

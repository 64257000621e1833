"""What is delivered to a target, and the interface of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from mainstem.errors import SinkError

if TYPE_CHECKING:
    import pyarrow as pa


class Part(NamedTuple):
    """The rows of one data file of the snapshot, and a name that is different for other rows."""

    name: str
    rows: Callable[[], pa.RecordBatchReader]


@dataclass(frozen=True)
class Load:
    """The rows to deliver, in the columns of `schema` (Ibis types).

    `rows` are those to add, or to replace by `key`; `gone` are the keys of those to remove. With `whole` the rows are
    all that the relation has, and `gone` the keys that the target may have of what was sent to it; a target that knows
    better what it has takes that instead. `mark` names the snapshot, and `has` is the mark that the target had when the
    load was made. `parts` are all rows by data file; together they are one snapshot too.
    """

    has: str | None
    mark: str
    snapshot: int
    schema: Mapping[str, str]
    key: tuple[str, ...]
    whole: bool
    rows: Callable[[], pa.RecordBatchReader]
    gone: Callable[[], pa.RecordBatchReader]
    parts: Sequence[Part]


class Sent(NamedTuple):
    """How many rows were written and removed. `removed` is 0 where a target does not count them."""

    rows: int
    removed: int = 0


def other_key(former: str, key: Sequence[str], where: str, hint: str) -> SinkError:
    """Return the error for a sink whose key differs from that of the rows at its target."""
    return SinkError(
        "the target has rows by another key",
        where=where,
        got=f"key={', '.join(key)}",
        expected=f"key={former}, by which the rows were delivered",
        hint=hint,
    )


class Target(Protocol):
    """Where rows go. If it `remembers`, its mark tells what it has, and without one it has nothing."""

    remembers: ClassVar[bool]
    keyed: ClassVar[bool]

    def mark(self) -> str | None:
        """Return the mark of the last load that was delivered completely; None if there is none. Raises `SinkError`."""

    def place(self) -> str:
        """Return what identifies a target that may forget its mark; it is called after `mark`. Others return ""."""

    def write(self, load: Load) -> Sent | None:
        """Write a load and its mark, all of it or nothing. Return None, and write nothing, if the target has another
        mark than the load was made for. Raises `SinkError`."""

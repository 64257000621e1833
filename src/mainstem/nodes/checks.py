"""Checks: tests of a table. `mainstem.checks` compiles them and finds the violating rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.base import Deferred, NodeRef, refused, several
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import (
    calculation,
    column,
    columns,
    constant,
    constants,
    integer,
    node,
    optional,
    positive_duration,
    text,
    word,
)

Severity = Literal["error", "warn", "quarantine"]


@dataclass(frozen=True, eq=False)
class Check:
    """A test of a table. `error` blocks publishing, `warn` reports, `quarantine` sets the violating rows aside."""

    severity: Severity = "error"

    @property
    def label(self) -> str:
        """The check as a run prints it: `not_null(origin)`."""
        return type(self).__name__.lower()


@dataclass(frozen=True, eq=False)
class NotNull(Check):
    columns: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"not_null({', '.join(self.columns)})"


@dataclass(frozen=True, eq=False)
class Calendar(Check):
    """Every instant and date of `columns` is in the years 1 to 9999. All rows that come in are held to it."""

    columns: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"in_calendar({', '.join(self.columns)})"


@dataclass(frozen=True, eq=False)
class Unique(Check):
    columns: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"unique({', '.join(self.columns)})"


@dataclass(frozen=True, eq=False)
class Between(Check):
    column: str = ""
    low: Any = None
    high: Any = None

    @property
    def label(self) -> str:
        return f"between({self.column}, {self.low}, {self.high})"


@dataclass(frozen=True, eq=False)
class Accepted(Check):
    column: str = ""
    values: tuple[Any, ...] = ()

    @property
    def label(self) -> str:
        return f"accepted({self.column}, {len(self.values)} values)"


@dataclass(frozen=True, eq=False)
class Expression(Check):
    condition: Deferred = None
    name: str = "expression"

    @property
    def label(self) -> str:
        return f"expression({self.name})"


@dataclass(frozen=True, eq=False)
class ForeignKey(Check):
    columns: tuple[str, ...] = ()
    to: NodeRef = ""
    to_columns: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        target = self.to if isinstance(self.to, str) else self.to.name or "?"
        return f"foreign_key({', '.join(self.columns)} → {target})"


@dataclass(frozen=True, eq=False)
class RowCount(Check):
    low: int | None = None
    high: int | None = None

    @property
    def label(self) -> str:
        return f"row_count({self.low}, {self.high})"


@dataclass(frozen=True, eq=False)
class Fresh(Check):
    column: str = ""
    within: str = "1d"

    @property
    def label(self) -> str:
        return f"fresh({self.column}, {self.within})"


_SEVERITY = word("error", "warn", "quarantine")


def of_table(name: str, value: Any) -> None:
    """Require the severity of a check that no single row violates."""
    expected = '"error" or "warn"'
    if isinstance(value, str) and value == "quarantine":
        raise refused("a check of a whole table has no rows to set aside", value, f"{name}={expected}")
    word("error", "warn")(name, value)


@declared(columns=columns(at_least=1), severity=_SEVERITY)
def not_null(*columns: str, severity: Severity = "error") -> NotNull:
    """Check that none of `columns`, at least one, contains null."""
    return NotNull(severity, columns)


@declared(columns=columns(at_least=1), severity=_SEVERITY)
def unique(*columns: str, severity: Severity = "error") -> Unique:
    """Check that no two rows agree in all of `columns`. `quarantine` sets aside all of them after the first."""
    return Unique(severity, columns)


@declared(column=column, low=constant, high=constant, severity=_SEVERITY)
def between(column: str, low: Any = None, high: Any = None, *, severity: Severity = "error") -> Between:
    """Check that `low <= column <= high`. Either bound may be None. Null passes, NaN does not.

    Raises `DefinitionError` without a bound, and for bounds in the wrong order.
    """
    if low is None and high is None:
        raise refused("the check `between` has no bound", None, "low, high or both")
    if low is not None and high is not None and _reversed(low, high):
        raise refused("the bounds of `between` are in the wrong order", (low, high), "low <= high")
    return Between(severity, column, low, high)


def _reversed(low: Any, high: Any) -> bool:
    try:
        return bool(low > high)
    except TypeError:  # a text and an instant: their column says whether both fit it
        return False


@declared(column=column, values=constants, severity=_SEVERITY)
def accepted(column: str, values: Sequence[Any], *, severity: Severity = "error") -> Accepted:
    """Check that `column` is one of `values`. Null passes, with or without a None in the list."""
    return Accepted(severity, column, several(values) or ())


@declared(condition=calculation(), name=text, severity=_SEVERITY)
def expression(condition: Deferred, *, name: str = "expression", severity: Severity = "error") -> Expression:
    """Check a boolean expression for each row, such as `_.arrived_at >= _.departed_at`. Null passes."""
    return Expression(severity, condition, name)


@declared(columns=columns(at_least=1), to=node, to_columns=optional(columns(at_least=1)), severity=_SEVERITY)
def foreign_key(
    columns: str | Sequence[str],
    to: NodeRef,
    to_columns: str | Sequence[str] | None = None,
    *,
    severity: Severity = "error",
) -> ForeignKey:
    """Check that every combination of `columns` occurs in `to_columns` (default: the same names) of `to`.

    A row with a null in `columns` passes.

    Raises `DefinitionError` for column lists of unlike lengths.
    """
    own = (columns,) if isinstance(columns, str) else tuple(columns)
    theirs = own if to_columns is None else (to_columns,) if isinstance(to_columns, str) else tuple(to_columns)
    if len(own) != len(theirs):
        raise refused("`to_columns` does not match `columns`", theirs, f"one for each of {', '.join(own)}")
    return ForeignKey(severity, own, to, theirs)


@declared(low=optional(integer(0)), high=optional(integer(0)), severity=of_table)
def row_count(
    low: int | None = None, high: int | None = None, *, severity: Literal["error", "warn"] = "error"
) -> RowCount:
    """Check that `low <= number of rows <= high`. Either bound may be None."""
    if low is None and high is None:
        raise refused("the check `row_count` has no bound", None, "low, high or both")
    if low is not None and high is not None and low > high:
        raise refused("the bounds of `row_count` are in the wrong order", (low, high), "low <= high")
    return RowCount(severity, low, high)


@declared(column=column, within=positive_duration, severity=of_table)
def fresh(column: str, within: str, *, severity: Literal["error", "warn"] = "error") -> Fresh:
    """Check that the latest value of the instant `column` is at most `within` (such as `1d`) before now."""
    return Fresh(severity, column, within)

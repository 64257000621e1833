"""Verbs: named transformations of a table as frozen values, used in cleaning and in remedies.

    Rescale("dep_delay", factor=1 / 60)
    MapValues("carrier", {"UA ": "UA"})
    Deduplicate(("id",), order_by="seen_at")

A verb describes itself (`describe`) and applies itself to an Ibis table (`apply`), optionally only to the rows of a
condition. `mainstem.tables.corrections` first checks it against the table's columns. A new verb is a class here that is
added to `AnyVerb`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import msgspec

from mainstem.errors import DefinitionError
from mainstem.nodes.base import shown

if TYPE_CHECKING:
    import ibis


class Verb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The base of every verb. A `rowwise` verb makes each row from that row alone, so it works on streams and in
    serving."""

    rowwise: ClassVar[bool] = True
    keeps_type: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what a field's type does not take: msgspec itself looks only at what it decodes."""
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            try:
                taken = msgspec.convert(value, field.type)
            except (msgspec.ValidationError, OverflowError) as problem:
                raise DefinitionError(
                    f"`{field.name}` of {self.kind!r} has an invalid value", got=shown(value), expected=str(problem)
                ) from None
            if isinstance(taken, float) and not isfinite(taken):
                raise DefinitionError(f"`{field.name}` of {self.kind!r} must be finite", got=repr(taken))
            msgspec.structs.force_setattr(self, field.name, taken)

    @property
    def kind(self) -> str:
        """The verb's name, such as `rescale`."""
        return str(self.__struct_config__.tag)

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that are required or differ from their defaults, in order, as plain values."""
        values = msgspec.to_builtins(self)
        fields = msgspec.structs.fields(self)
        return {f.name: values[f.name] for f in fields if f.required or getattr(self, f.name) != f.default}

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that the verb reads. The first one is the column it changes."""

    @abstractmethod
    def describe(self) -> str:
        """Return a short description of the verb: `dep_delay × 0.0166667`."""

    @abstractmethod
    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        """Return the table with the rows of `where` (all rows if None) transformed."""


class ColumnVerb(Verb, frozen=True):
    """A verb that computes new values of one column, row by row."""

    column: str

    takes: ClassVar[str] = "any type"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.column:
            raise DefinitionError(f"{self.kind!r} needs a column", got="an empty name", expected="the name of a column")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def accepts(self, type: Any) -> bool:
        """Return whether the verb accepts a column of this Ibis type. `takes` names the accepted types."""
        return True

    @abstractmethod
    def value(self, column: Any) -> ibis.Value:
        """Return the new values of a column."""

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        import ibis

        column = table[self.column]
        changed: Any = self.value(column)
        changed = changed.cast(column.type()) if self.keeps_type else changed
        if where is not None:
            changed = ibis.cases((where, changed), else_=column.cast(changed.type()))
        return table.mutate(**{self.column: changed.cast(column.type()) if self.keeps_type else changed})


class Rescale(ColumnVerb, frozen=True, tag="rescale"):
    """Multiply and shift numbers: `column × factor + offset`. Integers are rounded half away from zero. Null stays
    null."""

    factor: float
    offset: float = 0.0

    takes: ClassVar[str] = "a number"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor == 0:
            raise DefinitionError("the factor of a rescale must not be 0", got="0", hint="it would erase the column")

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric())

    def value(self, column: Any) -> ibis.Value:
        scaled: ibis.Value = column.cast("float64") * self.factor + self.offset
        return scaled.round() if column.type().is_integer() else scaled

    def describe(self) -> str:
        return f"{self.column} × {self.factor:.6g}" + (f" + {self.offset:g}" if self.offset else "")


class MapValues(ColumnVerb, frozen=True, tag="map_values"):
    """Replace texts, given as (from, to) pairs or a mapping. Other texts and null stay unchanged."""

    values: tuple[tuple[str, str], ...]

    takes: ClassVar[str] = "a text"

    def __post_init__(self) -> None:
        if isinstance(self.values, Mapping):
            msgspec.structs.force_setattr(self, "values", tuple(self.values.items()))
        super().__post_init__()
        sources = [old for old, _ in self.values]
        if not sources or len(set(sources)) < len(sources):
            raise DefinitionError(
                f"the values of {self.column!r} must map each text once", got=", ".join(sources) or "no values"
            )

    def accepts(self, type: Any) -> bool:
        return bool(type.is_string())

    def value(self, column: Any) -> ibis.Value:
        import ibis

        return ibis.cases(*((column == old, new) for old, new in self.values), else_=column)

    def describe(self) -> str:
        return f"{self.column}: " + ", ".join(f"{old!r} → {new!r}" for old, new in self.values)


class Clip(ColumnVerb, frozen=True, tag="clip"):
    """Limit numbers to the range from `low` to `high`. Null and NaN stay as they are."""

    low: float | None = None
    high: float | None = None

    takes: ClassVar[str] = "a type of numbers that holds the bounds"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is None and self.high is None:
            raise DefinitionError(f"the clip of {self.column!r} has no bound", expected="low=, high= or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            got = f"low={self.low:g}, high={self.high:g}"
            raise DefinitionError(
                f"the bounds of {self.column!r} are in the wrong order", got=got, expected="low <= high"
            )

    def accepts(self, type: Any) -> bool:
        return all(_holds(type, bound) for bound in (self.low, self.high) if bound is not None)

    def value(self, column: Any) -> ibis.Value:
        import ibis

        cases = [(column.isnan(), column)] if column.type().is_floating() else []
        cases += [] if self.low is None else [(column < self.low, ibis.literal(self.low).cast(column.type()))]
        cases += [] if self.high is None else [(column > self.high, ibis.literal(self.high).cast(column.type()))]
        return ibis.cases(*cases, else_=column)

    def describe(self) -> str:
        low, high = ("…" if bound is None else f"{bound:g}" for bound in (self.low, self.high))
        return f"{self.column} within {low} and {high}"


class Impute(ColumnVerb, frozen=True, tag="impute"):
    """Replace null and NaN by a constant. Other values stay unchanged."""

    constant: bool | float | int | str

    def accepts(self, type: Any) -> bool:
        if isinstance(self.constant, str):
            return bool(type.is_string())
        return bool(type.is_boolean()) if isinstance(self.constant, bool) else _holds(type, self.constant)

    @property
    def takes(self) -> str:  # type: ignore[override]
        return f"a type that holds {self.constant!r}"

    def value(self, column: Any) -> ibis.Value:
        import ibis

        constant = ibis.literal(self.constant).cast(column.type())
        missing = column.isnull() | column.isnan().fill_null(True) if column.type().is_floating() else column.isnull()
        return missing.ifelse(constant, column)

    def describe(self) -> str:
        return f"{self.column} is {self.constant!r} where it is missing"


class Trim(ColumnVerb, frozen=True, tag="trim"):
    """Remove the spaces at both ends of a text. Null stays null."""

    takes: ClassVar[str] = "a text"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_string())

    def value(self, column: Any) -> ibis.Value:
        return column.strip()

    def describe(self) -> str:
        return f"{self.column} without spaces at its ends"


class Case(ColumnVerb, frozen=True, tag="case"):
    """Convert a text to `lower` or `upper` case. Null stays null."""

    to: Literal["lower", "upper"]

    takes: ClassVar[str] = "a text"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_string())

    def value(self, column: Any) -> ibis.Value:
        return column.lower() if self.to == "lower" else column.upper()

    def describe(self) -> str:
        return f"{self.column} in {self.to} case"


class Cast(ColumnVerb, frozen=True, tag="cast"):
    """Convert a column to another Ibis type. The engine fails on a value that the type cannot hold. Null stays null."""

    to: str

    keeps_type: ClassVar[bool] = False

    def __post_init__(self) -> None:
        import ibis

        super().__post_init__()
        try:
            ibis.dtype(self.to)
        except Exception as problem:  # ibis does not document what its parser raises
            raise DefinitionError(f"unknown type {self.to!r}", expected="an Ibis type, such as int64") from problem

    def value(self, column: Any) -> ibis.Value:
        return column.cast(self.to)

    def describe(self) -> str:
        return f"{self.column} as {self.to}"


class Deduplicate(Verb, frozen=True, tag="deduplicate"):
    """Keep only the `first` (or `last`) row by `order_by` of those with the same `key`. A null in the key
    is a value."""

    key: tuple[str, ...]
    order_by: str
    keep: Literal["first", "last"] = "first"

    rowwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.key:
            raise DefinitionError("'deduplicate' needs a key", got="no column", expected="the columns of the key")
        if not self.order_by or not all(self.key) or len(set(self.key)) < len(self.key):
            got = f"key {', '.join(map(repr, self.key))} by {self.order_by!r}"
            raise DefinitionError("'deduplicate' needs distinct columns", got=got, expected="names, each once")

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, self.order_by)

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        import ibis

        order = table[self.order_by] if self.keep == "first" else table[self.order_by].desc()
        chosen = ibis.literal(True) if where is None else where.fill_null(False)
        window = ibis.window(group_by=[*(table[column] for column in self.key), chosen], order_by=order)
        numbered = table.mutate(_stays=(ibis.row_number().over(window) == 0) | ~chosen)
        rows: ibis.Table = numbered.filter(numbered["_stays"]).drop("_stays")
        return rows

    def describe(self) -> str:
        return f"one row for each {', '.join(self.key)}: the {self.keep} by {self.order_by}"


_LARGEST = {"float16": 65504.0, "float32": 3.4028234663852886e38}


def _holds(type: Any, number: float) -> bool:
    """Return whether a column of an Ibis type of numbers can have this value. No number is rounded to fit integers."""
    if isinstance(number, int) and not -(2**63) <= number < 2**63:  # beyond what Ibis takes as a constant
        return False
    if type.is_integer():
        return number == int(number) and type.bounds.lower <= number <= type.bounds.upper
    if type.is_decimal():
        return type.precision is None or abs(number) < 10.0 ** (type.precision - (type.scale or 0))
    return bool(type.is_floating()) and abs(number) <= _LARGEST.get(str(type), abs(number))


AnyVerb = Rescale | MapValues | Clip | Impute | Trim | Case | Cast | Deduplicate
"""Every verb. Remedies and stored findings can contain these."""

VERBS: dict[str, type[AnyVerb]] = {str(verb.__struct_config__.tag): verb for verb in get_args(AnyVerb)}
"""Verbs by name."""

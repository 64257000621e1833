"""The bases of verbs: named transformations of a table as frozen values, used in cleaning and in remedies.

A verb describes itself (`describe`) and applies itself to an Ibis table (`apply`), optionally only to the rows of a
condition.
"""

from __future__ import annotations

from abc import abstractmethod
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_origin

import msgspec

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.graph.named import named
from mainstem.graph.traces import Traces, derived
from mainstem.nodes.base import Origin, shown

if TYPE_CHECKING:
    import ibis

Invalid = Literal["null", "quarantine", "fail"]
"""What happens to a value that a verb cannot convert: it becomes null, its row is set aside, or the run fails."""


class Verb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The base of every verb.

    A `rowwise` verb makes each row from that row alone, so it works on streams and in serving. A `fitted` verb needs
    statistics of the table's rows. A `private` verb hides the values of its column.
    """

    rowwise: ClassVar[bool] = True
    keeps_type: ClassVar[bool] = True
    fitted: ClassVar[bool] = False
    private: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse what a field's type does not take: msgspec itself looks only at what it decodes."""
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and get_origin(field.type) is tuple:
                value = (value,)
            try:
                taken = msgspec.convert(value, field.type)
            except (msgspec.ValidationError, OverflowError) as problem:
                raise DefinitionError(
                    f"`{field.name}` of {self.kind!r} has an invalid value", got=shown(value), expected=str(problem)
                ) from None
            if isinstance(taken, float) and not isfinite(taken):
                raise DefinitionError(f"`{field.name}` of {self.kind!r} must be finite", got=repr(taken))
            if field.type == tuple[str, ...]:
                self._check_names(field.name, taken)
            msgspec.structs.force_setattr(self, field.name, taken)

    def _check_names(self, field: str, names: tuple[str, ...]) -> None:
        if not all(name.strip() for name in names) or len(set(names)) < len(names):
            raise DefinitionError(f"`{field}` of {self.kind!r} needs distinct names", got=shown(names))

    @property
    def kind(self) -> str:
        """The verb's name, such as `rescale`."""
        return str(self.__struct_config__.tag)

    @property
    def label(self) -> str:
        """The verb as a run prints it: `parse_number(amount)`."""
        return f"{self.kind}({', '.join(self.columns)})"

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that are required or differ from their defaults, in order, as plain values."""
        values = msgspec.to_builtins(self)
        fields = msgspec.structs.fields(self)
        return {f.name: values[f.name] for f in fields if f.required or getattr(self, f.name) != f.default}

    @property
    def on_invalid(self) -> Invalid | None:
        """What happens to invalid values; None for a verb that converts every value."""
        return getattr(self, "invalid", None)

    def loaded(self, root: Path) -> Verb:
        """Return the verb with what it reads from files of the project at `root`."""
        return self

    def ready(self) -> Verb:
        """Return the verb with its secrets, for a run."""
        return self

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that the verb reads. The first one is the column it changes."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns that the verb changes or adds."""
        return self.columns[:1]

    @property
    def confined(self) -> str | None:
        """Why the verb works in `clean=[…]` only, or None if it can also be piped."""
        if self.on_invalid in ("quarantine", "fail"):
            return f'invalid="{self.on_invalid}" needs a run that examines the rows'
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return a short description of the verb: `dep_delay × 0.0166667`."""

    @abstractmethod
    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        """Return the table with the rows of `where` (all rows if None) transformed."""

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        """Refuse a table that the verb does not fit. Raises `UnknownName` for a column that the table lacks, and
        `SchemaError` for a type that the verb does not accept."""
        for column in self.columns:
            if column not in table.columns:
                raise UnknownName.among("column", column, table.columns, where=place)

    def traced(self, traces: Traces) -> Traces:
        """Return where the columns come from after the verb, and when they become known."""
        read = derived(traces[column] for column in self.columns)
        return {**traces, **dict.fromkeys(self.changed, read)}

    def __call__(self, table: ibis.Table) -> ibis.Table:
        """Return the table cleaned: `flights.pipe(ms.clean.trim("carrier"))`.

        Raises `DefinitionError` for a verb that works in `clean=[…]` only.
        """
        import ibis

        where = str(Origin.of_caller(str(Path(ibis.__file__).parent)))
        if self.confined:
            raise DefinitionError(
                f"{self.kind!r} cannot be piped: {self.confined}",
                where=where,
                got=self.describe(),
                expected="@ms.table(clean=[…])",
                hint='invalid="null" can be piped' if self.on_invalid else None,
            )
        self.check(table, where)
        return self.apply(table)


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

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        if not self.accepts(kind := table[self.column].type()):
            raise SchemaError(
                f"{self.kind!r} cannot change {self.column!r}", where=place, got=str(kind), expected=self.takes
            )

    @abstractmethod
    def value(self, column: Any) -> ibis.Value:
        """Return the new values of a column."""

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        """Return the new values of every column that the verb changes or adds."""
        column = table[self.column]
        changed: Any = self.value(column)
        return {self.column: changed.cast(column.type()) if self.keeps_type else changed}

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        import ibis

        values: dict[str, Any] = self.results(table)
        if where is not None:
            for name, changed in values.items():
                before = table[name].cast(changed.type()) if name in table.columns else ibis.null(changed.type())
                values[name] = ibis.cases((where, changed), else_=before).cast(changed.type())
        return table.mutate(*named(values))


class TextVerb(ColumnVerb, frozen=True):
    """A verb that changes texts."""

    takes: ClassVar[str] = "a text"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_string())


class NumberVerb(ColumnVerb, frozen=True):
    """A verb that changes numbers."""

    takes: ClassVar[str] = "a number"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric())


def otherwise(invalid: Invalid) -> str:
    """Return what happens to invalid values, as the end of a description."""
    return {"null": "else null", "quarantine": "else quarantined", "fail": "else the run fails"}[invalid]


_LARGEST = {"float16": 65504.0, "float32": 3.4028234663852886e38}


def holds(type: Any, number: float) -> bool:
    """Return whether a column of an Ibis type of numbers can have this value. No number is rounded to fit integers."""
    if isinstance(number, int) and not -(2**63) <= number < 2**63:  # beyond what Ibis takes as a constant
        return False
    if type.is_integer():
        return number == int(number) and type.bounds.lower <= number <= type.bounds.upper
    if type.is_decimal():
        return type.precision is None or abs(number) < 10.0 ** (type.precision - (type.scale or 0))
    return bool(type.is_floating()) and abs(number) <= _LARGEST.get(str(type), abs(number))

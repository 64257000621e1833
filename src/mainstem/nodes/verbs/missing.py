"""Verbs that take missing values from other rows of the table, in an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mainstem.errors import DefinitionError, SchemaError
from mainstem.graph.named import named
from mainstem.graph.traces import NOTHING, Traces, derived, of_other_rows
from mainstem.nodes.instants import EPOCH, INSTANT
from mainstem.nodes.verbs.base import ColumnVerb
from mainstem.nodes.verbs.rows import earlier, ordered
from mainstem.nodes.verbs.values import check_new, missing

if TYPE_CHECKING:
    import ibis


class OrderedVerb(ColumnVerb, frozen=True):
    """A verb that reads other rows of the same group `by`, in the order of a column."""

    order_by: str

    rowwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        used = (self.column, self.order_by, *self.groups)
        if not self.order_by or len(set(used)) < len(used):
            raise DefinitionError(f"{self.kind!r} needs distinct columns", got=", ".join(map(repr, used)))

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that the rows are grouped by."""
        return tuple(getattr(self, "by", ()))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.order_by, *self.groups)

    @property
    def changed(self) -> tuple[str, ...]:
        indicator = getattr(self, "indicator", "")
        return (self.column, indicator) if indicator else (self.column,)

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        check_new(getattr(self, "indicator", ""), table, place)

    def value(self, column: Any) -> ibis.Value:
        raise NotImplementedError(f"{self.kind} needs a table")

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        column = table[self.column]
        empty = missing(column) if where is None else missing(column) & where.fill_null(False)
        told = {self.changed[1]: missing(column)} if len(self.changed) > 1 else {}
        marked = table.mutate((empty & table[self.order_by].notnull()).name("_empty"), *named(told))
        found = self.found(marked)
        filled = found["_empty"].ifelse(found["_found"], found[self.column]).cast(column.type())
        return found.mutate(*named({self.column: filled})).select(*table.columns, *told)

    def found(self, table: ibis.Table) -> ibis.Table:
        """Return the table with the value for missing ones as `_found`."""
        raise NotImplementedError

    def filled(self, table: ibis.Table, names: dict[str, Any], *, descending: bool) -> ibis.Table:
        """Return the table with each of `names` as it is in the last row, in the order, that has a value.

        `first`/`last` with nulls left out differ between engines, so rows are numbered by the values before them.
        """
        import ibis

        present = (~missing(table[self.column])) & table[self.order_by].notnull()
        keys = [table[name] for name in self.groups]
        order = ordered(table, self.order_by, descending=descending)
        so_far = ibis.window(group_by=keys, order_by=order, preceding=None, following=0)
        values = {name: present.ifelse(value, ibis.null(value.type())) for name, value in names.items()}
        numbered = table.mutate(_run=present.cast("int64").sum().over(so_far), **values)
        run = ibis.window(group_by=[*(numbered[name] for name in self.groups), numbered["_run"]])
        return numbered.mutate(*named({name: numbered[name].max().over(run) for name in names})).drop("_run")


class Fill(OrderedVerb, frozen=True, tag="fill"):
    """Replace null and NaN by the last value before (`forward`) or the next value after (`backward`) in the order of
    `order_by`, perhaps within each group `by`. Without such a value null stays null, and NaN becomes null; where the
    order is null nothing changes. Needs no statistics.

    `indicator` names a new boolean column: whether the value was missing.
    """

    direction: Literal["forward", "backward"] = "forward"
    by: tuple[str, ...] = ()
    indicator: str = ""

    def found(self, table: ibis.Table) -> ibis.Table:
        return self.filled(table, {"_found": table[self.column]}, descending=self.direction == "backward")

    def traced(self, traces: Traces) -> Traces:
        own, order = traces[self.column], traces[self.order_by]
        groups = derived(traces[name] for name in self.by) if self.by else NOTHING
        if self.direction == "forward":
            read = earlier(own, order, groups, self.order_by, "a fill")
        else:
            read = of_other_rows(own.latest(order, groups), "a backward fill")
        return {**traces, self.column: read, **({self.indicator: own} if self.indicator else {})}

    def describe(self) -> str:
        by = f" of its {', '.join(self.by)}" if self.by else ""
        which = "last value before" if self.direction == "forward" else "next value after"
        return f"{self.column} is the {which} by {self.order_by}{by} where it is missing"


class Interpolate(OrderedVerb, frozen=True, tag="interpolate"):
    """Replace null and NaN by the straight line between the values before and after in the order of `order_by`, a
    number or an instant, perhaps within each group `by`. Before the first and after the last value, null stays null.
    Integers are rounded. Needs no statistics.

    `indicator` names a new boolean column: whether the value was missing.
    """

    by: tuple[str, ...] = ()
    indicator: str = ""

    takes: ClassVar[str] = "a number"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric())

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        kind = table[self.order_by].type()
        if not (kind.is_numeric() or kind.is_temporal()):
            raise SchemaError(
                f"'interpolate' cannot order by {self.order_by!r}",
                where=place,
                got=str(kind),
                expected="a number, a date or an instant",
            )

    def found(self, table: ibis.Table) -> ibis.Table:
        place, value = _number(table[self.order_by]), table[self.column].cast("float64")
        placed = table.mutate(_place=place)
        before = self.filled(placed, {"_v0": value, "_p0": placed["_place"]}, descending=False)
        after = self.filled(
            before, {"_v1": before[self.column].cast("float64"), "_p1": before["_place"]}, descending=True
        )
        width = (after["_p1"] - after["_p0"]).nullif(0)
        share = ((after["_place"] - after["_p0"]) / width).fill_null(0.0)
        line = after["_v0"] + (after["_v1"] - after["_v0"]) * share
        exact = line.round() if table[self.column].type().is_integer() else line
        return after.mutate(_found=exact)

    def traced(self, traces: Traces) -> Traces:
        own = traces[self.column]
        read = of_other_rows(derived(traces[name] for name in self.columns), "an interpolation")
        return {**traces, self.column: read, **({self.indicator: own} if self.indicator else {})}

    def describe(self) -> str:
        by = f" of its {', '.join(self.by)}" if self.by else ""
        return f"{self.column} is interpolated by {self.order_by}{by} where it is missing"


def _number(order: Any) -> Any:
    """Return a number, a date or an instant as a float."""
    import ibis

    if not order.type().is_temporal():
        return order.cast("float64")
    return order.cast(INSTANT).delta(ibis.literal(EPOCH, type=INSTANT), unit="microsecond").cast("float64")

"""Verbs that choose rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mainstem.errors import DefinitionError, SchemaError
from mainstem.graph.named import named
from mainstem.graph.traces import Trace, Traces, chosen, derived, of_other_rows
from mainstem.nodes.verbs.base import Verb

if TYPE_CHECKING:
    import ibis


class Deduplicate(Verb, frozen=True, tag="deduplicate"):
    """Keep only the `first` (or `last`) row by `order_by` of those with the same `key`. A null in the key is a value.
    Needs no statistics, but all rows of a key.

    `order_by` is one column or several; `"-score"` is in descending order, so `["-score", "seen_at"]` keeps the best.
    Rows that are equal in these are ordered by the other columns, so that the result does not depend on chance.
    """

    key: tuple[str, ...]
    order_by: str | tuple[str, ...]
    keep: Literal["first", "last"] = "first"

    rowwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.key:
            raise DefinitionError("'deduplicate' needs a key", got="no column", expected="the columns of the key")
        orders = [name for name, _ in self.orders]
        if not orders or not all(orders) or not all(self.key) or len(set(orders)) < len(orders):
            got = f"key {', '.join(map(repr, self.key))} by {self.order_by!r}"
            raise DefinitionError("'deduplicate' needs distinct columns", got=got, expected="names, each once")

    @property
    def orders(self) -> tuple[tuple[str, bool], ...]:
        """The columns of the order, each with whether it is descending."""
        given = (self.order_by,) if isinstance(self.order_by, str) else self.order_by
        return tuple((name.removeprefix("-"), name.startswith("-")) for name in given)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.key, *(name for name, _ in self.orders))))

    @property
    def changed(self) -> tuple[str, ...]:
        return ()

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        import ibis

        order = [
            table[name].desc() if descending != (self.keep == "last") else table[name]
            for name, descending in (*self.orders, *self._others(table))
        ]
        keys = [table[column] for column in self.key]
        chosen_rows = [] if where is None else [where.fill_null(False)]
        window = ibis.window(group_by=[*keys, *chosen_rows], order_by=order)
        stays = ibis.row_number().over(window) == 0
        numbered = table.mutate(_stays=stays if where is None else stays | ~chosen_rows[0])
        rows: ibis.Table = numbered.filter(numbered["_stays"]).drop("_stays")
        return rows

    def _others(self, table: ibis.Table) -> list[tuple[str, bool]]:
        named = {*self.key, *(name for name, _ in self.orders)}
        return [(name, False) for name in table.columns if name not in named and not name.startswith("_")]

    def traced(self, traces: Traces) -> Traces:
        """The first row by its own time does not depend on later rows. Any other choice does."""
        read = derived(traces[column] for column in self.columns)
        return chosen(traces, read if self._looks_back(traces) else of_other_rows(read, "a deduplication"))

    def _looks_back(self, traces: Traces) -> bool:
        (name, descending), *more = self.orders
        read = derived(traces[column] for column in self.columns).known
        forward = self.keep == "first" and not descending and not more
        return forward and read.unknown is None and all(m.column == name for m in read.moments)

    def describe(self) -> str:
        order = ", ".join(f"{name} descending" if descending else name for name, descending in self.orders)
        return f"one row for each {', '.join(self.key)}: the {self.keep} by {order}"


def earlier(value: Trace, order: Trace, by: Trace, order_by: str, what: str) -> Trace:
    """Return the trace of a value that is taken from rows that are earlier by their own time `order_by`."""
    read = value.latest(order, by)
    if read.known.unknown is None and all(moment.column == order_by for moment in read.known.moments):
        return read
    return of_other_rows(read, what)


def ordered(table: ibis.Table, order_by: str, *, descending: bool = False) -> list[Any]:
    """Return the keys of an order: a column, and the other visible columns for rows that are equal in it."""
    names = [order_by, *(name for name in table.columns if name != order_by and not name.startswith("_"))]
    return [table[name].desc() if descending else table[name] for name in names]


class NearDuplicates(Verb, frozen=True, tag="near_duplicates"):
    """Drop rows whose text `on` is similar to that of an earlier row, by `order_by`, in the same `block`. Rows with a
    null in `on` or in the block stay. Needs no statistics, but all rows of a block.

    The similarity of two texts is 1 − their Levenshtein distance (in bytes) / the length of the longer one; at least
    `similarity` counts as a duplicate. Only rows with equal values in every column of `block` are compared, so the
    work grows with the square of the largest block.
    """

    on: str
    block: tuple[str, ...]
    order_by: str
    similarity: float = 0.85

    rowwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        used = (self.on, *self.block, self.order_by)
        if not self.block or not all(used) or len({self.on, *self.block}) < len(self.block) + 1:
            got = ", ".join(map(repr, used))
            raise DefinitionError("'near_duplicates' needs a text, a block and an order", got=got)
        if not 0 < self.similarity <= 1:
            raise DefinitionError("`similarity` of 'near_duplicates' is out of range", got=f"{self.similarity:g}")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.on, *self.block, self.order_by)))

    @property
    def changed(self) -> tuple[str, ...]:
        return ()

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        if not table[self.on].type().is_string():
            kind = str(table[self.on].type())
            raise SchemaError(f"'near_duplicates' cannot compare {self.on!r}", where=place, got=kind, expected="a text")

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        import ibis

        keys = [table[name] for name in self.block]
        place = ibis.row_number().over(ibis.window(group_by=keys, order_by=ordered(table, self.order_by)))
        compared = table[self.on] if where is None else where.ifelse(table[self.on], ibis.null("string"))
        numbered = table.mutate(_place=place, _compared=compared)
        texts = {"_text": numbered["_compared"], "_n": numbered["_place"]}
        first = numbered.select(*named({f"_b{n}": numbered[name] for n, name in enumerate(self.block)}), *named(texts))
        later = numbered.select(
            *named({f"_c{n}": numbered[name] for n, name in enumerate(self.block)}), _t=texts["_text"], _m=texts["_n"]
        )
        pairs = later.inner_join(first, [later[f"_c{n}"] == first[f"_b{n}"] for n in range(len(self.block))])
        met = pairs.filter(pairs["_n"] < pairs["_m"], similar(pairs["_t"], pairs["_text"], self.similarity))
        lost = met.select(*(f"_c{n}" for n in range(len(self.block))), "_m").distinct()
        equal = [numbered[name] == lost[f"_c{n}"] for n, name in enumerate(self.block)]
        rows: ibis.Table = numbered.anti_join(lost, [*equal, numbered["_place"] == lost["_m"]])
        return rows.select(*table.columns)

    def traced(self, traces: Traces) -> Traces:
        read = derived(traces[column] for column in self.columns)
        back = read.known.unknown is None and all(m.column == self.order_by for m in read.known.moments)
        return chosen(traces, read if back else of_other_rows(read, "a comparison for near duplicates"))

    def describe(self) -> str:
        return f"rows unlike earlier ones in {self.on}, within {', '.join(self.block)} by {self.order_by}"


def similar(one: Any, other: Any, least: float) -> Any:
    """Return whether two texts have at least a similarity. Texts whose lengths differ too much are not compared."""
    longer, shorter = _longer(one, other), _shorter(one, other)
    return (shorter >= longer * least) & (one.levenshtein(other) <= longer * (1 - least) + 1e-9)


def _longer(one: Any, other: Any) -> Any:
    import ibis

    return ibis.greatest(one.length(), other.length())


def _shorter(one: Any, other: Any) -> Any:
    import ibis

    return ibis.least(one.length(), other.length())

"""How a source's schema changes while it is read, under its contract. All kinds of sources share this module.

A batch of rows has columns and types of its own. `Shape.meet` compares them with the known ones. It takes over the
changes that the contract allows, and returns those whose rows are set aside. A frozen change is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mainstem.errors import SourceError
from mainstem.masking import masked
from mainstem.nodes.definition import EVOLVED, Evolved
from mainstem.nodes.sources import Source
from mainstem.sources.blank import TEXT
from mainstem.sources.setaside import SetAside
from mainstem.sources.widening import wider

SHOWN = 8
"""The most columns of a schema that an error shows."""


NO_VALUE = "no value"


@dataclass(frozen=True)
class Change:
    """A column that is new (`before` is None), is missing (`after` is None) or has a wider type, and where it was
    found."""

    column: str
    before: str | None
    after: str | None
    origin: str = ""

    def __str__(self) -> str:
        told = f"{self.column}: {self.before} → {self.after}"
        if self.before is None:
            told = f"new column {self.column} ({self.after})"
        elif self.after is None:
            told = f"no column {self.column}, null"
        return f"{told}, since {masked(self.origin)}" if self.origin and self.after else told


@dataclass
class Shape:
    """The columns and Ibis types of a source so far. `schema` grows with the batches that it meets.

    `changes` are those of this collection, `unfit` the rows to set aside, `notes` what else the run tells. `missing`
    has by column how many texts were read as missing values, and which ones. `blank` are
    columns that are stored without a value: they are in `schema` from their first value on.
    Types that the source declares in `schema=` do not change. `stored` are all columns in their order, also blank ones.
    """

    node: Source
    schema: dict[str, str]
    where: str
    blank: frozenset[str] = frozenset()
    stored: tuple[str, ...] = ()
    changes: list[Change] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    unfit: SetAside = field(default_factory=SetAside)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns so far: a file without a header has them in this order."""
        return tuple(dict.fromkeys((*self.stored, *self.schema)))

    def meet(
        self,
        found: Mapping[str, str],
        origin: str = "",
        *,
        whole: bool = True,
        place: Callable[[str], str | None] = lambda column: None,
    ) -> tuple[Change, ...]:
        """Take over what a batch with these columns and types changes. Return what is to be set aside instead.

        `whole` means that the batch has every column of its source; records in JSON may lack a key. `place` gives the
        place of the first value that does not fit a column. Raises `SourceError` for a change that the contract
        freezes.
        """
        if self.schema and found and not self.schema.keys() & found.keys():
            raise SourceError(
                "the source has none of the known columns",
                where=f"{self.where}: {origin}" if origin else self.where,
                got=_listed(found, ()),
                expected=_listed(self.schema, ()),
                hint="check that it answers with rows, not with a message",
            )
        self.seen.update(found)
        texts = self.blank - self.schema.keys()
        self.schema.update((name, TEXT) for name in found if name in texts and found[name].lstrip("!") == TEXT)
        retyped = [replace(each, origin=place(each.column) or origin) for each in self._wider(found, origin)]
        wanted = [*self._new(found, origin), *retyped]
        missing = [Change(name, self.schema[name], None, origin) for name in self.schema if name not in found]
        self._refuse([*wanted, *(missing if whole else ())], found)
        for change in wanted:
            if self.policy(change) == "evolve":
                self.schema[change.column] = str(change.after)
                self.changes.append(change)
        for change in missing if whole else ():
            self._miss(change)
        return tuple(c for c in (*wanted, *(missing if whole else ())) if self.policy(c) == "quarantine")

    def end(self) -> None:
        """Note the columns that no batch had. Raises `SourceError` if the contract freezes one."""
        missing = [Change(n, t, None) for n, t in self.schema.items() if n not in self.seen] if self.seen else []
        self._refuse(missing, {name: self.schema[name] for name in self.schema if name in self.seen})
        for change in missing:
            self._miss(change)

    def policy(self, change: Change) -> str:
        """Return what the contract says of a change. A type that the source declares does not evolve, and the time and
        the cursor do not become texts."""
        said = self.node.policy(change.column)
        return "freeze" if said == "evolve" and (self._is_declared(change) or self._is_ordered(change)) else said

    def _is_declared(self, change: Change) -> bool:
        return change.column in (self.node.schema or {}) and change.after is not None

    def _is_ordered(self, change: Change) -> bool:
        """Return whether a change would take the order from the rows, or the column that tells them apart."""
        order = (self.node.time, self.node.cursor)
        return (
            change.column in (*order, *self.node.key)
            if change.after is None
            else (change.column in order and change.after == "string")
        )

    def message(self) -> str:
        """Return the changes and notes as one text for the run."""
        texts = [_read_as_missing(name, *found) for name, found in self.missing.items()]
        return "; ".join(dict.fromkeys([*map(str, self.changes), *texts, *self.notes]))

    def miss_values(self, column: str, many: int, texts: Collection[str]) -> None:
        """Note that texts of a column were read as missing values."""
        before, those = self.missing.get(column, (0, frozenset()))
        self.missing[column] = (before + many, those | frozenset(texts))

    def _new(self, found: Mapping[str, str], origin: str) -> list[Change]:
        """Return the new columns. One without values has no type yet, and waits for a value."""
        new = {name: type for name, type in found.items() if name not in self.schema and type != "null"}
        return [Change(name, NO_VALUE if name in self.blank else None, type, origin) for name, type in new.items()]

    def _wider(self, found: Mapping[str, str], origin: str) -> list[Change]:
        both = {name: wider(known, found[name]) for name, known in self.schema.items() if name in found}
        return [
            Change(name, self.schema[name], type, origin) for name, type in both.items() if type != self.schema[name]
        ]

    def _miss(self, change: Change) -> None:
        if change.column not in self._told:
            self._told.add(change.column)
            self.changes.append(change)

    def _refuse(self, changes: Sequence[Change], found: Mapping[str, str]) -> None:
        frozen = [change for change in changes if self.policy(change) == "freeze"]
        if not frozen:
            return
        first, names = frozen[0], {change.column for change in frozen}
        raise SourceError(
            f"the schema of the source changed: {'; '.join(_short(change) for change in frozen[:3])}",
            where=f"{self.where}: {first.origin}" if first.origin else self.where,
            got=_listed(found, names),
            expected=_listed(self.schema, names),
            hint=self._hint(first),
        )

    def _hint(self, change: Change) -> str:
        if self.node.policy(change.column) == "freeze":
            return 'the contract freezes it: contract="evolve" takes the change over'
        if self._is_ordered(change):
            return f"{change.column!r} is the key, the time or the cursor of the source: correct the source"
        return f"the declaration fixes the type of {change.column!r}: change schema={{…}}"


def evolved_to(before: Evolved, defined: Mapping[str, str], schema: Mapping[str, str]) -> dict[str, str]:
    """Return the snapshot property for a schema, given what had evolved before and the columns as they were defined.

    What schemas.lock says of a column is the same as before it evolved.
    """
    found = dict(before)
    for name, type in schema.items():
        was = found[name][0] if name in found else defined.get(name)
        found[name] = (was, type)
    changed = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    return {EVOLVED: json.dumps(changed, ensure_ascii=False)} if changed else {}


def lossy(column: str, own: str, wanted: str, value: str, where: str) -> SourceError:
    """Return the error for a value that its column cannot hold without loss."""
    return SourceError(
        f"{column!r} cannot become {wanted}: a value would lose something",
        where=where,
        got=f"{value} ({own})",
        expected=f"values that {wanted} holds exactly",
        hint=f'schema={{"{column}": "decimal(38, 6)"}} holds every digit, and "string" every text',
    )


def _read_as_missing(column: str, many: int, texts: Collection[str]) -> str:
    said = ", ".join(text or "spaces" for text in sorted(texts))
    return f"{many:,} missing value{'s' if many > 1 else ''} in {column}: {said}"


def _short(change: Change) -> str:
    return str(Change(change.column, change.before, change.after))


def _listed(schema: Mapping[str, str], first: Collection[str]) -> str:
    """Return a schema on one line: the columns that an error is about, then others."""
    order = [*(name for name in schema if name in first), *(name for name in schema if name not in first)]
    told = [f"{name} {schema[name]}" for name in order[:SHOWN]]
    return ", ".join(told) + (f", and {len(order) - SHOWN} more" if len(order) > SHOWN else "")

"""Infer types of columns from their texts or JSON values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.graph.named import named
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.storable import is_storable
from mainstem.ports import Session
from mainstem.sources.texts import EXACT, NARROW, fits, is_missing, narrow, unfit

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt


def types_of_text(
    session: Session,
    relation: str,
    names: Sequence[str],
    known: Mapping[str, str] | None = None,
    declared: Collection[str] = (),
) -> dict[str, str]:
    """Return the type of each column of texts: the `known` one if all texts fit it, else the narrowest that they have.

    Codes such as `007` and digits beyond int64 stay text, and `12E3` beside integers. Texts for missing values (`NA`)
    fit every type but a declared one; a column that has no others is text. A column without texts is of type `null`.
    """
    table = ibis.table(dict.fromkeys(names, "string"), name=relation)
    still = _still(session, table, known or {}, declared)
    found = _narrowest(session, table, [name for name in names if name not in still])
    widened = [name for name, type in found.items() if type == "float64" and (known or {}).get(name) == "int64"]
    return {**found, **_with_exponent(session, table, widened), **still}


def _with_exponent(session: Session, table: ibis.Table, names: Sequence[str]) -> dict[str, str]:
    """Return the columns of numbers of which one has an exponent, as texts: beside integers it is a code."""
    found: dict[str, str] = {}
    for begin in range(0, len(names), AT_ONCE):
        some = names[begin : begin + AT_ONCE]
        rows = _only(table, some)
        tests = [rows[name].re_search("[eE]") & ~is_missing(rows[name]) for name in some]
        counts = {f"_{n}": rows.count(where=test) for n, test in enumerate(tests)}
        counted = session.fetch(rows.aggregate(named(counts))).to_pylist()[0]
        found |= {name: "string" for name, count in zip(some, counted.values(), strict=True) if count}
    return found


def _still(session: Session, table: ibis.Table, known: Mapping[str, str], declared: Collection[str]) -> dict[str, str]:
    """Return the columns whose texts fit their known type."""
    names = [name for name in table.columns if name in known]
    found: dict[str, int] = {}
    for begin in range(0, len(names), AT_ONCE):
        some = names[begin : begin + AT_ONCE]
        rows = _only(table, some)
        tests = [_is_unfit(rows[name], known[name], is_declared=name in declared) for name in some]
        counts = {f"_{n}": rows.count(where=test) for n, test in enumerate(tests)}
        found |= dict(zip(some, session.fetch(rows.aggregate(named(counts))).to_pylist()[0].values(), strict=True))
    return {name: known[name] for name, misfits in found.items() if not misfits}


def _is_unfit(text: Any, type: str, *, is_declared: bool) -> Any:
    return text.notnull() & ~fits(text, type, declared=True) if is_declared else unfit(text, fits(text, type))


def _narrowest(session: Session, table: ibis.Table, names: Collection[str]) -> dict[str, str]:
    if not names:
        return {}
    table = _only(table, names)
    kinds, are_all = _first_kinds(session, table)
    if not are_all:
        first = kinds
        # The first rows usually tell the type. Then one test over all rows is enough.
        kinds = _narrowed(session, table, {n: found if len(found) > 2 else found[:1] for n, found in first.items()})
        lost = {name: first[name] for name in names if first[name] and not kinds[name]}
        kinds |= _narrowed(session, table, lost) if lost else {}
    return {name: _type(kinds[name]) for name in names}


def _type(kinds: Sequence[str]) -> str:
    """Return the type of a column whose texts fit these kinds. Texts for missing values alone fit all but `BLANK`."""
    if BLANK in kinds:
        return "null"
    return kinds[0] if 0 < len(kinds) < len(NARROW) else "string"


def _first_kinds(session: Session, table: ibis.Table) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Return for each column the kinds that its first texts fit, and whether these are all texts. One short query tests
    the columns below each other."""
    import pyarrow as pa

    names = table.columns
    most = max(1, min(SAMPLE, CELLS // max(1, len(names))))
    rows = session.fetch(table.limit(most + 1))
    are_all, rows = len(rows) <= most, rows.slice(0, most)
    places = pa.array([place for place in range(len(names)) for _ in range(len(rows))], pa.int64())
    texts = pa.chunked_array([chunk for name in names for chunk in rows[name].chunks], pa.string())
    session.add(FIRST, pa.table({"place": places, "text": texts}))
    below = ibis.table({"place": "int64", "text": "string"}, name=FIRST)
    counted = below.group_by("place").agg(named({kind: _misfits(below["text"], kind) for kind in KINDS}))
    found = {row["place"]: row for row in session.fetch(counted).to_pylist()}
    kinds = {
        name: tuple(kind for kind in KINDS if not found.get(place, {}).get(kind)) for place, name in enumerate(names)
    }
    return kinds, are_all


def _narrowed(session: Session, table: ibis.Table, kinds: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return for each column those of its `kinds` that all its texts fit. Without texts, all kinds fit."""
    tests = [(name, kind) for name, found in kinds.items() for kind in found]
    misfits: dict[tuple[str, str], int] = {}
    for begin in range(0, len(tests), AT_ONCE):
        some = tests[begin : begin + AT_ONCE]
        rows = _only(table, dict.fromkeys(name for name, _ in some))
        counts = {f"_{n}": _misfits(rows[name], kind) for n, (name, kind) in enumerate(some)}
        found = session.fetch(rows.aggregate(named(counts))).to_pylist()[0]
        misfits |= dict(zip(some, found.values(), strict=True))
    return {name: tuple(kind for kind in found if not misfits[name, kind]) for name, found in kinds.items()}


def _only(table: ibis.Table, names: Iterable[str]) -> ibis.Table:
    """Return the relation with a part of its columns. Ibis compiles all columns of a table, however few are used."""
    return ibis.table(dict.fromkeys(names, "string"), name=table.get_name())


def _misfits(text: Any, kind: str) -> Any:
    return text.count() if kind == BLANK else text.count(where=unfit(text, narrow(text, kind)))


def missing_of(session: Session, relation: str, names: Sequence[str]) -> dict[str, tuple[int, list[str]]]:
    """Return how many texts of each column mean a missing value, and which ones, for the columns that have some."""
    found: dict[str, tuple[int, list[str]]] = {}
    for begin in range(0, len(names), AT_ONCE):
        some = names[begin : begin + AT_ONCE]
        rows = ibis.table(dict.fromkeys(some, "string"), name=relation)
        texts = {f"_{n}": rows[name].strip() for n, name in enumerate(some)}
        which = {n: text.collect(where=is_missing(text), distinct=True) for n, text in texts.items()}
        many = {f"many{n}": text.count(where=is_missing(text)) for n, text in texts.items()}
        (row,) = session.fetch(rows.aggregate(named({**which, **many}))).to_pylist()
        found |= {name: (row[f"many_{n}"], sorted(row[f"_{n}"])) for n, name in enumerate(some) if row[f"many_{n}"]}
    return found


BLANK = "blank"
"""What a column without texts fits."""
KINDS = (*NARROW, BLANK)


SAMPLE = 2_000
"""The number of rows that are tested before all rows are; of wide files fewer, so that `CELLS` texts are in memory."""

CELLS = 5_000_000
FIRST = "first rows"

_LONGEST = 2**63 - 1

AT_ONCE = 125
"""The number of tests in one query. The time to plan a query grows faster than its columns."""


def type_of(values: Sequence[Any], known: str | None = None) -> str:
    """Return the Ibis type of JSON values: ISO 8601 texts are dates, or instants if one is, objects stay JSON text.

    Without values it is `null`. `known` is the type of the column so far: if it is text, texts are not looked into.
    Integers that no number type holds beside the others are text.
    """
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return "null"
    if kinds <= {int, float}:
        whole = [value for value in values if type(value) is int]
        greatest = max(max(whole), -min(whole)) if whole else 0
        if greatest > (EXACT if float in kinds else _LONGEST):
            return "string"
        return "int64" if kinds == {int} else "float64"
    if kinds == {bool}:
        return "boolean"
    if kinds == {str}:
        if known == "string":
            return known
        texts = [value for value in values if value is not None]
        if all(_is_date(text) for text in texts):
            return "date"
        return INSTANT if all(_is_instant(text) or _is_date(text) for text in texts) else "string"
    return "string"


def _is_date(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and _parses(date, text)


def _is_instant(text: str) -> bool:
    return bool(re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text)) and _parses(datetime, text)


def _parses(kind: type[date], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


def kept(type: dt.DataType) -> str:
    """Return the stored type of a column: instants are in UTC and microseconds, what has no type of its own is text."""
    if type.is_timestamp():
        return INSTANT
    if type.is_null() or type.is_json() or not is_storable(type):
        return "string"
    return "int64" if type.is_integer() else "float64" if type.is_floating() else str(type.copy(nullable=True))


def kept_types(types: Mapping[str, dt.DataType | str]) -> dict[str, str]:
    """Return the stored types of columns."""
    return {name: kept(ibis.dtype(type)) for name, type in types.items()}

"""remedies.toml: accepted findings as part of the project, reviewed like code, applied wherever a source is read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import DefinitionError, UnknownName
from mainstem.nodes.findings import Remedy, Rule
from mainstem.nodes.records import now

if TYPE_CHECKING:
    import ibis

FILE = "remedies.toml"

_HEADER = """\
Remedies: what the models found wrong with the data, and how it is put right on reading.
Written by `mainstem finding accept`, and part of the project: review it like code, edit it if you know better.
A remedy holds for the rows `where`. Its `guard` is checked by every run; once it fails, the cause is gone and
the remedy must go, since it would corrupt data that is right."""

_RULE = ("kind", "node", "column", "factor", "offset", "where", "guard")
_NEEDED = ("finding", "kind", "node", "column", "factor", "where", "guard")


def read(path: Path) -> tuple[Remedy, ...]:
    """The remedies of a file, in order; none if there is no file. Raises `DefinitionError` for what cannot be meant."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    try:
        entries = tomllib.loads(text).get("remedy", [])
    except tomllib.TOMLDecodeError as problem:
        raise DefinitionError(f"{path.name} is not TOML", where=str(path), got=str(problem)) from None
    if not isinstance(entries, list):
        raise DefinitionError(f"{path.name} has no list of remedies", where=str(path), expected="[[remedy]]")
    return tuple(_remedy(entry, f"{path.name}, remedy {i}") for i, entry in enumerate(entries, 1))


def write(path: Path, remedies: Sequence[Remedy]) -> None:
    """Write the remedies, replacing the file at once. The same remedies always make the same text."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text(remedies), "utf-8")
    draft.replace(path)


def text(remedies: Sequence[Remedy]) -> str:
    """The file's content."""
    import tomlkit

    document = tomlkit.document()
    for line in _HEADER.splitlines():
        document.add(tomlkit.comment(line))
    entries = tomlkit.aot()
    for remedy in remedies:
        entries.append(_entry(remedy))
    document.add(tomlkit.nl())
    document["remedy"] = entries
    return tomlkit.dumps(document)


def apply(table: ibis.Table, rules: Sequence[Rule]) -> ibis.Table:
    """The table as the rules correct it, one after the other; each column keeps its type, rounded where it is whole.

    Raises `UnknownName` for a column that is not there and `DefinitionError` for a condition that cannot be read.
    """
    import ibis

    from mainstem.feedback.conditions import condition

    for rule in rules:
        place = f"{FILE}, {rule.node}.{rule.column}"
        if rule.column not in table.columns:
            raise UnknownName.among("column", rule.column, table.columns, where=place)
        column = table[rule.column]
        kind = column.type()
        if not kind.is_numeric():
            raise DefinitionError("only numbers can be rescaled", where=place, got=str(kind), expected="a number")
        corrected: Any = column.cast("float64") * rule.factor + rule.offset
        corrected = corrected.round() if kind.is_integer() else corrected
        chosen = ibis.cases((condition(table, rule.where, place), corrected.cast(kind)), else_=column)
        table = table.mutate(**{rule.column: chosen.cast(kind)})
    return table


def _remedy(entry: Any, where: str) -> Remedy:
    if not isinstance(entry, Mapping):
        raise DefinitionError("a remedy is a table", where=where, expected="[[remedy]]")
    for name in _NEEDED:
        if name not in entry:
            raise DefinitionError(f"the remedy has no {name!r}", where=where, expected=", ".join(_NEEDED))
    unknown = next((name for name in entry if name not in (*_RULE, "finding", "accepted_at", "note")), None)
    if unknown:
        raise UnknownName.among("field of a remedy", unknown, (*_RULE, "finding", "accepted_at", "note"), where=where)
    if entry["kind"] != "rescale":
        raise DefinitionError("no such remedy", where=where, got=str(entry["kind"]), expected="rescale")
    rule = Rule(**{name: entry[name] for name in _RULE if name in entry})
    for value in (rule.factor, rule.offset):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            raise DefinitionError("a rescale multiplies by a number", where=where, got=repr(value))
    if rule.factor == 0:
        raise DefinitionError("a rescale by 0 would erase the column", where=where, got="factor = 0")
    return Remedy(str(entry["finding"]), rule, _moment(entry.get("accepted_at")), str(entry.get("note", "")))


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return now()
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _entry(remedy: Remedy) -> Any:
    import tomlkit

    entry = tomlkit.table()
    rule = remedy.rule
    entry["finding"] = remedy.finding
    if remedy.note:
        entry["note"] = remedy.note
    entry["accepted_at"] = remedy.accepted_at.astimezone(UTC).replace(microsecond=0)
    entry["kind"] = rule.kind
    entry["node"] = rule.node
    entry["column"] = rule.column
    factor = tomlkit.item(rule.factor)
    entry["factor"] = factor
    comment = ratio(rule.factor)
    if comment:
        factor.comment(comment)
    if rule.offset:
        entry["offset"] = rule.offset
    entry["where"] = rule.where
    entry["guard"] = rule.guard
    return entry


def ratio(factor: float) -> str:
    """`1/60` for 0.01666…; empty where the number itself is plain."""
    turned = 1 / factor if abs(factor) > 1e-300 else inf
    if isfinite(turned) and abs(factor) < 1 and abs(turned - round(turned)) < 1e-9:
        return f"1/{round(turned)}"
    return f"1/{turned:.7g}" if len(repr(factor)) > 10 else ""

"""remedies.toml: accepted findings as part of the project. They are reviewed like code and applied when a source is
read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any

import msgspec

from mainstem.errors import DefinitionError, UnknownName
from mainstem.nodes.findings import Remedy, Rule
from mainstem.nodes.records import now
from mainstem.nodes.verbs import VERBS, AnyVerb

FILE = "remedies.toml"

_HEADER = """\
Remedies: corrections of data errors that the models revealed. They are applied when the data is read.
`mainstem finding accept` writes this file. It is part of the project: review it like code, and edit it if needed.
A remedy applies to the rows `where`. Every run checks its `guard`. If the guard fails, the cause is gone: remove
the remedy, since it would corrupt correct data."""


def read(path: Path) -> tuple[Remedy, ...]:
    """Return the remedies of a file, in order; empty without a file. Raises `DefinitionError` for an invalid file."""
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
    """Write the remedies, and replace the file atomically. The same remedies always give the same text."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text(remedies), "utf-8")
    draft.replace(path)


def text(remedies: Sequence[Remedy]) -> str:
    """Return the file's content."""
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


def _remedy(entry: Any, where: str) -> Remedy:
    if not isinstance(entry, Mapping):
        raise DefinitionError("a remedy must be a table", where=where, expected="[[remedy]]")
    kind = entry.get("kind")
    if kind is not None and kind not in VERBS:
        raise UnknownName.among("kind of remedy", str(kind), VERBS, where=where)
    fields = msgspec.structs.fields(VERBS[kind]) if kind else ()
    needed = ("finding", "kind", "node", *(f.name for f in fields if f.required), "where", "guard")
    for name in needed:
        if name not in entry:
            raise DefinitionError(f"the remedy has no {name!r}", where=where, expected=", ".join(needed))
    names = [field.name for field in fields]
    known = ("kind", "node", *names, "where", "guard", "finding", "accepted_at", "note")
    for name in entry:
        if name not in known:
            raise UnknownName.among("field", name, known, of="a remedy", where=where)
    rule = Rule(str(entry["node"]), _verb(entry, names, where), str(entry["where"]), str(entry["guard"]))
    return Remedy(str(entry["finding"]), rule, _moment(entry.get("accepted_at")), str(entry.get("note", "")))


def _verb(entry: Mapping[str, Any], names: Sequence[str], where: str) -> AnyVerb:
    given = {name: entry[name] for name in ("kind", *names) if name in entry}
    try:
        verb: AnyVerb = msgspec.convert(given, AnyVerb)
    except msgspec.ValidationError as problem:
        raise DefinitionError("the remedy has a value of the wrong type", where=where, got=str(problem)) from None
    except DefinitionError as problem:
        raise problem.at(where) from None
    return verb


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
    entry["kind"] = rule.verb.kind
    entry["node"] = rule.node
    for name, value in rule.verb.settings.items():
        entry[name] = _item(name, value)
    entry["where"] = rule.where
    entry["guard"] = rule.guard
    return entry


def _item(name: str, value: Any) -> Any:
    import tomlkit

    item = tomlkit.item(value)
    comment = ratio(value) if name == "factor" else ""
    return item.comment(comment) if comment else item


def ratio(factor: float) -> str:
    """Return `1/60` for 0.01666…; an empty text if the number is short."""
    turned = 1 / factor if abs(factor) > 1e-300 else inf
    if isfinite(turned) and abs(factor) < 1 and abs(turned - round(turned)) < 1e-9:
        return f"1/{round(turned)}"
    return f"1/{turned:.7g}" if len(repr(factor)) > 10 else ""

"""Propose the declaration of a source from its rows: key, time, and when columns become known."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_ID = re.compile(r"(?i)(^|_)(id|key|code|number|no|uuid|sku)$|id$")
_EVENT = (
    "occurred",
    "happened",
    "event",
    "created",
    "ordered",
    "started",
    "scheduled",
    "observed",
    "timestamp",
    "time",
)
_CHANGE = ("updated", "modified", "changed", "last_modified")


@dataclass(frozen=True)
class Guess:
    """What rows suggest. `later` are the other columns of instants, which may say when columns become known."""

    key: str | None
    time: str | None
    cursor: str | None
    later: tuple[str, ...]


def guess(rows: pa.Table, schema: Mapping[str, str]) -> Guess:
    """Return a key that is unique and never null in the rows, and columns of instants by their names."""
    instants = [name for name, type in schema.items() if type.startswith(("timestamp", "date"))]
    changes = [name for name in instants if any(word in name.lower() for word in _CHANGE)]
    events = [name for name in instants if name not in changes and not _has_nulls(rows, name)]
    time = min(events, key=lambda name: (_rank(name), instants.index(name)), default=None)
    key = next((name for name in _by_name(schema) if _is_unique(rows, name)), None)
    later = tuple(name for name in instants if name != time)
    return Guess(key, time, changes[0] if changes and not _has_nulls(rows, changes[0]) else None, later)


def written(name: str, call: str, place: Sequence[str], found: Guess, *, cursor: bool) -> str:
    """Return the declaration as code that loads. What the rows cannot tell stands in comments."""
    lines = [*place]
    lines += [f"key={json.dumps(found.key)}"] if found.key else []
    lines += [f"time={json.dumps(found.time)}"] if found.time else []
    lines += [f"cursor={json.dumps(found.cursor or found.time)}"] if cursor and (found.cursor or found.time) else []
    lines += [] if found.time else ['known="always"']
    notes = [] if found.key else ["# no column is unique in the rows that were read: name the key"]
    if found.time:
        notes.append("# columns count as known at `time`; if one is known later, name the column that says when:")
        said = ", ".join(f'"…": {json.dumps(each)}' for each in found.later[:2]) or '"…": "…"'
        notes.append(f"# known={{{said}}}")
    else:
        notes.append('# without a time the rows count as known always; if not, name time="…"')
    body = "".join(f"    {line},\n" for line in lines) + "".join(f"    {note}\n" for note in notes)
    return f"import mainstem as ms\n\n{name} = ms.{call}(\n{body})\n"


def identifier(text: str) -> str:
    """Return a name for a source, from the last part of its place."""
    parts = re.split(r"[?#]", text)[0].rstrip("/").split("/")
    plain = [part.split(".")[0] for part in parts if part and not set(part.split(".")[0]) & set("*[]?{}")]
    name = re.sub(r"\W+", "_", plain[-1] if plain else "", flags=re.ASCII).strip("_").lower()
    name = re.sub(r"^(?=\d)", "_", name) or "rows"
    return f"{name}_" if keyword.iskeyword(name) or name == "ms" else name


def _rank(name: str) -> int:
    return next((rank for rank, word in enumerate(_EVENT) if word in name.lower()), len(_EVENT))


def _by_name(schema: Mapping[str, str]) -> list[str]:
    """Return the columns that may be a key: those that are named like one, the shortest name first."""
    named = [name for name, type in schema.items() if _ID.search(name) and type.startswith(("int", "string", "uuid"))]
    return sorted(named, key=lambda name: (name.lower() not in ("id", "key", "uuid"), list(schema).index(name)))


def _has_nulls(rows: pa.Table, name: str) -> bool:
    return name not in rows.column_names or rows[name].null_count > 0


def _is_unique(rows: pa.Table, name: str) -> bool:
    import pyarrow.compute as pc

    if not rows.num_rows or _has_nulls(rows, name):
        return False
    return bool(pc.count_distinct(rows[name]).as_py() == rows.num_rows)

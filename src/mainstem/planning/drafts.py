"""Records of a run that are not published yet. Only later steps of the run see them."""

from __future__ import annotations

from typing import Any

from mainstem.ports import R, Record, State


class Drafts:
    """The records of a state, overlaid with those of one run. The runner publishes them with the release."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._made: dict[tuple[type, str], Record] = {}

    def add(self, *records: Record) -> None:
        """Make `records` visible to later steps. A record replaces an earlier one with the same id."""
        made = {(type(record), record.id): record for record in records}
        self._made = {**self._made, **made}  # a new mapping: steps that run at the same time read the old one

    @property
    def made(self) -> tuple[Record, ...]:
        """The records of the run so far, in order of creation."""
        return tuple(self._made.values())

    def get(self, kind: type[R], id: str) -> R | None:
        """Return a record, preferably the run's own. Raises `StorageError`."""
        own: Any = self._made.get((kind, id))
        return own or self._state.get(kind, id)

    def find(self, kind: type[R], **fields: str) -> list[R]:
        """Return the records whose fields equal these texts, oldest first. Raises `StorageError`."""
        own: dict[str, Any] = {id: record for (of, id), record in self._made.items() if of is kind}
        stored = [record for record in self._state.find(kind, newest=None, **fields) if record.id not in own]
        return [*stored, *(each for each in own.values() if _matches(each, fields))]


def _matches(record: Record, fields: dict[str, str]) -> bool:
    return all(str(getattr(record, name, None)) == text for name, text in fields.items())

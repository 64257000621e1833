"""Features as somebody who asks for them gets them: values, and beside them what they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mainstem.features.instants import ALWAYS, instant_of
from mainstem.features.online.state import Reading
from mainstem.features.views.view import CompiledView


@dataclass(frozen=True, eq=False)
class FeatureRow(Mapping[str, Any]):
    """A view's features of one key at one time: a mapping of them, and what says where they come from.

    `effective` is when the newest event seen became usable (None: none was seen, or it was known always). `windows`
    maps each window to what it covers, from the first instant to the time of the read. `fingerprint` is that of the
    definition which the state was built with. `missing` says that the key is unknown, or has no value yet or any more.
    Instants are UTC.
    """

    view: str
    key: Mapping[str, Any]
    time: datetime
    features: Mapping[str, Any]
    effective: datetime | None
    windows: Mapping[str, tuple[datetime | None, datetime]]
    fingerprint: str
    missing: bool

    def __getitem__(self, name: str) -> Any:
        return self.features[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)


def row_of(view: CompiledView, key: Mapping[str, Any], t: int, reading: Reading, fingerprint: str) -> FeatureRow:
    """A reading at `t` (µs), told in instants."""
    time = instant_of(t)
    return FeatureRow(
        view.name,
        {name: _told(value, view.key[name]) for name, value in key.items()},
        time,
        {name: _told(reading.values[name], type) for name, type in view.schema.items()},
        None if reading.effective in (None, ALWAYS) else _instant(reading.effective),
        {window.text: (_instant(window.start(t)), time) for window in view.windows},
        fingerprint,
        reading.missing,
    )


def _told(value: Any, type: str) -> Any:
    return _instant(value) if type.startswith("timestamp") and value is not None else value


def _instant(micros: int | None) -> datetime | None:
    """None is before year 1, or after 9999."""
    try:
        return None if micros is None else instant_of(micros)
    except OverflowError:
        return None

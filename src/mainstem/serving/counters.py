"""The counters of several workers as one: each keeps a file of its own, and the one that is scraped adds them up.

A worker that takes the place of another goes on from its counters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_Key = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample and its labels, sorted."""

_SUMMED = ("counter", "histogram")
_LEAST, _MOST = "mainstem_topic_up", "mainstem_topic_lag"
"""Gauges of what only one worker knows: whether the topic can be read by all of them, and the lag of a partition."""


class Shared:
    """The files of the workers of one server, in `directory`; `slot` is this worker's number."""

    def __init__(self, directory: Path, slot: int) -> None:
        self._directory, self._own = directory, directory / f"{slot}.prom"
        self._before = _read(self._own)
        self._saving = threading.Lock()

    def save(self, text: str) -> None:
        """Show this worker's metrics to the others."""
        with self._saving:
            draft = self._own.with_suffix(".part")
            draft.write_text(merged(text, [_counters(self._before)]))
            draft.replace(self._own)

    def together(self, text: str) -> str:
        """Return this worker's metrics with those of the others, which are up to a second old."""
        others = [_read(path) for path in self._directory.glob("*.prom") if path != self._own]
        return merged(text, [_counters(self._before), *others])


def _read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text()
    return ""


def _families(text: str) -> Iterable[Any]:
    from prometheus_client.parser import text_string_to_metric_families

    return text_string_to_metric_families(text)


def _counters(text: str) -> str:
    """Return the counters and histograms of a text."""
    return _text({family.name: family for family in _families(text) if family.type in _SUMMED}, {}) if text else ""


def merged(own: str, others: Iterable[str]) -> str:
    """Return metrics in Prometheus' text format, with the counters of others added."""
    families = {family.name: family for family in _families(own)}
    values: dict[_Key, float] = {_key(s): s.value for f in families.values() for s in f.samples}
    for text in others:
        for family in _families(text):
            if family.type not in _SUMMED and family.name not in (_LEAST, _MOST):
                continue
            held = families.setdefault(family.name, family)
            for sample in family.samples:
                key = _key(sample)
                if held is not family and key not in values:
                    held.samples.append(sample)
                values[key] = _both(family, values.get(key), sample.value)
    return _text(families, values)


def _both(family: Any, one: float | None, other: float) -> float:
    if one is None:
        return other
    if family.type in _SUMMED:
        return one + other
    return min(one, other) if family.name == _LEAST else max(one, other)


def _key(sample: Any) -> _Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _text(families: Mapping[str, Any], values: Mapping[_Key, float]) -> str:
    lines = list[str]()
    for name, family in families.items():
        shown = f"{name}_total" if family.type == "counter" else name
        lines += [f"# HELP {shown} {_escaped(family.documentation)}", f"# TYPE {shown} {family.type}"]
        for sample in family.samples:
            labels = ",".join(f'{label}="{_escaped(value, quote=True)}"' for label, value in sample.labels.items())
            value = values.get(_key(sample), sample.value)
            lines.append(f"{sample.name}{{{labels}}} {value!r}" if labels else f"{sample.name} {value!r}")
    return "\n".join([*lines, ""])


def _escaped(text: str, *, quote: bool = False) -> str:
    found = text.replace("\\", "\\\\").replace("\n", "\\n")
    return found.replace('"', '\\"') if quote else found

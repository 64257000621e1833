"""The verb that maps texts to canonical ones by a reviewed file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import DefinitionError
from mainstem.nodes.verbs.base import Invalid, TextVerb, Verb, otherwise

if TYPE_CHECKING:
    import ibis

HEADER = ("value", "canonical", "score")
"""The columns of a file of matches. A value with an empty canonical text is unknown."""


class Match(TextVerb, frozen=True, tag="match"):
    """Replace texts by canonical ones as the CSV `file` says, with the columns `value`, `canonical` and `score`. The
    texts of `to` stay as they are. Any other text is `invalid`. Null stays null. Needs no statistics.

    The file is part of the project: its lines are the definition, so results are stable. `Project.propose_matches` adds
    lines for new texts that are similar to one of `to` (at least `similarity`, from 0 to 1), for review.
    """

    file: str
    to: tuple[str, ...]
    similarity: float = 0.8
    invalid: Invalid = "fail"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.to or not 0 < self.similarity <= 1 or not self.file:
            raise DefinitionError(
                "'match' needs a file, canonical texts and a similarity",
                got=f"file={self.file!r}, {len(self.to)} texts, similarity={self.similarity:g}",
                expected='match("city", "cities.csv", to=["Berlin"], similarity=0.8)',
            )

    @property
    def confined(self) -> str | None:
        return "its file is read when the project loads"

    def loaded(self, root: Path) -> Verb:
        return _Matched(self.column, tuple(entries(self.path(root)).items()), self.to, self.invalid)

    def path(self, root: Path) -> Path:
        """Return the file below the project's directory. Raises `DefinitionError` for another place."""
        path = (root / self.file).resolve()
        if not path.is_relative_to(root.resolve()):
            raise DefinitionError("the file of 'match' is outside the project", got=self.file)
        return path

    def value(self, column: Any) -> ibis.Value:
        raise NotImplementedError("a match is loaded first")

    def describe(self) -> str:
        return f"{self.column} matched by {self.file}, {otherwise(self.invalid)}"


class _Matched(TextVerb, frozen=True, tag="matched"):
    """A match with the lines of its file."""

    values: tuple[tuple[str, str], ...]
    to: tuple[str, ...]
    invalid: Invalid

    @property
    def label(self) -> str:
        return f"match({self.column})"

    def value(self, column: Any) -> ibis.Value:
        import ibis

        known = {**{text: text for text in self.to}, **{old: new for old, new in self.values if new}}
        return ibis.cases(*((column == old, new) for old, new in known.items()), else_=ibis.null("string"))

    def describe(self) -> str:
        return f"{self.column} matched, {otherwise(self.invalid)}"


def entries(path: Path) -> Mapping[str, str]:
    """Return the lines of a file of matches; empty without a file. Raises `DefinitionError`."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DefinitionError("a file of matches cannot be read", where=str(path), got=str(problem)) from None
    if not rows or tuple(rows[0]) != HEADER:
        raise DefinitionError(
            "a file of matches has the wrong header",
            where=f"{path.name}, line 1",
            got=",".join(rows[0]) if rows else "an empty file",
            expected=",".join(HEADER),
        )
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(HEADER) or row[0] in found:
            raise DefinitionError(
                "a line of a file of matches is invalid",
                where=f"{path.name}, line {number}",
                got=",".join(row),
                expected="value, canonical and score; each value once",
            )
        found[row[0]] = row[1]
    return found

"""The tables of docs/algorithm-settings.md are those of the declarations. `python FILE` writes them."""

from __future__ import annotations

import re
from dataclasses import Field
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import DefinitionError
from mainstem.models.algorithms.registry import BUILT_IN
from mainstem.models.algorithms.settings import Choice, Declared, Range, settings_of

PAGE = Path(__file__).parents[2] / "docs" / "algorithm-settings.md"
BEGIN = "<!-- The rest is written by `python tests/docs/test_algorithm_settings.py`. -->\n"


def takes(each: Field[Any]) -> str:
    """What a setting takes, as its errors say it."""
    kind = each.metadata["kind"]
    with pytest.raises(DefinitionError) as problem:
        kind(each.name, object())
    expected = str(problem.value.expected).replace("above -1e-09", "of at least 0").replace("|", "or")
    try:
        kind(each.name, None)
    except DefinitionError:
        return expected
    return f"{expected}, or None"


def searched(where: Range | Choice | None) -> str:
    log = isinstance(where, Range) and where.log
    return "" if where is None else f"{where}{', by logarithm' if log else ''}"


def section(algorithm: type[Declared]) -> str:
    """The part of the page about an algorithm."""
    said = re.sub(r"\s+", " ", str(algorithm.__doc__)).strip()
    rows = [
        f"| `{each.name}` | `{each.default!r}` | {takes(each)} | {searched(each.metadata['search'])} |"
        for each in settings_of(algorithm)
    ]
    head = ["| setting | default | takes | a search looks |", "|---|---|---|---|"]
    table = "\n".join([*head, *rows]) if rows else "It has no settings."
    return f"## {algorithm.name}\n\n{said}\n\nTasks: {', '.join(algorithm.tasks)}.\n\n{table}\n"


def written() -> str:
    """The page as it should be."""
    return PAGE.read_text().split(BEGIN)[0] + BEGIN + "\n" + "\n".join(map(section, BUILT_IN))


def test_the_page_is_that_of_the_declarations() -> None:
    assert PAGE.read_text() == written(), "run: python tests/docs/test_algorithm_settings.py"


if __name__ == "__main__":
    PAGE.write_text(written())

"""What every declaration is: a frozen value, compared by identity, that remembers the line that made it."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstem.nodes.redaction import redacted

_PACKAGE = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Origin:
    """The line of the user's project that made a node."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        place = f"{Path(self.file).name}:{self.line}"
        return f"{place}  {self.text}" if self.text else place

    @classmethod
    def of_caller(cls) -> Origin:
        """The nearest line on the stack that is outside Mainstem."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<string>")):
            frame = frame.f_back
        file, line = frame.f_code.co_filename, frame.f_lineno
        text = redacted(linecache.getline(file, line).strip())
        return cls(file, line, f"{text}…)" if text.endswith("(") else text)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A declaration. `name` is None until the project gives it the name of its module attribute."""

    name: str | None = None
    description: str | None = None
    owner: str | None = None
    origin: Origin = field(default_factory=Origin.of_caller)


NodeRef = Node | str
"""A node, or the name of one that another module declares."""


def names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """`"a"` → `("a",)`, a list → a tuple, None → `()`."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


Deferred = Any
"""An expression written with Ibis' `_`, such as `_.dep_delay.mean()`; resolved against a table later."""

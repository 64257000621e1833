"""The base of every declaration: a frozen value, compared by identity, that remembers the user's line that made it."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.masking import brief
from mainstem.nodes import notebook
from mainstem.nodes.places import place
from mainstem.nodes.redaction import redacted

_PACKAGE = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Origin:
    """The line of the user's project that made a node."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        line = f"{place(self.file)}:{self.line}"
        return f"{line}  {self.text}" if self.text else line

    @classmethod
    def of_caller(cls, *files: str) -> Origin:
        """Return the nearest line on the stack that is outside Mainstem and outside `files`.

        A package's function that declares a node passes its own `__file__`, so that errors quote the user's line.
        """
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<string>", *files)):
            frame = frame.f_back
        file, line = frame.f_code.co_filename, frame.f_lineno
        text = redacted(linecache.getline(file, line).strip())
        return cls(file, line, f"{text}…)" if text.endswith("(") else text)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A declaration. `name` is None until the project sets it to the name of the module attribute."""

    name: str | None = None
    description: str | None = None
    owner: str | None = None
    origin: Origin = field(default_factory=Origin.of_caller)

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = Node.__repr__  # type: ignore[method-assign] # else `dataclass` makes one with all fields

    def __repr__(self) -> str:
        return notebook.line(self._kind, self.name or "without a name", str(self.origin))

    def _repr_html_(self) -> str:
        names = ("key", "time", "path", "format", "windows", "columns")
        facts = {name: getattr(self, name, None) for name in names}
        told = [{"": name, " ": _plain(value)} for name, value in facts.items() if value]
        about = f"{self._kind} {self.origin}"
        return notebook.html(self.name or "without a name", about, told)

    @property
    def _kind(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


NodeRef = Node | str
"""A node, or the name of one that another module declares."""


def names(value: str | Iterable[str] | None, of: str = "columns") -> tuple[str, ...]:
    """Return a tuple of names: `"a"` → `("a",)`, a list → a tuple, None → `()`. Raises `DefinitionError` for other
    values."""
    if value is None or isinstance(value, str):
        return () if value is None else (value,)
    found = several(value)
    for each in (value,) if found is None else found:
        if not isinstance(each, str):
            raise refused(f"{of} must be given by name", each, 'a text, as in "origin", or several')
    return found or ()


def check_column(value: Any) -> None:
    """Refuse a value that is neither one column name nor None. Raises `DefinitionError`."""
    if value is not None and not isinstance(value, str):
        raise refused("a column must be given by name", value, 'one text, as in "scheduled_at"')


def several(value: Any) -> tuple[Any, ...] | None:
    """Return the items of a list or another iterable, those of a set in an order that each process finds; None for a
    text and for any other single value."""
    if isinstance(value, str):
        return None
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(value, key=repr))
    try:
        return tuple(value)
    except TypeError:  # `_.a` defines `__iter__` but cannot be iterated
        return None


def refused(what: str, value: Any, expected: str, hint: str | None = None) -> DefinitionError:
    """Return the error for a declaration with the invalid `value`, at the user's line."""
    return DefinitionError(what, where=str(Origin.of_caller()), got=shown(value), expected=expected, hint=hint)


def shown(value: Any) -> str:
    """Return a value of a declaration on one short line; a node is shown by kind and name, because its repr may hold an
    URL."""
    if isinstance(value, Node):
        return f"{value._kind}: {value.name or value.origin}"
    text = " ".join(repr(value).split())
    return brief(text)


def reasons(assume_known: Mapping[str, str] | None) -> dict[str, str]:
    """Return `assume_known` after a check that each column has a reason. Raises `DefinitionError`."""
    said = {} if assume_known is None else assume_known
    expected = 'a reason for each column: assume_known={"runways": "they are not rebuilt overnight"}'
    if not isinstance(said, Mapping):
        raise refused("`assume_known` must map columns to reasons", said, expected)
    for column, reason in said.items():
        if not (isinstance(column, str) and isinstance(reason, str) and reason.strip()):
            raise refused(f"`assume_known` has no reason for {column!r}", reason, expected)
    return dict(said)


Deferred = Any
"""An expression written with Ibis' `_`, such as `_.dep_delay.mean()`. It is resolved against a table later."""

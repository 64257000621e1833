"""Every error Mainstem raises on purpose.

    MainstemError
    ├── SettingsError            mainstem.toml, a profile or a secret is wrong
    ├── MissingExtra             an optional library is not installed
    ├── PluginError              an installed package offers an extension that cannot be used
    ├── DefinitionError          the project's definitions cannot be loaded
    │   ├── UnknownName          a parameter, node or column that nothing is called
    │   ├── CycleError           nodes that need each other
    │   ├── SchemaError          an expression that its inputs' schemas do not allow
    │   └── LeakError            a model column that is not known when the prediction is made
    ├── SourceError              a source gave nothing, or something it may not give
    │   └── SourceUnreachable    it could not be reached at all
    ├── CheckFailed              a check of severity error found violations
    ├── StorageError             the lake, the online store or the state could not be read or written
    │   └── ConflictError        another run moved the branch first
    ├── EngineError              the engine refused or failed a query
    ├── ModelError               training, export or scoring failed
    │   └── GateError            the exported artifact does not score as the fitted model does
    ├── Unavailable              the server has nothing to answer with yet
    ├── RequestError             a request to the server is not what its schema says
    │   ├── NotFound             nothing has that name
    │   └── Forbidden            the key is missing, wrong or lacks the scope
    └── RunFailed                a run ended without publishing

Each says what happened, where, what was got and expected, and a hint. They know nothing of exit codes or
HTTP status: `cli/` and `serving/` map them.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any, Self

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What the operating system says of a full disk."""


class MainstemError(Exception):
    """The base of every error raised on purpose.

    Parameters are plain text: `what` happened, `where` (node, file and line), what was `got` and `expected`, a `hint`.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        parts = ((name, getattr(self, name)) for name in ("where", "got", "expected", "hint"))
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in parts if text)])

    @property
    def kind(self) -> str:
        """The class name: a stable word for logs, JSON and tests."""
        return type(self).__name__

    def at(self, where: str) -> Self:
        """The same error with a place, unless it has one already."""
        self.where = self.where or where
        return self

    def within(self, place: str) -> Self:
        """The same error with `place`, a node and its line, before the place it has: a file, an address, a row."""
        if not self.where:
            self.where = place
        elif not self.where.startswith(place):
            self.where = f"{place}: {self.where}"
        return self


def close_matches(name: str, known: Iterable[str]) -> str | None:
    """`did you mean …?` for the names nearest to `name`, or None."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {', '.join(repr(n) for n in near)}?" if near else None


class SettingsError(MainstemError):
    """mainstem.toml, a profile or a secret is wrong."""


class MissingExtra(MainstemError):
    """An optional library is not installed."""

    @classmethod
    def named(cls, extra: str, library: str) -> MissingExtra:
        return cls(
            f"{library} is not installed",
            expected=f"the extra {extra!r}",
            hint=f"pip install 'mainstem[{extra}]'",
        )


class PluginError(MainstemError):
    """An installed package offers an extension that cannot be used."""

    @classmethod
    def broken(cls, group: str, name: str, package: str, value: str, problem: Exception) -> PluginError:
        """The error for an entry point `name = value` that cannot be imported or used because of `problem`."""
        return cls(
            f"the package {package!r} offers {name!r}, but it cannot be used",
            where=f'entry point {name} = "{value}" in the group {group}',
            got=f"{type(problem).__name__}: {problem}",
            hint=f"repair, update or uninstall {package}",
        )

    @classmethod
    def ambiguous(cls, group: str, name: str, offers: Iterable[str]) -> PluginError:
        """The error for a name that several packages offer."""
        return cls(
            f"several packages offer {name!r}",
            where=f"entry points in the group {group}",
            got=", ".join(sorted(offers)),
            expected="one package",
            hint="uninstall all but one of them",
        )


class DefinitionError(MainstemError):
    """The project's definitions cannot be loaded."""


class UnknownName(DefinitionError):
    """A parameter, node or column that nothing is called."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> UnknownName:
        names = sorted(known)
        return cls(
            f"unknown {kind} {name!r}",
            where=where,
            expected=f"one of {', '.join(names)}" if names else f"a {kind}; there is none yet",
            hint=close_matches(name, names),
        )


class CycleError(DefinitionError):
    """Nodes that need each other: `names`."""

    names: tuple[str, ...] = ()

    @classmethod
    def through(cls, names: Sequence[str]) -> CycleError:
        """The error for names of which each is made from the one before, the first from the last."""
        error = cls(
            "the graph has a cycle: each of these nodes needs the one before",
            got=" → ".join(names),
            expected="data that goes in one direction",
            hint="let one of them read a source, or a table before the cycle",
        )
        error.names = tuple(dict.fromkeys(names))
        return error


class SchemaError(DefinitionError):
    """An expression that its inputs' schemas do not allow."""


class LeakError(DefinitionError):
    """A model column that is not known when the prediction is made."""


class SourceError(MainstemError):
    """A source gave nothing, or something it may not give."""


class SourceUnreachable(SourceError):
    """A source could not be reached at all."""


class CheckFailed(MainstemError):
    """A check of severity `error` found violations."""


class StorageError(MainstemError):
    """The lake, the online store or the state could not be read or written."""

    @classmethod
    def full(cls, where: str | None, got: str) -> StorageError:
        """The disk is full, as the system or a library `got` it said."""
        return cls(
            "the disk is full",
            where=where,
            got=got,
            expected="free space for the write; nothing of it was kept",
            hint="free some space, then do it again",
        )

    @classmethod
    def of(cls, error: OSError) -> StorageError:
        """What the operating system refused."""
        where, got = str(error.filename or "") or None, error.strerror or str(error)
        if error.errno in FULL:
            return cls.full(where, got)
        return cls(
            "a file cannot be read or written",
            where=where,
            got=got,
            expected="a file that may be",
            hint="do its directory and its owner allow it?",
        )


class ConflictError(StorageError):
    """Another run moved the branch first."""


class EngineError(MainstemError):
    """The engine refused or failed a query."""


class ModelError(MainstemError):
    """Training, export or scoring failed."""


class GateError(ModelError):
    """The exported artifact does not score as the fitted model does."""


class Unavailable(MainstemError):
    """The server has nothing to answer with yet."""


class RequestError(MainstemError):
    """A request to the server is not what its schema says."""


class NotFound(RequestError):
    """Nothing has that name."""


class Forbidden(RequestError):
    """The key is missing, wrong or lacks the scope."""


class RunFailed(MainstemError):
    """A run ended without publishing; `run` is its record, `causes` what its failed steps raised."""

    run: Any = None
    causes: tuple[MainstemError, ...] = ()

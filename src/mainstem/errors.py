"""Every error Mainstem raises on purpose.

    MainstemError
    ├── SettingsError            mainstem.toml, a profile or a secret is invalid
    ├── MissingExtra             an optional library is not installed
    ├── PluginError              an installed package offers an extension that cannot be used
    ├── DefinitionError          the project's definitions cannot be loaded
    │   ├── UnknownName          an unknown parameter, node or column
    │   ├── CycleError           nodes that depend on each other
    │   ├── SchemaError          an expression that does not fit the schemas of its inputs
    │   └── LeakError            a model column that is not known when the prediction is made
    ├── SourceError              a source delivered no data, or invalid data
    │   └── SourceUnreachable    the source could not be reached
    ├── SinkError                a sink's target could not be written
    ├── CheckFailed              a check of severity error found violations
    ├── StorageError             the lake, the online store or the state could not be read or written
    │   └── ConflictError        another run moved the branch first
    ├── EngineError              the engine refused or failed a query
    ├── ModelError               training, export or scoring failed
    │   └── GateError            the exported artifact does not score like the fitted model
    ├── Unavailable              the server is not ready to answer
    ├── RequestError             a request to the server does not fit its schema
    │   ├── NotFound             a name does not exist
    │   └── Forbidden            the API key is missing, invalid or lacks the scope
    ├── RunFailed                a run ended without publishing
    └── DeliveryFailed           a run published, but could not deliver to a sink

Each error says what happened, where, what was got and expected, and a hint. Exit codes and HTTP status codes are
mapped in `cli/` and `serving/`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Self

from mainstem.masking import masked

LONGEST_NAME, MOST_NAMES = 200, 1_000
"""Characters and number of names that are compared for a hint."""

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""The error numbers of a full disk."""


class MainstemError(Exception):
    """The base of every error raised on purpose.

    Parameters are plain text: `what` happened, `where` (node, file and line), what was `got` and `expected`, a `hint`.
    Secret values in them are masked.
    """

    transient: bool = False
    """Whether the same may work a little later: a server that does not answer, a lock that another process holds."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(masked(what))
        self.what = masked(what)
        self.where = _masked(where)
        self.got = _masked(got)
        self.expected = _masked(expected)
        self.hint = _masked(hint)

    def __str__(self) -> str:
        parts = self.parts
        return "\n".join([parts.pop("what"), *(f"  {name}: {text}" for name, text in parts.items())])

    @property
    def parts(self) -> dict[str, str]:
        """Return what the error says, by name: `what`, and those of `where`, `got`, `expected` and `hint` that it has.

        Secret values are masked.
        """
        named = ((name, getattr(self, name)) for name in ("what", "where", "got", "expected", "hint"))
        return {name: masked(str(text)) for name, text in named if text or name == "what"}

    @property
    def kind(self) -> str:
        """Return the class name, a stable word for logs, JSON and tests."""
        return type(self).__name__

    def at(self, where: str) -> Self:
        """Set `where`, unless the error has one already. Return the error."""
        self.where = self.where or where
        return self

    def passing(self, passing: bool = True) -> Self:
        """Say whether the error is transient. Return the error."""
        self.transient = passing
        return self

    def within(self, place: str) -> Self:
        """Put `place`, a node and its line, before `where` (a file, an address, a row). Return the error."""
        if not self.where:
            self.where = place
        elif not self.where.startswith(place):
            self.where = f"{place}: {self.where}"
        return self


def _masked(text: str | None) -> str | None:
    return masked(text) if isinstance(text, str) else text


def meant_as(name: str, unknown: Iterable[str]) -> str | None:
    """Return a hint for a field `name` that is missing, if a field that is not known is near it; else None."""
    near = _nearest(name, unknown)
    return f"there is no field {', '.join(map(repr, near))}: write {name!r}" if near else None


def close_matches(name: str, known: Iterable[str]) -> str | None:
    """Return `did you mean …?` with the names nearest to `name`, or None; also for what is too long to be a name."""
    near = _nearest(name, known)
    return f"did you mean {', '.join(map(repr, near))}?" if near else None


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    if len(name) > LONGEST_NAME:
        return []  # the comparison takes time in proportion to the square of the length
    names = islice((other for other in known if len(other) <= LONGEST_NAME), MOST_NAMES)
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    best = max((_likeness(name, other) for other in near), default=0.0)
    return [other for other in near if _likeness(name, other) > best - 0.2]


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name).ratio()


class SettingsError(MainstemError):
    """mainstem.toml, a profile or a secret is invalid."""


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
        """Return the error for an entry point `name = value` that cannot be imported or used because of `problem`."""
        return cls(
            f"the package {package!r} offers {name!r}, but it cannot be used",
            where=f'entry point {name} = "{value}" in the group {group}',
            got=f"{type(problem).__name__}: {problem}",
            hint=f"repair, update or uninstall {package}",
        )

    @classmethod
    def ambiguous(cls, group: str, name: str, offers: Iterable[str]) -> PluginError:
        """Return the error for a name that several packages offer."""
        return cls(
            f"several packages offer {name!r}",
            where=f"entry points in the group {group}",
            got=", ".join(sorted(offers)),
            expected="one package",
            hint="uninstall all but one of them",
        )


class DefinitionError(MainstemError):
    """The project's definitions cannot be loaded.

    `run` is the record of the run that published the rest, if the error concerns a view, a model or an endpoint only.
    """

    run: Any = None


class UnknownName(DefinitionError):
    """An unknown parameter, node or column."""

    @classmethod
    def among(
        cls, kind: str, name: str, known: Iterable[str], *, of: str | None = None, where: str | None = None
    ) -> UnknownName:
        """Return the error for a `name` that is not in `known`. `of` is what was searched, such as a table."""
        names = sorted(known)
        return cls(
            f"unknown {kind} {name!r}" + (f" in {of}" if of else ""),
            where=where,
            expected=f"one of {', '.join(names)}" if names else f"a {kind}, but none exists yet",
            hint=close_matches(name, names),
        )


class CycleError(DefinitionError):
    """Nodes that depend on each other: `names`."""

    names: tuple[str, ...] = ()

    @classmethod
    def through(cls, names: Sequence[str]) -> CycleError:
        """Return the error for `names`: each depends on the one before, the first on the last."""
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
    """A source delivered no data, or invalid data."""


class SourceUnreachable(SourceError):
    """A source could not be reached."""

    transient = True


class SinkError(MainstemError):
    """A sink's target could not be reached, or refused what was written. The target has what it had before."""


class CheckFailed(MainstemError):
    """A check of severity `error` found violations."""


class StorageError(MainstemError):
    """The lake, the online store or the state could not be read or written."""

    of_one_record: bool = False
    """Whether the store itself works, and what needs other records, too."""

    @classmethod
    def full(cls, where: str | None, got: str) -> StorageError:
        """Return the error for a full disk; `got` is the text of the system or the library."""
        return cls(
            "the disk is full",
            where=where,
            got=got,
            expected="free space for the write; the write was rolled back",
            hint="free some space, then do it again",
        )

    @classmethod
    def of(cls, error: OSError) -> StorageError:
        """Return the error for an operating system error."""
        where, got = str(error.filename or "") or None, error.strerror or str(error)
        if error.errno in FULL:
            return cls.full(where, got)
        return cls(
            "a file cannot be read or written",
            where=where,
            got=got,
            expected="a readable and writable file",
            hint="check the permissions of the file and its directory",
        )


class SnapshotGone(StorageError):
    """A snapshot of a table no longer exists: garbage collection deleted it."""


class ConflictError(StorageError):
    """Another run moved the branch first."""


class EngineError(MainstemError):
    """The engine refused or failed a query."""


class ModelError(MainstemError):
    """Training, export or scoring failed."""


class GateError(ModelError):
    """The exported artifact does not score like the fitted model."""


class Unavailable(MainstemError):
    """The server is not ready to answer."""


class RequestError(MainstemError):
    """A request to the server does not fit its schema."""


class NotFound(RequestError):
    """A name does not exist."""


class Forbidden(RequestError):
    """The API key is missing, invalid or lacks the scope."""


class RunFailed(MainstemError):
    """A run ended without publishing.

    `run` is its record, `causes` are the errors of its failed steps. `judged` is the record of the run that judged live
    endpoints afterwards, if there was one.
    """

    run: Any = None
    judged: Any = None
    causes: tuple[MainstemError, ...] = ()


class DeliveryFailed(MainstemError):
    """A run published its release, but could not deliver to a sink. The next run tries again.

    `run` is its record, `causes` are the errors of its failed deliveries.
    """

    run: Any = None
    causes: tuple[MainstemError, ...] = ()

"""Sources: external data. A source says where the data is, its key, when a row happened and when
columns become known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from mainstem.nodes.base import Deferred, Node, NodeRef, check_column, names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import META, declared
from mainstem.nodes.kinds import (
    Kind,
    boolean,
    column,
    columns,
    integer,
    mapping,
    node,
    optional,
    text,
    values_of,
    word,
)
from mainstem.nodes.kinds import known as known_kind

KnownSpec = Literal["always"] | str | Deferred | Mapping[str, Any] | None
"""When columns become known: `"always"`, an instant column's name, an Ibis expression, or a mapping from columns to
these, with `"*"` for all other columns. None means at `time`; without a `time` it means unknown."""


Policy = Literal["evolve", "freeze", "quarantine"]
"""What happens when a source no longer has the known schema: the schema changes with it, the run fails, or rows that do
not fit are set aside."""

Contract = Policy | Mapping[str, Policy]
"""The policy of a source, or of its columns, with `"*"` for all other columns, also new ones."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Node):
    """External data. `schema` maps columns to Ibis types. It is introspected unless declared. `retries` is how often a
    run collects it again after an error that may pass; None: as mainstem.toml says. `contract` says what may change.
    `feeds` says whether a stream may take its events from sources of this type."""

    feeds: ClassVar[bool] = False

    key: tuple[str, ...] = ()
    time: str | None = None
    known: KnownSpec = None
    schema: Mapping[str, str] | None = None
    cursor: str | None = None
    checks: tuple[Check, ...] = ()
    retries: int | None = None
    contract: Contract = "evolve"

    def __post_init__(self) -> None:
        check_column(self.time)

    @property
    def repeats(self) -> bool:
        """Whether a key may be delivered again: what is new is appended to what is stored."""
        return self.cursor is not None

    @property
    def refreshes(self) -> bool:
        """Whether a full refresh reads rows that a run would not read again."""
        return self.cursor is not None

    def policy(self, column: str) -> Policy:
        """Return the policy of a column."""
        if isinstance(self.contract, str):
            return self.contract
        return self.contract.get(column, self.contract.get("*", "evolve"))

    def sets_aside(self, column: str) -> bool:
        """Return whether rows are set aside whose value does not fit a column."""
        return self.policy(column) == "quarantine"


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream(Source):
    """Events that are pushed to Mainstem. `history` is the table of events before the stream began.

    With `changes`, each message is a change of an event: its row `before` and `after`. `before` is null for a new
    event, `after` for a deleted one. `from_` is a source that the server takes events from, beside those that are
    pushed.
    """

    history: NodeRef | None = None
    changes: bool = False
    from_: Source | None = None


_KEY = columns()
_SCHEMA = mapping(text, at_least=1)
_CHECKS = values_of(Check, expected='ms.not_null("origin")')
_EVERY: dict[str, Any] = {"known": known_kind, "checks": _CHECKS, "key": _KEY, "meta": META}
_POLICY = word(*get_args(Policy))


def _contract(name: str, value: Any) -> None:
    """Require a policy, or a mapping from columns to policies."""
    if isinstance(value, Mapping):
        mapping(_POLICY, at_least=1)(name, value)
    else:
        _POLICY(name, value)


COLLECTED: dict[str, Any] = {
    **_EVERY,
    "schema": optional(_SCHEMA),
    "meta": {**META, "retries": optional(integer(0)), "contract": _contract},
}
TIME: Kind = optional(column)
_NAMED = {said: kind for said, kind in META.items() if said != "name"}


def _feeding(name: str, value: Any) -> None:
    """Require a source that can feed a stream."""
    if not isinstance(value, Source) or not value.feeds:
        raise refused(f"`{name}` is not a source of events", value, "ms.kafka(servers, topic)")


@declared(
    name=text,
    schema=_SCHEMA,
    time=column,
    history=optional(node),
    changes=boolean,
    from_=optional(_feeding),
    **{**_EVERY, "meta": _NAMED},
)
def stream(
    name: str,
    *,
    schema: Mapping[str, str],
    time: str,
    key: str | Sequence[str] | None = None,
    known: KnownSpec = None,
    history: NodeRef | None = None,
    changes: bool = False,
    from_: Source | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Stream:
    """Declare a stream of events posted to `/events/NAME`. `schema` maps fields to Ibis types; `time` names the event
    time. `from_=ms.kafka(…)` is a topic that the server takes events from, each once.

    With `changes=True` events can be corrected and deleted. Each message is then `{"before": row, "after": row}`, one
    of which may be null. `key` identifies the event. Raises `DefinitionError` for changes without a key.
    """
    if changes and not key:
        hint = "the key identifies an event in all messages about it"
        raise refused("`changes=True` requires `key=`", key, "key=…", hint)
    return Stream(
        name=name,
        schema=dict(schema),
        time=time,
        key=names(key),
        known=known,
        history=history,
        changes=changes,
        from_=from_,
        checks=tuple(checks),
        **meta,
    )

"""Endpoints that are asked by events: features strictly before the event, then the event is ingested. Both are in one
transaction with the log of the prediction, so a crash leaves both or none.

Answers are prepared outside of the transaction. There, features are read again: if another event came meanwhile, the
event is scored again. So an answer has used every earlier event that is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from mainstem.features.online.view import Query, Reading
from mainstem.logs.records import Event
from mainstem.logs.sent import AnsweredEvent, AnsweredEvents, Get, digest
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.serving.answer import Answer
from mainstem.serving.late import declared
from mainstem.serving.predictor import Predictor

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode

Shown = Callable[[Answer], dict[str, Any]]
"""Returns an answer as plain data, for the client."""


PART = 100
"""The most events of a request that are taken in one transaction: small requests wait for it at most."""


@dataclass(frozen=True)
class Taken:
    """An event that is in the log, at `offset`, and its answer as plain data. An event that was `repeated` was answered
    before; then nothing was written, and there is no new answer. `ingested` says that it was not in the log before."""

    offset: int
    shown: Mapping[str, Any]
    answer: Answer | None
    repeated: bool = False
    ingested: bool = False


Numbered = dict[int, Taken]
"""Events that were taken, by their places in a request."""

Work = Callable[[Writer], Numbered]


@dataclass(frozen=True, eq=False)
class Asking:
    """Asks an endpoint by events. `current` is its predictor as it is live, `ingesting` takes an event within a
    transaction, and `answered` remembers answers, which `read` reads from the store. `others` remember
    those of other endpoints that the same stream asks: an event that one of them took is not ingested again."""

    current: Callable[[], Predictor]
    ingesting: Callable[[Event], Callable[[Writer], int]]
    answered: AnsweredEvents
    read: Get
    shown: Shown
    others: Sequence[AnsweredEvents] = ()

    def prepared(self, predictor: Predictor, events: Sequence[Event]) -> tuple[Numbered, list[Work]]:
        """Return the events that were answered before, and what takes the others within transactions, in order of time.

        Each transaction takes at most `PART` events, so that other requests need not wait for all of them. Events are
        numbered by their places. Those that were answered before need no features. Raises `RequestError` as
        `Predictor.predict` does, and for two different events with one key.
        """
        at = micros_of(now())
        self._check_alike(predictor, events)
        held = {n: taken for n, event in enumerate(events) if (taken := self._held(self.read, predictor, event, at))}
        new = [n for n in range(len(events)) if n not in held]
        rows, times = predictor.requests([events[n].row for n in new])
        columns, flags = predictor.features(rows, times) if new else ({}, [])
        answers = predictor.decided(predictor.valued(rows, times, columns, flags)) if new else []
        seen = [{name: values[place] for name, values in columns.items()} for place in range(len(new))]
        order = sorted(range(len(new)), key=lambda place: times[place])

        def work(part: Sequence[int]) -> Work:
            def write(writer: Writer) -> Numbered:
                found: Numbered = {}
                for place in part:
                    before = None if self.current() is not predictor else (seen[place], flags[place])
                    found[new[place]] = self._one(writer, events[new[place]], answers[place], before, at)
                return found

            return write

        return held, [work(order[start : start + PART]) for start in range(0, len(order), PART)]

    def late(self, predictor: Predictor, events: Sequence[Event]) -> list[Work]:
        """Return what takes events whose declared answers are given, because the latency passed.

        Nothing of the store is read before the transactions. Raises `RequestError` for two different events with one
        key.
        """
        at = micros_of(now())
        self._check_alike(predictor, events)
        _, times = predictor.requests([event.row for event in events])
        order = sorted(range(len(events)), key=lambda n: times[n])

        def work(part: Sequence[int]) -> Work:
            return lambda writer: {n: self._one(writer, events[n], None, None, at) for n in part}

        return [work(order[start : start + PART]) for start in range(0, len(order), PART)]

    def _check_alike(self, predictor: Predictor, events: Sequence[Event]) -> None:
        bodies = dict[str, bytes]()
        for key, body in (_identity(event, predictor) for event in events):
            if bodies.setdefault(key, body) != body:
                raise self.answered.differs(key)

    def _one(
        self,
        writer: Writer,
        event: Event,
        answer: Answer | None,
        before: tuple[Mapping[str, Any], list[str]] | None,
        at: int,
    ) -> Taken:
        """Take an event with its answer; without one, with the declared answer."""
        predictor = self.current()
        held = self._held(writer.get, predictor, event, at)
        if held is not None:
            return held
        if answer is None:
            (fresh,) = declared(predictor, *predictor.requests([event.row]))
        else:
            fresh = self._fresh(writer, predictor, event, answer, before)
        (final,) = predictor.logged([fresh])(writer)
        shown = self.shown(final)
        key, body = _identity(event, predictor)
        earlier = next(filter(None, (other.taken(writer.get, key, body, at) for other in self.others)), None)
        offset = self.ingesting(event)(writer) if earlier is None else earlier.offset
        self.answered.note(writer, key, AnsweredEvent(at, body, offset, _encode(shown)))
        return Taken(offset, shown, final, ingested=earlier is None)

    def _held(self, read: Get, predictor: Predictor, event: Event, at: int) -> Taken | None:
        """Return an event that was answered before. Raises `RequestError` if another one had its key."""
        key, body = _identity(event, predictor)
        held = self.answered.taken(read, key, body, at)
        return None if held is None else Taken(held.offset, _decode(held.answer), None, repeated=True)

    def _fresh(
        self,
        writer: Writer,
        predictor: Predictor,
        event: Event,
        answer: Answer,
        before: tuple[Mapping[str, Any], list[str]] | None,
    ) -> Answer:
        """Return the answer, made again if features differ from those that were read before the transaction."""
        rows, times = predictor.requests([event.row])
        columns, flags = predictor.features(rows, times, partial(_within, writer))
        if before is not None and ({name: values[0] for name, values in columns.items()}, flags[0]) == before:
            return answer
        (again,) = predictor.decided(predictor.valued(rows, times, columns, flags))
        return replace(again, id=answer.id)


def _within(writer: Writer, queries: Sequence[Query]) -> list[list[Reading]]:
    return [query.view.answer_within(writer, query) for query in queries]


def _identity(event: Event, predictor: Predictor) -> tuple[str, bytes]:
    """Return the key of an event as text, and the hash of its row."""
    assert predictor.events is not None
    return _encode([event.row[name] for name in predictor.events.key]).decode(), digest(_encode(event.row))

"""Predict for candidates: expand them for each request, read features of all at once, score once, and choose.

Features that do not depend on the candidate are read once for each request.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from mainstem.errors import RequestError, StorageError
from mainstem.features.retrieval import Retrieval
from mainstem.logs.predictions import append
from mainstem.logs.records import CHAMPION, Prediction, Role
from mainstem.nodes.decisions import Top
from mainstem.nodes.instants import micros_of
from mainstem.nodes.overrides import FALLBACK, flag_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.serving.answer import Answer, new_ids
from mainstem.serving.decisions.choices import Chooser
from mainstem.serving.decisions.lists import ListOffer
from mainstem.serving.decisions.neighbours import NeighbourOffer
from mainstem.serving.decisions.offers import Offering
from mainstem.serving.decisions.phases import phases
from mainstem.serving.decisions.ranking import VALUE
from mainstem.serving.predictor import Columns, Log, Predictor

logger = logging.getLogger(__name__)

FAILED = "failed:fallback"
"""The flag of an answer whose fallback failed."""

EXPLORED = "explored"
"""The flag of a candidate that got its place at random."""


@dataclass(frozen=True)
class Chosen:
    """The answer to one request: the chosen candidates, best first, of how many that were offered.

    Each item is a prediction with its own id; `values` of an item has its value. `flags` are of the whole answer.
    """

    id: str
    time: int
    items: tuple[Answer, ...]
    names: tuple[str, ...]
    offered: int
    policy: str
    flags: tuple[str, ...]
    propensities: tuple[float, ...]
    several: bool

    @property
    def role(self) -> Role:
        """The role of the version that chose; the champion's if there is no item."""
        return self.items[0].role if self.items else CHAMPION

    @property
    def version(self) -> str:
        """The id of the version that chose; empty if there is no item."""
        return self.items[0].version if self.items else ""

    def flagged(self, flag: str) -> Chosen:
        """Return the answer with a flag more, which each of its predictions has in the log."""
        items = tuple(replace(item, observed=(flag, *item.observed)) for item in self.items)
        return replace(self, items=items, flags=(flag, *self.flags))

    def named(self, item: Answer) -> dict[str, Any]:
        """Return what tells a candidate from the others: its key, or its fields in the grid."""
        return {name: item.row[name] for name in self.names}

    def shown(self) -> dict[str, Any]:
        """Return the answer as plain data: the decision is one candidate or None, or a list."""
        found = [
            {"id": item.id, **self.named(item), VALUE: item.values[VALUE], "score": item.score} for item in self.items
        ]
        for item, told, propensity in zip(self.items, found, self.propensities, strict=False):
            told |= {"propensity": propensity, **({EXPLORED: True} if EXPLORED in item.flags else {})}
        decision = found if self.several else next(iter(found), None)
        answer = {"decision": decision, "offered": self.offered, "policy": self.policy}
        return {**answer, "flags": list(self.flags)} if self.flags else answer


@dataclass(frozen=True)
class _Found:
    """The chosen candidates of one request and the number of those that were offered."""

    items: list[Answer]
    offered: int
    last: float = 1.0
    """The probability that the last candidate got its place."""


class ChoosingPredictor(Predictor):
    """An endpoint with candidates and its champion. It is thread-safe. See `Predictor` for its parameters."""

    heavy = True

    def __init__(self, chooser: Chooser, *, retrieval: Retrieval, **parts: Any) -> None:
        self.chooser = chooser
        self._offered = frozenset(chooser.offering.types.keys() & retrieval.request.keys())
        super().__init__(retrieval=retrieval, offered=self._offered, lists=chooser.sent, **parts)
        self._first, self._then = phases(retrieval, self._offered)
        self._request = [name for name in retrieval.request if name not in self._offered]

    @property
    def each(self) -> int:
        return self.chooser.ranking.count

    def predict(self, rows: Sequence[Any], at: int | None = None) -> list[Answer]:
        """Refuse what asks for one score a row: a file of rows, an explanation. Raises `RequestError`."""
        raise RequestError(
            f"{self.name!r} chooses among candidates, and has no score of a request",
            hint=f"ask the model itself: {self.version.model}",
        )

    def choose(self, rows: Sequence[Any], at: int | None = None) -> list[Chosen]:
        """Return one answer per request, in order. Raises `RequestError` as `Predictor.predict` does."""
        checked = self.checked(rows)
        return self.answers_at(checked, self.timed(checked, at))

    def checked(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        for offering in self.chooser.offerings:
            if isinstance(offering, ListOffer):
                offering.check(rows, f"endpoint {self.name}")
        return super().checked(rows)

    def log_of(self, answers: Sequence[Chosen]) -> Log[Chosen]:
        return self.chosen(answers)

    def answers_at(self, checked: Sequence[dict[str, Any]], times: Sequence[int]) -> list[Chosen]:
        ids = new_ids(len(checked))
        columns = self._columns(checked)
        flags = [[*self.flags] for _row in checked]
        self.look_up(self._first, columns, times, flags)
        self._note(self.chooser.offering, columns, times, flags)
        unknown = [any(flag.startswith("unknown:") for flag in said) for said in flags]
        unusual = [n for n, row in enumerate(checked) if self._overrides(row, flags[n]) or unknown[n]]
        usual = [n for n in range(len(checked)) if self.chooser.fallback is None or n not in unusual]
        found = self._found(self.chooser.offering, usual, checked, times, columns, ids=ids, ranked=True)
        left = [n for n in range(len(checked)) if n not in found or not found[n].items]
        instead: dict[int, _Found] = {}
        if self.chooser.fallback is not None and left:
            noted = [[*said] for said in flags]
            self._note(self.chooser.fallback, columns, times, noted)
            for n in left:
                flags[n] = noted[n]
            instead = self._instead(self.chooser.fallback, left, checked, times, columns, flags, ids)
        none = _Found([], 0)
        every = range(len(checked))
        return [self._answer(ids[n], found.get(n, none), instead.get(n), times[n], flags[n]) for n in every]

    def unranked(self, rows: Sequence[dict[str, Any]], times: Sequence[int], *flags: str) -> list[Chosen]:
        """Return what the fallback offers to checked requests, in its order, without features and scores.

        A view of the fallback's `without=` is not read.
        """
        offering, ranking = self.chooser.fallback, self.chooser.ranking
        assert offering is not None
        columns, noted = self._columns(rows), [[*flags] for _row in rows]
        self._note(offering, columns, times, noted)
        offers = offering.expand(columns, len(rows))
        if offering.without is not None and offering.without.lookup is None:
            offers = offering.without.left(offers, columns, times, self.views)
        found = []
        for row, time, offer, said in zip(rows, times, offers, noted, strict=True):
            size = len(next(iter(offer.values()), ()))
            order = ranking.first(range(size), {name: offer[name] for name in ranking.groups})
            given = [{**row, **{name: offer[name][n] for name in self._offered}} for n in order]
            items = [replace(self.unscored(each, time), values={VALUE: None}) for each in given]
            self._overrides(row, said)
            found.append(self._answer(new_ids(1)[0], _Found([], 0), _Found(items, size), time, said))
        return found

    def _instead(
        self,
        fallback: Offering,
        left: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[list[str]],
        ids: Sequence[str],
    ) -> dict[int, _Found]:
        """Return what the fallback gives to the requests that are left. If it fails, they are undecided.

        Raises `RequestError` and `StorageError`, which the offer would raise, too.
        """
        try:
            return self._found(fallback, left, rows, times, columns, ids=ids, ranked=False)
        except (RequestError, StorageError):
            raise
        except Exception as error:  # whatever it is, the other requests have their answers
            logger.warning("the fallback of %r failed: %s", self.name, error or type(error).__name__)
            for n in left:
                flags[n].append(FAILED)
            return {}

    def _columns(self, rows: Sequence[dict[str, Any]]) -> Columns:
        """Return the fields of checked requests as columns.

        Lists of candidates are taken out of the rows: a row that is logged has the candidate.
        """
        columns: Columns = {name: [row[name] for row in rows] for name in self._request}
        return columns | {name: [row.pop(name) for row in rows] for name in self.chooser.sent}

    def _note(self, offering: Offering, columns: Columns, times: Sequence[int], flags: list[list[str]]) -> None:
        """Flag what is unusual of what requests are offered, and add the lists that a view has to the columns."""
        if isinstance(offering, ListOffer):
            lists, noted = offering.asked(columns, times, self.views)
            columns.update(lists)
            for said, more in zip(flags, noted, strict=True):
                said.extend(more)
        if isinstance(offering, NeighbourOffer):
            for said, unknown in zip(flags, offering.unknown(columns, len(flags)), strict=True):
                said.extend([f"unknown:{offering.asking.name}"] if unknown else [])

    def _overrides(self, row: Mapping[str, Any], flags: list[str]) -> bool:
        """Return whether an operator lets the fallback answer a request, and flag it."""
        override = None if self.chooser.fallback is None else self.override_of(row)
        if override is None:
            return False
        flags.append(flag_of(override))
        return True

    def _answer(self, id: str, found: _Found, instead: _Found | None, time: int, flags: Sequence[str]) -> Chosen:
        items = found.items or (instead.items if instead else [])
        said = [*flags, *([FALLBACK] if instead and instead.items else []), *([] if items else ["undecided"])]
        offering = self.chooser.fallback if instead and self.chooser.fallback else self.chooser.offering
        # The flags of the request are those of each of its predictions, in the log.
        items = [replace(item, observed=(*said, *item.observed)) for item in items]
        return Chosen(
            id,
            time,
            tuple(items),
            offering.shown,
            found.offered,
            self.chooser.ranking.fingerprint,
            tuple(said),
            propensities=self._propensities(found, len(items)),
            several=isinstance(self.chooser.ranking.rule, Top),
        )

    def _propensities(self, found: _Found, count: int) -> tuple[float, ...]:
        """Return the probability of each place, if the endpoint explores."""
        if self.chooser.ranking.epsilon is None or not count:
            return ()
        return (*[1.0] * (count - 1), found.last)

    def _found(
        self,
        offering: Offering,
        requests: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        *,
        ids: Sequence[str],
        ranked: bool,
    ) -> dict[int, _Found]:
        """Return the choices of some requests: by value, or, of a fallback, by the order of the offer."""
        known = {name: [values[n] for n in requests] for name, values in columns.items()}
        offers = offering.expand(known, len(requests))
        if offering.without is not None:
            offers = offering.without.left(offers, known, [times[n] for n in requests], self.views)
        sizes = [len(next(iter(offer.values()), ())) for offer in offers]
        owner = [n for n, size in enumerate(sizes) for _each in range(size)]
        if not owner:
            return {n: _Found([], 0) for n in requests}
        every: Columns = {name: [values[n] for n in owner] for name, values in known.items()}
        for name in offering.types:
            every[name] = [value for offer in offers for value in offer[name]]
        at = [times[requests[n]] for n in owner]
        flags = [list[str]() for _each in owner]
        self.look_up(self._then, every, at, flags)
        scores, ranking = self.scored(every), self.chooser.ranking
        values = self._values(every, scores) if ranked else [None] * len(owner)
        found, start = dict[int, _Found](), 0
        for request, size in zip(requests, sizes, strict=True):
            part = range(start, start + size)
            groups = {name: [every[name][n] for n in part] for name in ranking.groups}
            order = ranking.chosen([values[n] for n in part], groups) if ranked else ranking.first(range(size), groups)
            last = 1.0
            if ranked and order and ranking.epsilon is not None:
                trial = ranking.explored(order, [values[n] for n in part], groups, ids[request])
                order, last = [*order[:-1], trial.number], trial.propensity
                flags[start + trial.number].extend([EXPLORED] if trial.explored else [])
            chosen = [start + n for n in order]
            given = [{**rows[request], **{name: every[name][n] for name in self._offered}} for n in chosen]
            taken = {name: [column[n] for n in chosen] for name, column in every.items()}
            when, said, given_scores = [at[n] for n in chosen], [flags[n] for n in chosen], [scores[n] for n in chosen]
            answers = self.answers(given, when, taken, said, given_scores)
            items = [replace(a, values={VALUE: values[n]}) for a, n in zip(answers, chosen, strict=True)]
            found[request] = _Found(items, size, last)
            start += size
        return found

    def _values(self, columns: Columns, scores: Any) -> list[float | None]:
        numbers = [self.number(score)[0] for score in scores]
        classed = [self.classed(score) for score in scores] if self.chooser.ranking.compiled.classes else []
        return self.chooser.ranking.values(columns, numbers, classed)

    def chosen(self, answers: Sequence[Chosen]) -> Log[Chosen]:
        """Return a function that logs the chosen candidates within a transaction. Others are only counted."""
        at = micros_of(now())
        entries = [
            self._entry(answer, rank, item, at) for answer in answers for rank, item in enumerate(answer.items, start=1)
        ]

        def write(writer: Writer) -> Sequence[Chosen]:
            append(writer, self.name, entries, self.floor)
            return answers

        return write

    def _entry(self, answer: Chosen, rank: int, item: Answer, at: int) -> Prediction:
        decided = json.dumps(answer.named(item), ensure_ascii=False)
        made = replace(item, decision=decided, policy=answer.policy)
        propensity = answer.propensities[rank - 1] if answer.propensities else None
        return structs.replace(
            self.prediction(made, at), request=answer.id, rank=rank, offered=answer.offered, propensity=propensity
        )

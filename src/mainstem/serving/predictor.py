"""From a request to a score: online features, on-demand features and the model, for many rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from mainstem.features.online.view import OnlineView, Query, Reading, read_together
from mainstem.features.requests import Sent
from mainstem.features.retrieval import TIME, Computation, Retrieval
from mainstem.features.views.view import Lookup
from mainstem.logs.predictions import append
from mainstem.logs.records import CHAMPION, Prediction, Role
from mainstem.models.artifact.scorer import Scorer
from mainstem.nodes.definition import Definition
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.hidden import visible
from mainstem.nodes.instants import INSTANT, instant_of, micros_of
from mainstem.nodes.overrides import FALLBACK, FLAG, Override, first, flag_of
from mainstem.nodes.records import ModelVersion, now
from mainstem.ports import Writer
from mainstem.serving.answer import Answer, new_ids
from mainstem.serving.decisions.policy import Choice, Policy
from mainstem.serving.decisions.quotas import Counts, Read
from mainstem.streaming.rows import RowSchema, iso

Columns = dict[str, list[Any]]
A = TypeVar("A")
Log = Callable[[Writer], Sequence[A]]
"""Logs answers within a transaction, and returns them as they were logged."""
Together = Callable[[Sequence[Query]], list[list[Reading]]]
"""Reads several views, such as `read_together`."""


@dataclass(frozen=True)
class Events:
    """The events that ask an endpoint: those of a stream, with the column of their times and their key."""

    stream: str
    schema: RowSchema
    time: str
    key: tuple[str, ...]


def events_of(stream: Definition) -> Events:
    """Return the events of a stream, as they ask an endpoint."""
    node: Any = stream.node
    required = tuple(dict.fromkeys((*node.key, node.time)))
    schema = RowSchema(visible(stream.schema or {}), required=required, where=f"stream {stream.name}")
    return Events(stream.name, schema, node.time, tuple(node.key))


class Predictor:
    """An endpoint with its champion. It is thread-safe.

    Parameters: the endpoint's name and node, the feature plan of its model, the online views by name, the champion, its
    scorer, and what requests send: with the examples' key outcomes can be joined. `floor` is the number of predictions
    in the lake. `redefined` are features whose definition changed since the champion was trained; every answer reports
    them. `policy` decides, with the state of its quotas that `read` returns. Requests lack the fields that candidates
    offer, and have `lists` of candidates. `overriding` returns what an operator decided for requests. `role` is the
    version's. An endpoint that is asked by `events` takes their rows as requests.
    """

    heavy = False
    """Whether one row may take as long as many."""

    @property
    def each(self) -> int:
        """The most predictions that the answer to one row has."""
        return 1

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        retrieval: Retrieval,
        views: Mapping[str, OnlineView],
        version: ModelVersion,
        scorer: Scorer,
        sent: Sent,
        floor: int = 0,
        redefined: Sequence[str] = (),
        policy: Policy | None = None,
        read: Read | None = None,
        offered: frozenset[str] = frozenset(),
        lists: Mapping[str, str] | None = None,
        overriding: Callable[[], Sequence[Override]] = tuple,
        role: Role = CHAMPION,
        events: Events | None = None,
    ) -> None:
        self.role: Role = role
        self.name, self.retrieval, self.version, self.scorer = name, retrieval, version, scorer
        self.threshold = scorer.manifest.threshold if endpoint.threshold is None else endpoint.threshold
        self.description = endpoint.description
        self.budget, self.otherwise, self.floor = endpoint.budget, endpoint.otherwise, floor
        self.views, self.flags = views, [f"redefined:{feature}" for feature in redefined]
        self._inputs = tuple(column.name for column in version.inputs)
        self._instants = tuple(name for name, type in retrieval.columns.items() if type.startswith("timestamp"))
        keys = {column for action in retrieval.lookups for column in action.on} & retrieval.request.keys()
        asked = {field: type for field, type in sent.fields.items() if field not in offered}
        joined = {field: type for field, type in sent.key.items() if field not in offered}
        where, optional = f"endpoint {name}", {**joined, TIME: INSTANT}
        self.schema = RowSchema(asked, required=tuple(keys - offered), optional=optional, lists=lists, where=where)
        self._clean, self.events = sent.clean, events
        if events is not None:
            self._taken = tuple(name for name in (*asked, *joined) if name in events.schema.columns)
            self.schema = events.schema
        self.policy, self._read, self._overriding = policy, read, overriding
        if policy is not None:
            self.threshold = None

    def predict(self, rows: Sequence[Any], at: int | None = None) -> list[Answer]:
        """Return one answer per row, in order, at the row's `time`, else `at` (µs), else now.

        Raises `RequestError` for the first row that does not fit the schema or has too early a time.
        """
        checked = self.checked(rows)
        return self.answers_at(checked, self.timed(checked, at))

    def answers_at(self, rows: Sequence[dict[str, Any]], times: Sequence[int]) -> list[Any]:
        """Return the answers to checked rows at times (µs), in order. What a request asks for does not depend on those
        that are answered with it. They are not logged."""
        return self.decided(self.valued(rows, times, *self.features(rows, times)))

    def requests(self, events: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the requests that checked rows of events make, cleaned, and the times of their predictions (µs)."""
        assert self.events is not None
        rows = self._clean([{name: row[name] for name in self._taken} for row in events])
        return rows, [row[self.events.time] for row in events]

    def timed(self, rows: Sequence[dict[str, Any]], at: int | None) -> list[int]:
        """Take the times out of checked rows: the row's `time`, else `at` (µs), else now."""
        present = micros_of(now()) if at is None else at
        return [row.pop(TIME, present) for row in rows]

    def decided(self, answers: Sequence[Answer], *, reading: bool = True) -> list[Answer]:
        """Return answers with the decisions of the policy, if there is one; without `reading` the state of its quotas,
        which `logged` reads again."""
        read = self._read if reading else None
        return [*answers] if self.policy is None else self._decided(answers, self._counts(read))

    def valued(
        self,
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[Sequence[str]],
    ) -> list[Answer]:
        """Return an answer for each row, given its features and flags. A policy has not decided yet."""
        answers = self.answers(rows, times, columns, flags, self.scored(columns))
        if self.policy is None:
            return answers
        valued = self.policy.values(columns, [a.score for a in answers], [a.scores for a in answers])
        return [replace(a, values=values) for a, values in zip(answers, valued, strict=True)]

    def again(self, answers: Sequence[Answer], left: Retrieval | None = None) -> list[Answer]:
        """Return what this version would have answered to requests that another version answered, with the same ids.

        It uses the features and the state of the quotas that the other one used, and takes no quota. `left` is the part
        of its own features that the other version does not have.
        """
        theirs: Columns = {name: [a.row.get(name) for a in answers] for name in answers[0].row}
        own, rows, times = dict(theirs), [a.row for a in answers], [a.time for a in answers]
        if left is not None:
            self.look_up(left, own, times, [[] for _ in rows])
        found = self.answers(rows, times, own, [a.observed for a in answers], self.scored(own))
        if self.policy is not None:  # it reads the features of the endpoint
            valued = self.policy.values(theirs, [a.score for a in found], [a.scores for a in found])
            found = [replace(a, values=values) for a, values in zip(found, valued, strict=True)]
        pairs = zip(found, answers, strict=True)
        return [replace(new, id=old.id, decision=self._alike(new, old)) for new, old in pairs]

    def _alike(self, new: Answer, old: Answer) -> bool | str | None:
        """Return the decision of an answer that is made again: an override decides alike for every version."""
        if self.policy is None:
            return new.decision
        if any(flag.startswith(FLAG) for flag in old.noted):
            return old.decision
        return self.policy.choose(new.values, old.quotas).decision

    def answered(self, rows: Sequence[Any], at: int | None = None) -> tuple[Sequence[Any], Log[Any]]:
        """Return the answers to requests, and what logs them within a transaction."""
        checked = self.checked(rows)
        answers = self.answers_at(checked, self.timed(checked, at))
        return answers, self.log_of(answers)

    def log_of(self, answers: Sequence[Any]) -> Log[Any]:
        """Return what logs answers of `answers_at` within a transaction."""
        return self.logged(answers)

    def checked(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the rows of a request as the examples have them. Raises `RequestError`."""
        if self.events is not None:
            found, times = self.requests(self.schema.check(rows))
            return [{**row, TIME: time} for row, time in zip(found, times, strict=True)]
        return self._clean(self.schema.check(rows))

    def scored(self, columns: Columns) -> Any:
        """Return the scores [n] of rows of inputs, or the probabilities [n, classes]."""
        return self.scorer.score({name: columns[name] for name in self._inputs})

    def features(
        self, rows: Sequence[Mapping[str, Any]], times: Sequence[int], reading: Together = read_together
    ) -> tuple[Columns, list[list[str]]]:
        """Return the request's fields and every feature as columns, and the flags of each row."""
        columns: Columns = {name: [row[name] for row in rows] for name in self.retrieval.request}
        flags = [[*self.flags] for _ in rows]
        self.look_up(self.retrieval, columns, times, flags, reading)
        return columns, flags

    def look_up(
        self,
        part: Retrieval,
        columns: Columns,
        times: Sequence[int],
        flags: list[list[str]],
        reading: Together = read_together,
    ) -> None:
        """Add the features of a part of the retrieval to the columns of rows, and what is unusual to their flags."""
        for action in part.rounds:
            if isinstance(action, Computation):
                self._compute(action, columns)
            else:
                self._look_up(action, columns, times, flags, reading)

    def _look_up(
        self,
        actions: Sequence[Lookup],
        columns: Columns,
        times: Sequence[int],
        flags: list[list[str]],
        reading: Together,
    ) -> None:
        asked = [list(zip(*(columns[column] for column in action.on), times, strict=True)) for action in actions]
        distinct = [list(dict.fromkeys(each)) for each in asked]  # the flights of an hour share an airport
        queries = [
            Query(self.views[action.view.name], [key for *key, _ in each], [time for *_, time in each])
            for action, each in zip(actions, distinct, strict=True)
        ]
        for action, every, each, found in zip(actions, asked, distinct, reading(queries), strict=True):
            known = dict(zip(each, found, strict=True))
            self._bring(action, [known[one] for one in every], columns, flags)

    def _bring(self, action: Lookup, readings: Sequence[Reading], columns: Columns, flags: list[list[str]]) -> None:
        for name, feature in action.columns.items():
            columns[name] = [reading.values[feature.name] for reading in readings]
        for reading, said in zip(readings, flags, strict=True):
            if reading.missing:
                said.append(f"unknown:{action.prefix}")

    def _compute(self, action: Computation, columns: Columns) -> None:
        columns.update(action.function.batch({name: columns[name] for name in action.inputs if name in columns}))

    def answers(
        self,
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[Sequence[str]],
        scores: Any,
    ) -> list[Answer]:
        """Return an answer for each row, given its features, flags and score."""
        names = list(self.retrieval.columns)
        values = zip(*(columns[name] for name in names), strict=True) if names else [()] * len(rows)
        found = []
        parts = zip(new_ids(len(rows)), rows, times, values, flags, scores, strict=True)
        for id, row, time, features, said, score in parts:
            used = dict(zip(names, features, strict=True))
            number, label = self.number(score)
            found.append(
                Answer(
                    id=id,
                    time=time,
                    score=number,
                    decision=None if self.threshold is None or number is None else number >= self.threshold,
                    label=label,
                    features=self._shown(used),
                    row={**row, **used},
                    observed=tuple(said),
                    scores=self.classed(score),
                    version=self.version.id,
                    role=self.role,
                )
            )
        return found

    def unscored(self, row: Mapping[str, Any], time: int, *observed: str) -> Answer:
        """Return an answer to a checked row without features, a score and a decision."""
        known = {**dict.fromkeys(self.retrieval.columns), **row}
        return Answer(
            new_ids(1)[0], time, None, None, None, {}, known, observed, version=self.version.id, role=self.role
        )

    def number(self, score: Any) -> tuple[float | None, str | None]:
        """Return the score, the highest probability and its class, or the median; None if it is not finite."""
        if _single(score):
            number = float(score)
            return (number if math.isfinite(number) else None), None
        best = self.scorer.best(score)
        return float(score[best]), None if self.scorer.manifest.task == "quantile" else self.scorer.classes[best]

    def classed(self, score: Any) -> dict[str, float]:
        """Return the probability of each class, or each quantile."""
        if _single(score):
            return {}
        return {name: float(one) for name, one in zip(self.scorer.classes, score, strict=True)}

    def _shown(self, used: Mapping[str, Any]) -> Mapping[str, Any]:
        instants = {name: used[name] for name in self._instants if used[name] is not None}
        return {**used, **{name: iso(instant_of(t)) for name, t in instants.items()}}

    def _counts(self, read: Read | None) -> Counts:
        limits = {} if self.policy is None or read is None else self.policy.rule.at_most
        return Counts(self.name, limits, read or (lambda space, keys: [None] * len(keys)))

    def _decided(self, answers: Sequence[Answer], counts: Counts) -> list[Answer]:
        """Return the answers with decisions, in order. Each sees what those before it took of the quotas."""
        assert self.policy is not None
        found = []
        for answer in answers:
            taken = counts.at(answer.time)
            override = self.override_of(answer.row)
            if override is not None:
                choice = Choice(override.decision, (flag_of(override),))
            else:
                late = Choice(str(self.otherwise), (FALLBACK,)) if answer.late else None
                choice = late or self.policy.choose(answer.values, taken)
                if choice.decision is not None:
                    counts.take(choice.decision, answer.time)
            version = self.policy.fingerprint
            made = replace(answer, policy=version, decision=choice.decision, quotas=taken, noted=choice.flags)
            found.append(made)
        return found

    def override_of(self, row: Mapping[str, Any]) -> Override | None:
        """Return what an operator decided for a request."""
        set_by_hand = self._overriding()
        return first(set_by_hand, row, now()) if set_by_hand else None

    @property
    def counts(self) -> bool:
        """Whether the answers to a request are logged in one transaction, because it counts its quotas."""
        return self.policy is not None and bool(self.policy.rule.at_most)

    def logged(self, answers: Sequence[Answer]) -> Log[Answer]:
        """Return a function that logs the answers within a transaction and returns them as they were logged.

        A policy with quotas decides again there: another request may have taken the last of a quota meanwhile.
        """
        at = micros_of(now())

        def write(writer: Writer) -> Sequence[Answer]:
            final = answers
            if self.counts:
                counts = self._counts(writer.get_many)
                final = self._decided(answers, counts)
                writer.put_many(counts.space, counts.changed)
            append(writer, self.name, [self.prediction(answer, at) for answer in final], self.floor)
            return final

        return write

    def prediction(self, answer: Answer, at: int) -> Prediction:
        """Return the entry of the log for an answer, logged `at` (µs)."""
        return Prediction(
            answer.id,
            answer.time,
            at,
            answer.version,
            dict(answer.row),
            answer.score,
            ",".join(answer.flags),
            dict(answer.scores),
            answer.decision,
            answer.role,
            policy=answer.policy,
            values=dict(answer.values),
            quotas=dict(answer.quotas),
        )


def _single(score: Any) -> bool:
    """Return whether a row has one score: a scalar of NumPy is a float, and asking it for its shape takes longer."""
    return isinstance(score, float) or np.ndim(score) == 0

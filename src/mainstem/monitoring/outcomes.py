"""Join outcomes to the predictions that they belong to. Each prediction has at most one.

An outcome comes from a row of the examples, or from a client that sent it by the prediction's id. The client's counts.

- A row of the examples belongs to the predictions with its key; with `outcomes_by=`, to the prediction whose id it has.
- Of candidates, only what was chosen is in the log. A row belongs to it only if it has the chosen values.
- Rows of one key that were scored for one instant with different request fields are alternatives. A row of the examples
  belongs to the one that it equals.
- The outcome of a forecast is in the row of its series at the time that is forecast.
- Of several rows of the examples, the one whose prediction time is nearest counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import ibis

from mainstem.features.forecasts import Forecast, forecast_of, known_by_now
from mainstem.features.instants import to_micros
from mainstem.features.retrieval import Retrieval, retrieval_of
from mainstem.features.targets import clock_of, given_of, is_mature, target_of
from mainstem.graph.named import named
from mainstem.nodes.decisions import Top
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.forecasts import FOR
from mainstem.nodes.hidden import ARRIVED, PREDICTION, QUERY, REQUEST, SENT, SEQ, T
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.outcomes import Outcome
from mainstem.serving.decisions.choices import choices_of

OUTCOME = "_outcome"
"""The outcome of a prediction as float64, null if it is not known. Of several classes it is the place of the class."""

_TRUTH, _WHEN, _NAME, _PLACE = "_truth", "_when", "_name", "_place"
_GIVEN, _IS_SENT, _IS_COVERED = "_given", "_is_sent", "_is_covered"
_OWN = (_TRUTH, _GIVEN, _IS_SENT, _IS_COVERED)


@dataclass(frozen=True)
class Joining:
    """How outcomes of an endpoint are joined. `classes` are those of a version of several classes."""

    graph: Graph
    name: str
    classes: tuple[str, ...] = ()

    @property
    def endpoint(self) -> Endpoint:
        node = self.graph[self.name].node
        assert isinstance(node, Endpoint)
        return node

    @property
    def model(self) -> str:
        return self.graph.name_of(self.endpoint.model)

    @property
    def examples(self) -> str:
        return self.graph.name_of(self.endpoint.model.examples)

    @property
    def retrieval(self) -> Retrieval:
        return retrieval_of(self.graph, self.model)

    def joined(self, logged: ibis.Table, sent: ibis.Table | None) -> ibis.Table:
        """Return rows of the log with their outcome. `sent` are the outcomes that clients sent."""
        found = _beside(logged, self._of_examples(logged), _TRUTH, *self._query)
        if sent is None:
            return self._settled(found, found[_TRUTH], ibis.literal(False))
        found = _beside(found, self._of_clients(logged, sent), _GIVEN, _IS_SENT)
        found = _beside(found, self._covered(logged, sent), _IS_COVERED)
        # A class that the version does not know was sent: the outcome of the examples does not stand in for it.
        value = found[_IS_SENT].notnull().ifelse(found[_GIVEN], found[_TRUTH])
        return self._settled(found, value, found[_IS_COVERED])

    def counted(self, logged: ibis.Table, sent: ibis.Table) -> ibis.Table:
        """Return one row: of how many ids that outcomes were sent for no prediction is logged (`unknown`), and how many
        have several values (`corrected`)."""
        ids = sent.group_by(PREDICTION).aggregate(values=sent[SENT].nunique())
        names = _names(logged, self._is_one).select(_NAME).distinct()
        rows = ids.left_join(names, [ids[PREDICTION] == names[_NAME]])
        unknown, corrected = rows[_NAME].isnull().sum(), (rows["values"] > 1).sum()
        return rows.aggregate(unknown=unknown.fill_null(0), corrected=corrected.fill_null(0))

    def _settled(self, rows: ibis.Table, value: Any, covered: Any) -> ibis.Table:
        """Return the rows with the outcome that is settled by now. Where they are `covered`, silence means false."""
        target = self.endpoint.model.target
        if isinstance(target, Outcome):
            value = value.fill_null(covered.ifelse(0.0, ibis.null("float64")))
            value = is_mature(target, rows[T]).ifelse(value, ibis.null("float64"))
        if self.endpoint.model.query is not None:  # without its query, a row has no place in an order
            value = rows[QUERY].isnull().ifelse(ibis.null("float64"), value)
        return rows.mutate(**{OUTCOME: value}).drop(*(set(_OWN) & set(rows.columns)))

    def _covered(self, logged: ibis.Table, sent: ibis.Table) -> ibis.Table:
        """Return `PREDICTION` and whether clients would have sent what happened to it.

        What happened before they sent their first outcome may be missing, and of alternatives at most one happens.
        """
        alone = self._alone(logged, self._key).cross_join(sent.aggregate(**{_WHEN: sent[ARRIVED].min()}))
        covered = (to_micros(alone[T]) >= to_micros(alone[_WHEN])).fill_null(False) & alone[_PLACE]
        return alone.select(PREDICTION, **{_IS_COVERED: covered})

    # ── from the examples ────────────────────────────────────────────────────────────────────────────

    def _of_examples(self, logged: ibis.Table) -> ibis.Table:
        """Return `PREDICTION`, `_TRUTH` and the query of the predictions that a row of the examples belongs to."""
        truths = self._truths()
        by, key = self.endpoint.outcomes_by, self._key
        forecast = self._forecast
        if forecast is not None:
            same = [logged[name] == truths[_of(name)] for name in forecast.series]
            later = to_micros(logged[FOR]) == to_micros(truths[_of(forecast.time)])
            return _nearest(logged.inner_join(truths, [*same, later]))
        if by is not None:
            names = _names(logged, self._is_one)
            rows = names.inner_join(truths, [names[_NAME] == truths[_of(by)]])
            rows = logged.inner_join(rows, PREDICTION)
        elif key:
            alone = self._alone(logged, key)
            rows = alone.inner_join(truths, [alone[k] == truths[_of(k)] for k in key])
            rows = rows.filter(rows[_PLACE] | self._equal(rows, self._others(key)))
        else:  # nothing says which example a prediction is of
            rows = logged.inner_join(truths, ibis.literal(False))
        return _nearest(rows.filter(self._equal(rows, sorted(self._chosen))), *self._query)

    @property
    def _forecast(self) -> Forecast | None:
        return forecast_of(self.graph, self.model)

    @property
    def _query(self) -> dict[str, Any]:
        """The query of a row of the examples, by the name `QUERY`, if the model ranks the rows of queries."""
        query = self.endpoint.model.query
        return {} if query is None else {QUERY: given_of(self._read, query)}

    @property
    def _key(self) -> tuple[str, ...]:
        """The key of the examples by which they are joined. Where ids say what belongs together, requests send none."""
        if self.endpoint.outcomes_by:
            return ()
        forecast = self._forecast
        key = getattr(self.graph[self.examples].node, "key", ())
        return tuple(key) if forecast is None else (*forecast.series, forecast.time)

    @property
    def _read(self) -> Any:
        return self.graph[self.examples].read

    def _truths(self) -> ibis.Table:
        """Return the examples: key, request fields and outcome, as `_of_NAME`, `_TRUTH` and `_WHEN`."""
        model, definition, forecast = self.endpoint.model, self.graph[self.examples], self._forecast
        read = self._read
        written: Any = target_of(read, model)
        if isinstance(model.target, Outcome):  # what has not happened is told by the time that passed
            written = written.fill_null(False)
        truth = _number(written, self.classes)
        if forecast is not None:
            truth = known_by_now(self.graph, self.model, forecast, read, truth)
        clock = clock_of(self.graph, self.model)
        when = ibis.null(INSTANT) if clock is None else resolve_column(read, clock).cast(INSTANT)
        key = getattr(definition.node, "key", ()) if forecast is None else (*forecast.series, forecast.time)
        fields = dict.fromkeys((*key, *(self.retrieval.request if forecast is None else ())))
        by = self.endpoint.outcomes_by
        fields |= {} if by is None else {by: None}
        types = self.retrieval.request
        columns = {_of(n): read[n].cast(types[n]) if n in types else read[n] for n in fields}
        return read.select(*named(columns), *named({_TRUTH: truth, _WHEN: when}), *named(self._query))

    def _alone(self, logged: ibis.Table, key: tuple[str, ...]) -> ibis.Table:
        """Return the log with `_PLACE`: whether rows of the same key and instant have the same request fields."""
        texts = [logged[n].cast("string").fill_null("␀") for n in self._others(key)]
        if not texts or not key:
            return logged.mutate(**{_PLACE: ibis.literal(True)})
        text: Any = reduce(lambda one, other: one + "␞" + other, texts)
        together = ibis.window(group_by=[*(logged[k] for k in key), logged[T]])
        return logged.mutate(**{_PLACE: text.min().over(together) == text.max().over(together)})

    def _others(self, key: tuple[str, ...]) -> list[str]:
        """Return the request fields that may tell alternatives apart."""
        return [name for name in self.retrieval.request if name not in {*key, *self._chosen}]

    def _equal(self, rows: ibis.Table, names: list[str]) -> ibis.Value:
        """Return whether logged request fields have the values of the example."""
        found: list[Any] = [ibis.literal(True)]
        for name in names:
            logged, given = rows[name], rows[_of(name)]
            same = logged.identical_to(given)
            if logged.type().is_floating():
                same = same | ((logged - given).abs() <= 1e-9 + 1e-6 * given.abs()).fill_null(False)
            found.append(same)
        return ibis.and_(*found)

    @property
    def _chosen(self) -> frozenset[str]:
        """The request fields that candidates bring."""
        choices = choices_of(self.graph, self.name)
        return frozenset() if choices is None else choices.plan.fields

    @property
    def _is_one(self) -> bool:
        """Whether an answer has one prediction, so that its id names it."""
        return not isinstance(self.endpoint.decide, Top) and not self.endpoint.model.horizons

    # ── from clients ─────────────────────────────────────────────────────────────────────────────────

    def _of_clients(self, logged: ibis.Table, sent: ibis.Table) -> ibis.Table:
        """Return `PREDICTION`, `_GIVEN` and `_IS_SENT` of the predictions that clients sent an outcome for."""
        newest, names = _newest(sent, self.classes), _names(logged, self._is_one)
        rows = names.inner_join(newest, _NAME)
        # An id of a prediction counts before one of its answer.
        order = [rows[_NAME] != rows[PREDICTION], rows[_GIVEN]]
        first = ibis.row_number().over(ibis.window(group_by=rows[PREDICTION], order_by=order))
        rows = rows.mutate(**{_PLACE: first})
        return rows.filter(rows[_PLACE] == 0).select(PREDICTION, _GIVEN, **{_IS_SENT: ibis.literal(True)})


def _nearest(rows: ibis.Table, *more: str) -> ibis.Table:
    """Return `PREDICTION`, `_TRUTH` and `more` of each prediction: of the example whose time is nearest."""
    apart = (to_micros(rows[_WHEN]) - to_micros(rows[T])).abs()
    order = [rows[_TRUTH].isnull(), apart, rows[_WHEN].desc(), rows[_TRUTH].desc()]
    nearest = ibis.row_number().over(ibis.window(group_by=rows[PREDICTION], order_by=order))
    rows = rows.mutate(**{_PLACE: nearest})
    return rows.filter(rows[_PLACE] == 0).select(PREDICTION, _TRUTH, *more)


def _of(name: str) -> str:
    return f"_of_{name}"


def _beside(rows: ibis.Table, found: ibis.Table, *columns: str) -> ibis.Table:
    """Return rows with columns of those that have the same prediction."""
    other = found.rename(_found=PREDICTION)
    return rows.left_join(other, [rows[PREDICTION] == other["_found"]]).select(*rows.columns, *columns)


def _names(logged: ibis.Table, is_one: bool) -> ibis.Table:
    """Return the ids that name each prediction: its own, and that of its answer if it is the answer's only one."""
    own = logged.select(PREDICTION, **{_NAME: logged[PREDICTION]})
    if not is_one or REQUEST not in logged.columns:
        return own
    answered = logged.filter(logged[REQUEST].notnull())
    return own.union(answered.select(PREDICTION, **{_NAME: answered[REQUEST]}))


def _newest(sent: ibis.Table, classes: tuple[str, ...]) -> ibis.Table:
    """Return the last outcome of each id, as `_NAME` and `_GIVEN`."""
    latest = sent.group_by(PREDICTION).aggregate(**{_GIVEN: sent[SENT].argmax(sent[SEQ])})
    return latest.select(**{_NAME: latest[PREDICTION], _GIVEN: _number(latest[_GIVEN], classes)})


def _number(value: Any, classes: tuple[str, ...]) -> ibis.Value:
    """Return an outcome as float64. A class that the version does not know has no place, so it is not known."""
    if not classes:
        return ibis.null("float64") if value.type().is_string() else value.cast("float64")
    if value.type().is_numeric():
        return ibis.cases(*((value == float(name), float(place)) for place, name in enumerate(classes)))
    text = value.cast("string")
    return ibis.cases(*((text == name, float(place)) for place, name in enumerate(classes)))

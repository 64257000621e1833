"""Forecast: expand each request to the horizons of the version, read features of all at once, and score once.

A request names a series. The server fills in the time of the row that it is forecast from: the latest one of the grid
of the training rows whose prediction time has come. Features that do not depend on the horizon are read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from mainstem.errors import RequestError
from mainstem.features.forecasts import Forecast
from mainstem.features.retrieval import Retrieval
from mainstem.graph.units import DAY
from mainstem.logs.predictions import append
from mainstem.models.artifact.scorer import Scorer
from mainstem.nodes.durations import microseconds
from mainstem.nodes.forecasts import FOR, HORIZON
from mainstem.nodes.instants import instant_of, micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.serving.answer import Answer, new_ids
from mainstem.serving.decisions.phases import phases
from mainstem.serving.predictor import Columns, Log, Predictor
from mainstem.streaming.rows import iso


@dataclass(frozen=True)
class Forecasted:
    """The answer to one request. Each item is a prediction with its own id; `horizons` are theirs, as written."""

    id: str
    time: int
    items: tuple[Answer, ...]
    horizons: tuple[str, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """What is unusual of any item."""
        return tuple(dict.fromkeys(flag for item in self.items for flag in item.flags))

    def shown(self) -> dict[str, Any]:
        """Return the answer as plain data, the nearest horizon first."""
        found = [
            {
                "id": item.id,
                "horizon": horizon,
                "for": shown_time(item.row[FOR]),
                "score": item.score,
                **({} if item.decision is None else {"decision": item.decision}),
                **({} if not item.scores else {"scores": item.scores}),
            }
            for horizon, item in zip(self.horizons, self.items, strict=True)
        ]
        return {"forecast": found, **({"flags": list(self.flags)} if self.flags else {})}


def shown_time(value: Any) -> Any:
    """Return a time of a row as text: an instant is µs there, a date is a text already."""
    return iso(instant_of(value)) if isinstance(value, int) else value


class ForecastingPredictor(Predictor):
    """An endpoint whose model forecasts, and its champion. It is thread-safe. See `Predictor` for its parameters."""

    heavy = True

    def __init__(self, forecast: Forecast, *, retrieval: Retrieval, scorer: Scorer, **parts: Any) -> None:
        super().__init__(retrieval=retrieval, scorer=scorer, offered=forecast.filled - {HORIZON}, **parts)
        self.forecast, self.horizons = forecast, scorer.manifest.horizons
        assert scorer.manifest.grid is not None
        self._step, self._start = scorer.manifest.grid
        self._first, self._then = phases(retrieval, forecast.filled)
        self._request = [name for name in retrieval.request if name not in forecast.filled]

    @property
    def each(self) -> int:
        return len(self.horizons)

    def predict(self, rows: Sequence[Any], at: int | None = None) -> list[Answer]:
        """Return one answer per row and horizon, in order. Raises `RequestError` as `Predictor.predict` does."""
        return [item for each in self.forecasts(rows, at) for item in each.items]

    def forecasts(self, rows: Sequence[Any], at: int | None = None) -> list[Forecasted]:
        """Return one answer per request, in order. Raises `RequestError` as `Predictor.predict` does."""
        checked = self.checked(rows)
        return self.answers_at(checked, self.timed(checked, at))

    def log_of(self, answers: Sequence[Forecasted]) -> Log[Forecasted]:
        return self._log(answers)

    def answers_at(self, checked: Sequence[dict[str, Any]], times: Sequence[int]) -> list[Forecasted]:
        asked = [self._asked(row.pop(HORIZON, None), place) for place, row in enumerate(checked)]
        columns: Columns = {name: [row[name] for row in checked] for name in self._request}
        flags = [[*self.flags] for _row in checked]
        self.look_up(self._first, columns, times, flags)
        owner = [n for n, horizons in enumerate(asked) for _horizon in horizons]
        written = [horizon for horizons in asked for horizon in horizons]
        filled = [self._filled(times[n], horizon) for n, horizon in zip(owner, written, strict=True)]
        every: Columns = {name: [values[n] for n in owner] for name, values in columns.items()}
        every |= {name: [row[name] for row in filled] for name in self.forecast.filled}
        when, said = [times[n] for n in owner], [[*flags[n]] for n in owner]
        self.look_up(self._then, every, when, said)
        given = [{**checked[n], **row} for n, row in zip(owner, filled, strict=True)]
        answers = iter(self.answers(given, when, every, said, self.scored(every)) if given else [])
        return [
            Forecasted(id, time, tuple(next(answers) for _horizon in horizons), horizons)
            for id, time, horizons in zip(new_ids(len(times)), times, asked, strict=True)
        ]

    def _asked(self, horizon: str | None, place: int) -> tuple[str, ...]:
        """Return the horizons that a request asks for: one, or all. Raises `RequestError`."""
        if horizon is None or horizon in self.horizons:
            return self.horizons if horizon is None else (horizon,)
        raise RequestError(
            f"{self.version.id} does not forecast the horizon {horizon!r}",
            where=f"endpoint {self.name}, rows[{place}].{HORIZON}",
            got=horizon,
            expected=f"one of {', '.join(self.horizons)}; all without it",
        )

    def _filled(self, time: int, horizon: str) -> dict[str, Any]:
        """Return the fields that a request does not have, for a prediction time (µs) and a horizon."""
        came = time - self.forecast.offset
        origin = came - (came - self._start) % self._step
        ahead = microseconds(horizon)
        times = {self.forecast.time: origin, FOR: origin + ahead}
        if self.forecast.type == "date":
            return {HORIZON: ahead / DAY, **{name: instant_of(at).date().isoformat() for name, at in times.items()}}
        return {HORIZON: ahead / DAY, **times}

    def _log(self, answers: Sequence[Forecasted]) -> Log[Forecasted]:
        """Return a function that logs all items of answers within a transaction, each with the id of its answer."""
        at = micros_of(now())
        entries = [
            structs.replace(self.prediction(item, at), request=answer.id) for answer in answers for item in answer.items
        ]

        def write(writer: Writer) -> Sequence[Forecasted]:
            append(writer, self.name, entries, self.floor)
            return answers

        return write


def rows_of(asked: Sequence[Mapping[str, Any]], answers: Sequence[Forecasted]) -> list[dict[str, Any]]:
    """Return each request once for each item of its answer, with its horizon and the time that is forecast."""
    return [
        {**row, HORIZON: horizon, FOR: shown_time(item.row[FOR])}
        for row, answer in zip(asked, answers, strict=True)
        for horizon, item in zip(answer.horizons, answer.items, strict=True)
    ]

"""The fields of a request: sent as they are in the examples' table before its `clean=` verbs, and cleaned by the same
verbs, so that a model is asked with values like those that it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis

from mainstem.errors import RequestError
from mainstem.features.forecasts import forecast_of
from mainstem.features.retrieval import plain, retrieval_of
from mainstem.features.rowwise.on_demand import RowFunction, canonical
from mainstem.nodes.definition import Graph
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.verbs import Verb

Row = dict[str, Any]


@dataclass(frozen=True)
class Cleaning:
    """One verb as a function of the rows of requests. If it `refuses` what it cannot convert, so does the endpoint.

    `types` are those of the columns that it reads.
    """

    verb: Verb
    types: Mapping[str, str]

    @cached_property
    def function(self) -> RowFunction:
        """The changed columns of one row. Raises `SettingsError` if a secret of the verb is missing."""
        return self._made(self.verb.ready())

    @property
    def fallbacks(self) -> dict[str, str]:
        """The changed columns that only the engine can compute, each with the operation."""
        return self._made(self.verb).fallbacks

    def _made(self, verb: Verb) -> RowFunction:
        row = ibis.table(dict(self.types), name="row")
        return RowFunction(canonical(self.values(verb), row), self.types)

    def values(self, verb: Verb) -> dict[str, Any]:
        """Return the columns that a verb changes, as expressions over one row."""
        projection: Any = verb.apply(ibis.table(dict(self.types), name="row")).op()
        return {name: projection.values[name].to_expr() for name in self.verb.changed}

    @property
    def refuses(self) -> bool:
        return self.verb.on_invalid in ("quarantine", "fail")

    def clean(self, rows: Sequence[Row]) -> None:
        """Change the fields of rows. A row that lacks what the verb reads is left as it is."""
        read = self.verb.columns
        having = [(place, row) for place, row in enumerate(rows) if read[0] in row]
        columns = {name: [row.get(name) for _, row in having] for name in self.function.columns}
        found = self.function.batch(columns)
        for number, (place, row) in enumerate(having):
            before = row[read[0]]
            row |= {name: values[number] for name, values in found.items()}
            if self.refuses and before is not None and row[self.verb.changed[0]] is None:
                raise RequestError(
                    f"the field {read[0]!r} cannot be cleaned",
                    where=f"rows[{place}].{read[0]}",
                    got=repr(before),
                    expected=self.verb.describe(),
                    hint="the table of examples has no such rows either",
                )


@dataclass(frozen=True)
class Sent:
    """What a request sends. `fields` are the fields that it must have, `key` the columns of the examples' key that it
    may have, with their Ibis types. `cleaning` brings both to the values of the examples. `spent` are fields that only
    verbs read."""

    fields: Mapping[str, str]
    key: Mapping[str, str]
    cleaning: tuple[Cleaning, ...]
    spent: tuple[str, ...]

    def clean(self, rows: list[Row]) -> list[Row]:
        """Return the rows with the values that the table of examples would have. Raises `RequestError` for a value that
        a verb cannot convert, if the table would not have its row."""
        for each in self.cleaning:
            each.clean(rows)
        for name in self.spent:
            for row in rows:
                row.pop(name, None)
        return rows


def sent(graph: Graph, model: str, key: Mapping[str, str]) -> Sent:
    """Return what requests of a model send, given the `key` of its examples (column → type).

    A request for a forecast names its series, and may name one horizon. The server knows the time of the row.
    """
    retrieval, forecast = retrieval_of(graph, model), forecast_of(graph, model)
    examples, asked = graph[retrieval.examples], {**key, **retrieval.request}
    if forecast is not None:
        asked, key = {name: type for name, type in retrieval.request.items() if name not in forecast.filled}, {}
    raw = {} if examples.raw is None else {name: plain(str(t)) for name, t in examples.raw.schema().items()}
    verbs = _needed(_applicable(examples.clean), asked)
    touched = {column for verb in verbs for column in (*verb.columns, *verb.changed)}
    types = {name: type for name, type in asked.items() if name not in touched}
    types |= {name: raw[name] for name in sorted(touched) if name in raw}
    optional = key.keys() - retrieval.request.keys()
    # Declared fields come first, in their order, then those that only verbs read.
    names = dict.fromkeys((*retrieval.request, *types))
    named = {name: types[name] for name in key if name in types and name in optional}
    return Sent(
        {name: types[name] for name in names if name in types and name not in optional},
        named if forecast is None else {HORIZON: "string"},
        tuple(_cleanings(verbs, types)),
        tuple(name for name in types if name not in asked),
    )


def _applicable(verbs: Sequence[Verb]) -> list[Verb]:
    """Return the verbs that only read one row. A column that another verb takes from other rows is sent as the table
    has it, so no verb changes it, nor what is made of it."""
    beyond = {column for verb in verbs if not verb.rowwise for column in verb.changed}
    found = [verb for verb in verbs if verb.rowwise]
    while more := {c for verb in found for c in verb.changed if not beyond.isdisjoint((*verb.columns, *verb.changed))}:
        beyond |= more
        found = [verb for verb in found if beyond.isdisjoint((*verb.columns, *verb.changed))]
    return found


def _needed(verbs: Sequence[Verb], asked: Iterable[str]) -> list[Verb]:
    """Return the verbs that the asked columns depend on, in order."""
    read, found = set(asked), list[Verb]()
    for verb in reversed(verbs):
        if not read.isdisjoint(verb.changed):
            read |= set(verb.columns)
            found.append(verb)
    return found[::-1]


def _cleanings(verbs: Iterable[Verb], types: Mapping[str, str]) -> Iterator[Cleaning]:
    """Yield each verb with the types of the columns that it reads."""
    types = dict(types)
    for verb in verbs:
        cleaning = Cleaning(verb, {name: types[name] for name in verb.columns})
        types |= {name: plain(str(value.type())) for name, value in cleaning.values(verb).items()}
        yield cleaning

"""The contracts of feature computation: an interpreter of views, and an aggregation of the algebra."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from mainstem.features.algebra import Aggregation, Partial
from mainstem.features.online.arrivals import arrivals
from mainstem.features.online.few import Few
from mainstem.features.online.many import Many
from mainstem.features.online.packing import Events, Layout
from mainstem.features.online.scalars import Scalars
from mainstem.features.online.sight import exact
from mainstem.features.views.view import CompiledView, Feature
from mainstem.nodes.reductions import Windowed, windowed
from mainstem.testing.features import Interpreter, same, scaled
from mainstem.testing.histories import NAMED, Case, History, a_million, are_apart, made_up
from mainstem.testing.views import VIEWS, view_of

HISTORIES = int(os.environ.get("MAINSTEM_HISTORIES", "20"))
"""The number of generated histories for each view."""

BATCH = 150
"""The number of histories in one call."""

FEW = 20
"""The number of histories in one call if queries see the events of all of them."""

MIXED = 200
"""The number of histories for such views: a small call takes as long as a large one."""

COMPARED = "values compared"
"""The property of a test report with the number of compared values."""

SCALARS = Scalars()


@lru_cache(1)
def every_history() -> list[History]:
    """Return the named and the generated histories."""
    return [*NAMED.values(), *made_up(HISTORIES)]


@lru_cache(maxsize=64)  # cached, because several interpreters test the same view
def _case(name: str, as_of: str, start: int, size: int) -> Case:
    return Case.of(_view(name), every_history()[start : start + size], as_of=as_of)


@lru_cache
def _view(name: str) -> CompiledView:
    return VIEWS[name]()


class InterpreterContract:
    """Define the fixture `interpreter`. Define `as_of = "known"` if it ignores times of arrival."""

    @pytest.fixture
    def as_of(self) -> Literal["arrived", "known"]:
        return "arrived"

    @pytest.mark.parametrize("name", VIEWS)
    def test_it_sees_what_the_oracle_sees(
        self, interpreter: Interpreter, as_of: str, name: str, record_property: Callable[[str, object], None]
    ) -> None:
        compared = 0
        size, most = (BATCH, len(every_history())) if are_apart(_view(name)) else (FEW, MIXED)
        for start in range(0, min(most, len(every_history())), size):
            case = _case(name, as_of, start, size)
            unlike = case.unlike(interpreter)
            assert case.values and not unlike, "\n".join(unlike[:20])
            compared += case.values
        record_property(COMPARED, compared)

    @pytest.mark.slow
    @pytest.mark.timeout(1_800)
    @pytest.mark.parametrize("name", ["selection", "exact", "ordered", "ttl"])
    def test_a_million_rows(self, interpreter: Interpreter, as_of: str, name: str) -> None:
        case = Case.of(_view(name), [a_million(), NAMED["single event"]], as_of=as_of)
        unlike = case.unlike(interpreter)
        assert len(case.events) > 1_000_000 and not unlike, "\n".join(unlike[:20])

    def test_without_queries_there_are_no_answers(self, interpreter: Interpreter) -> None:
        assert interpreter(VIEWS["latest"](), [], []) == []


class AlgebraLaws:
    """Define the fixture `reduction`: an aggregation of columns of `mainstem.testing.features.SCHEMA`, such as
    `ms.aggregate("rms", _.number)`. Its definition must be in `mainstem.testing.reduce.REDUCE`."""

    @pytest.mark.parametrize("kind", [Few, Many])
    def test_partials_of_parts_merge_to_that_of_the_whole(self, reduction: Any, kind: type[Few | Many]) -> None:
        """Merge partials of few and of many events, in any order and grouping."""
        view = view_of(feature=windowed(reduction.reduction if isinstance(reduction, Windowed) else reduction, "40d"))
        for history in every_history():
            for key, packed in _packed(view, history):
                t = int(packed["_u"][-1]) + 1
                span = next(iter(view.windows)).span(t)
                (wanted,) = scaled(view, history.events, [(key, t)], as_of="known")
                for feature in view.features:
                    value, scale = wanted[feature.name]
                    with np.errstate(all="ignore"):
                        partials = list(_bracketed(feature.kind, _parts(kind, view, packed, feature)))
                    for partial in partials:
                        actual = exact(feature, feature.kind.finalize(SCALARS, partial, span))
                        assert same(actual, value, scale), (key, feature.name, actual, value)


class AggregationContract(AlgebraLaws):
    """The laws, and a test that every interpreter supports the aggregation. Define the same fixture."""

    @pytest.fixture
    def interpreters(self, tmp_path: Path) -> Iterator[Mapping[str, Interpreter]]:
        from mainstem.engines.duckdb import DuckdbEngine
        from mainstem.stores.lmdb import LmdbStore
        from mainstem.testing.interpreters import offline, online

        store = LmdbStore(tmp_path / "online", sync=False)
        yield {"offline": offline(DuckdbEngine()), "online": online(store)}
        store.close()

    def test_every_interpreter_sees_what_the_oracle_sees(
        self, reduction: Any, interpreters: Mapping[str, Interpreter]
    ) -> None:
        case = Case.of(view_of(windows=["2min", "10min"], feature=reduction), every_history())
        for name, interpreter in interpreters.items():
            unlike = case.unlike(interpreter)
            assert case.values and not unlike, "\n".join([name, *unlike[:20]])


def _packed(view: CompiledView, history: History) -> Iterator[tuple[tuple[Any, ...], Events]]:
    """Yield the events of each key, in order."""
    rows = {name: [event[name] for event in history.events] for name in history.events[0]} if history.events else None
    layout = Layout.of(view)
    for key, columns in arrivals(view, rows).by_key() if rows else ():
        yield tuple(msgspec.msgpack.decode(key)), layout.unpack(layout.pack(columns))


def _parts(kind: type[Few | Many], view: CompiledView, events: Events, feature: Feature) -> list[Partial]:
    """Return the partials of three ranges. Some may have no events."""
    cuts = [0, len(events) // 3, len(events) // 2, len(events)]
    return [feature.kind.lift(kind(view, events, range(*cut), feature)) for cut in pairwise(cuts)]


def _bracketed(kind: Aggregation, parts: list[Partial]) -> Iterator[Partial]:
    for a, b, c in permutations(parts):
        yield kind.merge(SCALARS, kind.merge(SCALARS, a, b), c)
        yield kind.merge(SCALARS, a, kind.merge(SCALARS, b, c))

"""The contract of the `State` port."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstem.errors import ConflictError
from mainstem.nodes.records import Measure, ModelVersion, Release, RunRecord, StepRecord
from mainstem.ports import Field, Snapshot, State

OpenState = Callable[[], State]


def release(id: str, branch: str = "main") -> Release:
    """Return a release with values that are difficult to store: big integers, unicode, instants with microseconds."""
    fields = (Field(1, "Größe ✈", "timestamp('UTC', 6)"),)
    snapshot = Snapshot("legs", "legs__1", 2**62 + 1, "/a'b\"c.json", 3, "run-1", fields, '{"a": 1}', {"x": "ß"})
    return Release(
        id,
        branch,
        "run-1",
        tables={"quarantine.legs": snapshot},
        created_at=datetime(2013, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        cutovers={"departures": datetime(1969, 1, 1, tzinfo=UTC)},
    )


def version(id: str, value: float) -> ModelVersion:
    metric = Measure(value, -math.inf, math.inf, 0)
    return ModelVersion(
        id, "late", 3, "run-1", "f", "models/late/3", "binary", "lightgbm", "ap", (), metrics={"ap": metric}
    )


class StateContract:
    """Define the fixture `open_state`: a function that opens the same state again. It is empty at first."""

    def test_records_come_back_as_they_were(self, open_state: OpenState) -> None:
        step = StepRecord("build", "legs", "new", "done", 0.5, 10, 9, 1)
        run = RunRecord("run-1", "main", "published", steps=(step,))
        open_state().save(release("r1"), run)
        assert open_state().get(Release, "r1") == release("r1")
        assert open_state().get(RunRecord, "run-1") == run

    def test_what_was_never_saved_is_none(self, open_state: OpenState) -> None:
        state = open_state()
        state.save()
        state.save(release("r1"))
        assert state.get(Release, "r2") is None
        assert state.get(RunRecord, "r1") is None  # ids are unique only within a class
        assert state.find(RunRecord) == []

    def test_a_branch_is_held_by_one_at_a_time(self, open_state: OpenState) -> None:
        first, second = open_state(), open_state()
        with first.hold("main", "run 1 of mallory"):
            with second.hold("dev", "run 2"):
                pass
            taken = "another run is in progress on branch 'main'"
            with pytest.raises(ConflictError, match=taken) as refused, second.hold("main", "run 3"):
                raise AssertionError("both hold it")
            assert refused.value.got == "run 1 of mallory"
        with pytest.raises(ZeroDivisionError), second.hold("main", "run 4"):
            raise ZeroDivisionError
        with first.hold("main", "run 5"):
            pass

    def test_a_branch_is_dropped_only_where_it_is_expected(self, open_state: OpenState) -> None:
        state = open_state()
        state.publish("dev", release("r1", "dev"), expect=None)
        with pytest.raises(ConflictError, match="'dev' has moved"):
            state.drop("dev", expect="r2")
        assert state.branches() == {"dev": "r1"}
        state.drop("dev", expect="r1")
        assert state.branches() == {} and state.get(Release, "r1") is not None

    def test_floats_that_json_has_no_number_for(self, open_state: OpenState) -> None:
        open_state().save(version("v1", math.nan))
        found = open_state().get(ModelVersion, "v1")
        assert found is not None
        measure = found.metrics["ap"]
        assert math.isnan(measure.value)
        assert (measure.low, measure.high) == (-math.inf, math.inf)

    def test_saving_again_replaces_in_place(self, open_state: OpenState) -> None:
        state = open_state()
        runs = [RunRecord(f"run-{n}", "main", "running") for n in range(3)]
        state.save(*runs)
        done = replace(runs[0], status="published")
        state.save(done)
        assert state.find(RunRecord) == [done, *runs[1:]]

    def test_find_by_fields_and_newest(self, open_state: OpenState) -> None:
        state = open_state()
        state.save(*(RunRecord(f"run-{n}", "dev" if n % 2 else "main", "published") for n in range(6)))
        assert [r.id for r in state.find(RunRecord, branch="dev")] == ["run-1", "run-3", "run-5"]
        assert [r.id for r in state.find(RunRecord, newest=2)] == ["run-4", "run-5"]
        assert [r.id for r in state.find(RunRecord, newest=1, branch="main")] == ["run-4"]
        assert state.find(RunRecord, branch="dev", status="failed") == []
        assert state.find(RunRecord, branch="' OR 1=1 --") == []

    def test_find_by_a_number(self, open_state: OpenState) -> None:
        state = open_state()
        state.save(version("v1", 0.5))
        assert [v.id for v in state.find(ModelVersion, number="3")] == ["v1"]
        assert state.find(ModelVersion, number="30") == []

    def test_find_has_no_field_that_the_record_lacks(self, open_state: OpenState) -> None:
        state = open_state()
        state.save(release("r1"))
        fields: dict[str, Any] = {'no "such" field': "x"}
        assert state.find(Release, **fields) == []

    def test_a_head_moves_only_from_where_it_is_expected(self, open_state: OpenState) -> None:
        state, other = open_state(), open_state()
        assert state.head("main") is None
        state.move("main", "r1", expect=None)
        with pytest.raises(ConflictError):
            other.move("main", "r2", expect=None)
        with pytest.raises(ConflictError):
            other.move("main", "r2", expect="r0")
        with pytest.raises(ConflictError):
            other.move("dev", "r2", expect="r1")
        other.move("main", "r2", expect="r1")
        assert state.head("main") == "r2"
        state.move("dev", "r1", expect=None)
        assert other.branches() == {"dev": "r1", "main": "r2"}

    def test_one_of_many_movers_wins(self, open_state: OpenState) -> None:
        open_state().move("main", "r0", expect=None)

        def moved(n: int) -> bool:
            try:
                open_state().move("main", f"r{n}", expect="r0")
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(moved, range(1, 17)))
        assert won.count(True) == 1
        assert open_state().head("main") == f"r{won.index(True) + 1}"

    def test_publishing_is_all_or_nothing(self, open_state: OpenState) -> None:
        state, other = open_state(), open_state()
        run = RunRecord("run-1", "main", "published")
        state.publish("main", release("r1"), run, expect=None)
        assert (other.head("main"), other.get(RunRecord, "run-1")) == ("r1", run)
        with pytest.raises(ConflictError):
            other.publish("main", release("r2"), version("v2", 0.5), expect="r0")
        with pytest.raises(ConflictError):
            other.publish("main", release("r2"), version("v2", 0.5), expect=None)
        assert state.get(Release, "r2") is None and state.find(ModelVersion) == []
        assert state.head("main") == "r1"

    def test_of_many_publishers_the_losers_leave_nothing(self, open_state: OpenState) -> None:
        open_state().publish("main", release("r0"), expect=None)

        def published(n: int) -> bool:
            try:
                open_state().publish("main", release(f"r{n}"), version(f"v{n}", 0.5), expect="r0")
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(published, range(1, 17)))
        winner = won.index(True) + 1
        state = open_state()
        assert won.count(True) == 1 and state.head("main") == f"r{winner}"
        assert [v.id for v in state.find(ModelVersion)] == [f"v{winner}"]
        assert [r.id for r in state.find(Release)] == ["r0", f"r{winner}"]

    def test_no_number_is_given_twice(self, open_state: OpenState) -> None:
        with ThreadPoolExecutor(8) as pool:
            firsts = list(pool.map(lambda n: open_state().reserve("finding", n % 3 + 1), range(24)))
        given = [first + k for n, first in enumerate(firsts) for k in range(n % 3 + 1)]
        assert sorted(given) == list(range(1, len(given) + 1))
        assert open_state().reserve("another") == 1

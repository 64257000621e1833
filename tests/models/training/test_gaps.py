"""The gap is as long as labels take: by `known` of the target's columns, and by the rows where only they tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError
from mainstem.features.gaps import gap_of
from mainstem.graph.known import Moment
from mainstem.models.training import learn
from mainstem.models.training.blueprint import blueprint_of

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMA = {
    "id": "string",
    "at": "timestamp('UTC', 6)",
    "closed_at": "timestamp('UTC', 6)",
    "amount": "float64",
    "paid": "float64",
}
BEFORE = _.at - ibis.interval(days=2)
IN_TWO_WEEKS = {"*": BEFORE, "paid": _.at + ibis.interval(days=14)}
WHEN_CLOSED = {"*": BEFORE, "paid": "closed_at", "closed_at": "closed_at"}


def claims(slow: int = 10**6) -> list[dict[str, Any]]:
    """1,000 rows, three hours apart. Each `slow`-th is closed after 30 days, others after an hour."""
    rows = []
    for n in range(1_000):
        at = BEGIN + timedelta(hours=3 * n)
        closed = at + (timedelta(days=30) if n % slow == 0 else timedelta(hours=1))
        rows.append(
            {"id": f"c{n}", "at": at, "closed_at": closed, "amount": float(n % 7), "paid": float(n % 7 + n * 37 % 5)}
        )
    return rows


def project_of(known: Any, rows: Any = (), **options: Any) -> Any:
    source = ms.files("claims.csv", key="id", time="at", known=known, schema=SCHEMA)
    settings = {"prediction_time": _.at + ibis.interval(hours=1), "target": _.paid, "features": ["amount"]}
    settings |= {"candidates": ["linear"]} | options
    return mainstem.testing.project({"claims": source, "m": ms.model(source, **settings)}, {"claims": rows})


def found(known: Any, **options: Any) -> str:
    with project_of(known, **options) as project:
        return str(gap_of(project.graph, "m"))


def test_a_constant_in_known_becomes_the_gap():
    with project_of(IN_TWO_WEEKS, claims()) as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        told = "14d: `paid` is known at at + 14 d"
        assert f"the gap is {told}" in step.details
        project.run()
        card = project.show("m").card
        rows = project.dataset("m").to_pyarrow().to_pylist()
    assert card["evaluation"]["gap"] == told
    assert card["rows"] == card["rows"] | {"train": 688, "gap": 112, "test": 200}
    train = [row["_t"] for row in rows if row["_split"] == "train"]
    test = [row["_t"] for row in rows if row["_split"] == "test"]
    assert max(train) < min(test) - timedelta(days=14) <= max(train) + timedelta(hours=3)
    spans = {(span["line"], span["part"]): span for span in card["evaluated"]["timeline"]}
    for fold in ("fold 1", "fold 2", "fold 3"):
        ends, begins = (
            datetime.fromisoformat(str(spans[fold, part][side])) for part, side in (("train", "end"), ("test", "start"))
        )
        assert begins - ends > timedelta(days=14)


@pytest.mark.parametrize(
    ("known", "options", "expected"),
    [
        ("always", {}, "1d: the default"),
        ({"*": "at"}, {}, "1d: the default"),
        (IN_TWO_WEEKS, {"gap": "30d"}, "30d: as declared"),
        (IN_TWO_WEEKS, {"gap": "335h"}, "335h: as declared"),
        (IN_TWO_WEEKS, {"prediction_time": _.at.truncate("D")}, "15d: `paid` is known at at + 14 d"),
        (IN_TWO_WEEKS, {"target": _.closed_at.hour(), "gap": "1h"}, "1h: as declared"),
        (
            IN_TWO_WEEKS,
            {"target": ms.outcome(_.paid > 3, after="20d")},
            "20d: as long as the outcome takes",
        ),
        (
            {"*": BEFORE, "paid": _.at + ibis.interval(days=3)},
            {"horizons": ["1d", "7d"], "prediction_time": _.at},
            "10d: `paid` is known at at + 3 d of the row that is forecast",
        ),
    ],
)
def test_the_gap_and_its_reason(known, options, expected):
    assert found(known, **options) == expected


def test_a_gap_that_is_shorter_than_known_is_refused():
    with (
        pytest.raises(DefinitionError, match="`gap` is shorter than labels take") as error,
        project_of(IN_TWO_WEEKS, gap="7d") as project,
    ):
        project.plan("m")
    assert error.value.got == 'gap="7d"' and error.value.hint == "leave out `gap`"
    assert error.value.expected == 'at least "14d": `paid` is known at at + 14 d'


def test_labels_that_came_after_the_test_began_are_not_learned_from():
    with project_of(WHEN_CLOSED, claims(slow=10)) as project:
        assert gap_of(project.graph, "m").late == (Moment("closed_at"),)
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        assert "training has no labels that are known at closed_at after the test begins" in step.details
        project.run()
        card = project.show("m").card
        rows = project.dataset("m").to_pyarrow().to_pylist()
    cut = min(row["_t"] for row in rows if row["_split"] == "test")
    early = [row for row in rows if row["_t"] < cut - timedelta(days=1)]
    late = [row for row in early if row["_labelled"] >= cut]
    assert len(late) == 23 and {row["_split"] for row in late} == {"gap"}, "rows 570, 580, … 790"
    assert {row["_split"] for row in early if row["_labelled"] < cut} == {"train"}
    assert card["evaluation"]["late labels"] == (
        "23 rows are not in the training: known at closed_at, after the test begins"
    )
    assert card["evaluation"]["gap"] == "1d: the default"
    (gap,) = (span for span in card["evaluated"]["timeline"] if (span["line"], span["part"]) == ("version", "gap"))
    assert gap["rows"] == 8, "on the time axis, late labels are in the training's span"


def test_a_label_without_a_time_is_left_to_the_gap():
    rows = [row | {"closed_at": None} for row in claims()]
    with project_of(WHEN_CLOSED, rows) as project:
        project.run()
        card = project.show("m").card
    assert card["rows"]["gap"] == 8 and "late labels" not in card["evaluation"]


def test_a_gap_without_a_prediction_time_is_refused():
    with (
        pytest.raises(DefinitionError, match=r"`gap`.* requires `prediction_time`"),
        project_of({"*": "at"}, gap="1d", prediction_time=None) as project,
    ):
        project.plan("m")


def test_a_window_cuts_what_is_measured_and_what_ships():
    with project_of({"*": "at"}, claims(), window="20d") as project:
        project.run()
        card = project.show("m").card
        older = project.dataset("m", split="older").to_pyarrow()
    assert card["rows"] == card["rows"] | {"older": 632, "train": 160, "gap": 8, "test": 200, "learned": 161}
    assert len(older) == 632
    assert card["evaluation"]["ships"] == (
        "linear with the settings found, fitted again on 161 of 1,000 labelled rows, the latest 20d; "
        "the metrics are of the fit before"
    )
    assert card["evaluation"]["folds"] == "3, each from 20d before it"
    assert card["evaluation"]["compared on"] == "792 of 792 training rows", "with the older ones"
    rows = {(span["line"], span["part"]): span["rows"] for span in card["evaluated"]["timeline"]}
    assert {line: rows[line, "train"] for line, part in rows if part == "train"} == dict.fromkeys(
        ("version", "fold 1", "fold 2", "fold 3"), 160
    ), "folds, the measured fit and the shipped fit have one window"
    with (
        pytest.raises(DefinitionError, match="`window` and `split` both say which rows train"),
        project_of({"*": "at"}, window="20d", split=_.amount > 5) as project,
    ):
        project.plan("m")


def test_what_ships_is_fitted_on_all_rows_and_measured_before():
    with project_of({"*": "at"}, claims(), max_rows=500) as project:
        project.run()
        ships = project.show("m").card["evaluation"]["ships"]
    assert ships == (
        "linear with the settings found, fitted again on all 1,000 labelled rows, of which at most 500 are drawn; "
        "the metrics are of the fit before"
    )


def test_fifty_daily_rows_are_enough_for_every_task():
    rows = [row | {"at": BEGIN + timedelta(days=n)} for n, row in enumerate(claims()[:50])]
    for target in (_.paid > 4, (_.paid > 4).ifelse("much", "little"), _.paid):
        with project_of({"*": BEFORE}, rows, target=target, candidates=None) as project:
            project.run()
            card = project.show("m").card
        assert card["rows"] == card["rows"] | {"train": 39, "gap": 1, "test": 10}
        assert card["evaluation"]["folds"] == "1 and not 3: rows are too few, each from all before it"


def test_all_columns_are_without_the_time_of_the_prediction():
    with project_of({"*": BEFORE, "closed_at": "at"}, features="all", assume_known={"closed_at": "agreed"}) as project:
        names = {column.name for column in blueprint_of(project.graph, "m").inputs}
    assert names == {"amount", *(f"closed_at__{part}" for part in ("year", "month", "day", "weekday", "hour"))}


def test_intervals_of_a_version_in_time_hold_the_drift(monkeypatch):
    """What is paid for an amount changes from month to month."""
    rows = [row | {"paid": row["paid"] + (n // 250) ** 2 * (n % 11)} for n, row in enumerate(claims())]
    found = {}
    for drifting in (True, False):
        if not drifting:
            monkeypatch.setattr(learn, "drifted", lambda metrics, *_: metrics)
        with project_of({"*": BEFORE}, rows) as project:
            project.run()
            found[drifting] = project.show("m").card
    with_drift, without = (found[drifting]["metrics"]["rmse"] for drifting in (True, False))
    assert with_drift["value"] == without["value"]
    assert with_drift["high"] - with_drift["low"] > 2 * (without["high"] - without["low"])
    assert found[True]["evaluation"]["intervals"] == (
        "95 %, bootstrap of whole days, and the drift between the folds and the test"
    )

"""What nobody can know when the prediction is made is refused: when the project loads, or before training."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

from mainstem.errors import LeakError
from mainstem.features.leaks import check_rows
from mainstem.nodes.features import feature_view, on_demand
from mainstem.nodes.files import files
from mainstem.nodes.models import model
from mainstem.project.resolve import resolve

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)


def with_leg(small: Any, columns: list[str], **settings: Any) -> Any:
    """The small project with other columns in `leg`."""
    declared = small.nodes()
    leg = feature_view(declared["flights"], key="flight_id", columns=columns)
    late = declared["late"]
    changed = model(
        **{
            "examples": declared["flights"],
            "prediction_time": late.prediction_time,
            "target": late.target,
            "features": [leg, declared["airport"]] if "origin" in columns else [leg],
            **settings,
        }
    )
    return small.graph_of(declared | {"leg": leg, "late": changed})


def test_the_small_project_has_no_leak(small: Any) -> None:
    assert small.graph_of(small.nodes())


def test_a_column_known_after_the_prediction_is_a_leak(small: Any) -> None:
    with pytest.raises(LeakError) as caught:
        with_leg(small, ["origin", "dep_delay"])
    told = str(caught.value)
    assert "'leg__dep_delay' leaks: it is known only at departed_at" in told or "the target is computed from it" in told
    assert "scheduled_at − 1 h" in told
    assert "late (conftest.py" in told or "late (test_leaks.py" in told
    assert 'leg = ms.feature_view(…, assume_known={"dep_delay": "…"})' in told


def test_a_column_of_the_same_clock_is_compared_exactly(small: Any) -> None:
    """`arr_delay` would be known 9 hours after the schedule; the same instant as the prediction is too late as well."""
    seats_at = {"*": _.scheduled_at - ibis.interval(days=30), "seats": _.scheduled_at - ibis.interval(hours=1)}
    flights = files("flights.csv", key="flight_id", time="scheduled_at", known=seats_at)
    leg = feature_view(flights, key="flight_id", columns=["seats"])

    def load(hours: int) -> Any:
        late = model(
            examples=flights,
            prediction_time=_.scheduled_at - ibis.interval(hours=hours),
            target=_.arr_delay > 15,
            features=[leg],
        )
        return small.graph_of({"flights": flights, "leg": leg, "late": late})

    assert load(hours=0)
    with pytest.raises(LeakError, match="it is known only at scheduled_at − 1 h"):
        load(hours=1)


def test_what_the_target_is_made_from_is_a_leak_however_known(small: Any) -> None:
    flights = files("flights.csv", key="flight_id", time="scheduled_at", known="always")
    leg = feature_view(flights, key="flight_id", columns=["arr_delay"])
    late = model(examples=flights, prediction_time=_.scheduled_at, target=_.arr_delay > 15, features=[leg])
    with pytest.raises(LeakError, match="the target is computed from it"):
        small.graph_of({"flights": flights, "leg": leg, "late": late})


def test_unknown_availability_is_a_leak_unless_the_view_assumes_it_known(small: Any) -> None:
    reference = files("planes.csv", key="origin", schema={"origin": "string", "runways": "int64"})
    why = {"runways": "airports are not rebuilt overnight"}

    def load(view: dict[str, str], **settings: Any) -> Any:
        planes = feature_view(reference, key="origin", columns=["runways"], assume_known=view)
        declared = small.nodes(features=["origin", planes], **settings)
        return small.graph_of(declared | {"reference": reference, "planes": planes})

    with pytest.raises(LeakError, match="'planes__runways' leaks: its availability is unknown"):
        load({})
    assert load(why)
    with pytest.raises(LeakError, match="'planes__runways' leaks") as caught:
        load({}, assume_known={"planes__runways": "a model cannot change when a view's rows may be used"})
    assert 'planes = ms.feature_view(…, assume_known={"runways": "…"})' in str(caught.value.hint)


def test_what_is_known_as_soon_as_the_example_is_no_leak(small: Any) -> None:
    """Two clocks cannot be compared, but nothing is predicted of a flight before its row is there."""
    booked = {"*": "booked_at", "arr_delay": "landed_at", "dest": "landed_at"}
    schema = {
        "flight_id": "string",
        "seats": "int64",
        "dest": "string",
        "arr_delay": "float64",
        **dict.fromkeys(("scheduled_at", "booked_at", "landed_at"), "timestamp('UTC', 6)"),
    }
    flights = files("flights.csv", key="flight_id", time="scheduled_at", known=booked, schema=schema)

    def load(column: str) -> Any:
        leg = feature_view(flights, key="flight_id", columns=[column])
        late = model(examples=flights, prediction_time=_.scheduled_at, target=_.arr_delay > 15, features=[leg])
        return resolve({"flights": flights, "leg": leg, "late": late}, {})

    assert load("seats")
    with pytest.raises(LeakError, match="'leg__dest' leaks: it is known only at landed_at"):
        load("dest")


ORDERS = {
    "oid": "string",
    "buyer": "string",
    "amount": "float64",
    "returned": "boolean",
    **dict.fromkeys(("placed_at", "paid_at", "returned_at"), "timestamp('UTC', 6)"),
}


def orders(feature: Any, prediction_time: Any, known: Any = "placed_at", **settings: Any) -> dict[str, Any]:
    """A model of returns whose `feature`, a request field or a view of the order, is known when the order is placed."""
    late = {"returned": "returned_at", "returned_at": "returned_at", "paid_at": "paid_at"}
    placed = files("orders.parquet", key="oid", time="placed_at", schema=ORDERS, known={"*": known, **late})
    order = feature_view(placed, key="oid", columns=["amount"])
    chosen = order if isinstance(feature, str) and feature == "order__amount" else feature
    returns = model(examples=placed, prediction_time=prediction_time, target=_.returned, features=[chosen], **settings)
    return {"orders": placed, "order": order, "returns": returns}


@pytest.mark.parametrize("feature", ["amount", "order__amount"])
@pytest.mark.parametrize(
    "rounded",
    [
        _.placed_at.truncate("D"),
        _.placed_at.truncate("us"),
        _.placed_at.date(),
        _.placed_at.date().cast("timestamp"),
        _.placed_at.bucket(hours=6),
        _.placed_at.truncate("D") - ibis.interval(hours=1),
    ],
    ids=repr,
)
def test_a_prediction_time_rounded_down_comes_before_what_is_known_at_it(feature: str, rounded: Any) -> None:
    with pytest.raises(LeakError) as caught:
        resolve(orders(feature, rounded), {})
    # The row itself is too late: where its view is looked up, its key is named.
    column = "amount" if feature == "amount" else "oid"
    told = f"{column!r} leaks: it is known only at placed_at, and the prediction is made at {rounded!r}"
    assert caught.value.what == told
    long_before = _.placed_at - ibis.interval(days=2)
    assert resolve(orders(feature, rounded, known=long_before), {})


def test_a_request_field_must_be_known_too(small: Any) -> None:
    with pytest.raises(LeakError, match="'dep_delay' leaks"):
        small.graph_of(small.nodes(features=["dep_delay"]))


def test_past_outcomes_of_others_are_no_leak(small: Any) -> None:
    """A window over delays is looked up as of the prediction: the join hides what was not known."""
    declared = small.nodes()
    delays = feature_view(declared["flights"], key="dest", windows=["1d"], late=_.arr_delay.mean())
    late = small.nodes(features=["dest", delays])["late"]
    changed = model(
        examples=declared["flights"],
        prediction_time=late.prediction_time,
        target=late.target,
        features=["dest", delays],
    )
    assert small.graph_of(declared | {"delays": delays, "late": changed})


# ── on the rows, where definitions cannot tell ────────────────────────────────────────────────────────


def placed(number: int, *, paid: timedelta | None, **more: Any) -> dict[str, Any]:
    """An order `number` hours after noon, paid so much later, sent back or not."""
    at = NOON + timedelta(hours=number)
    row = {"oid": f"o{number}", "buyer": "b", "amount": 1.0, "returned": False, "placed_at": at, "returned_at": at}
    return row | {"paid_at": None if paid is None else at + paid, "_seq": number} | more


def asked_of(world: Any, rows: list[dict[str, Any]], feature: Any = "amount", **settings: Any) -> None:
    """Holds the model of returns, made when an order is paid, against rows."""
    here = world(orders(feature, _.paid_at, **settings))
    here.put("orders", rows)
    check_rows(here.graph, "returns", here.fetch)


LATER, SAME, EARLIER = timedelta(minutes=5), timedelta(0), -timedelta(minutes=5)


def test_rows_known_later_than_their_prediction_are_a_leak(world: Any) -> None:
    rows = [placed(n, paid=LATER) for n in range(8)]
    asked_of(world, rows)
    with pytest.raises(LeakError) as caught:
        asked_of(world, [*rows, placed(8, paid=SAME), placed(9, paid=EARLIER)])
    problem = caught.value
    assert problem.what == "'amount' leaks: in 2 of 10 labelled examples it is not known before the prediction is made"
    assert problem.got == "oid 'o8': known 2013-12-01 20:00:00+00:00, prediction made 2013-12-01 20:00:00+00:00"
    assert problem.expected == "placed_at before paid_at, wherever 'amount' has a value"
    assert "returns (test_leaks.py" in str(problem.where) and 'assume_known={"amount": "…"}' in str(problem.hint)


def test_rows_that_are_not_learnt_from_cannot_leak(world: Any) -> None:
    """No outcome, no time of prediction, no value."""
    early = [placed(0, paid=EARLIER, returned=None), placed(1, paid=None), placed(2, paid=EARLIER, amount=None)]
    asked_of(world, [*early, placed(3, paid=LATER)])


def test_an_instant_that_is_null_has_not_come(world: Any) -> None:
    rows = [placed(0, paid=LATER), {**placed(1, paid=LATER), "placed_at": None}]
    with pytest.raises(LeakError, match="in 1 of 2 labelled examples") as caught:
        asked_of(world, rows)
    assert str(caught.value.got).startswith("oid 'o1': known at an unknown time, ")


def test_what_a_model_assumes_known_is_not_asked_of_the_rows(world: Any) -> None:
    asked_of(world, [placed(0, paid=EARLIER)], assume_known={"amount": "the till says it first"})


def test_what_the_join_hides_is_not_asked_of_the_rows(world: Any) -> None:
    """The key finds the order in its own view, which shows nothing that was not known yet."""
    asked_of(world, [placed(0, paid=EARLIER)], "order__amount")


@pytest.mark.parametrize("column", ["amount", "oid"])
def test_what_is_computed_from_a_field_leaks_as_the_field_does(world: Any, column: str) -> None:
    with pytest.raises(LeakError, match=f"'{column}' leaks: in 1 of 1 "):
        asked_of(world, [placed(0, paid=EARLIER)], on_demand(made=getattr(_, column).cast("string")))


def test_what_another_view_is_looked_up_by_leaks_too(world: Any) -> None:
    declared = orders("amount", _.paid_at)
    buyer = feature_view(declared["orders"], key="buyer", windows=["1d"], n=_.count())
    returns = model(examples=declared["orders"], prediction_time=_.paid_at, target=_.returned, features=[buyer])
    here = world({"orders": declared["orders"], "buyer": buyer, "returns": returns})
    here.put("orders", [placed(0, paid=EARLIER)])
    with pytest.raises(LeakError, match="'buyer' leaks: in 1 of 1 "):
        check_rows(here.graph, "returns", here.fetch)


# ── through tables in SQL ─────────────────────────────────────────────────────────────────────────────

KEPT = "flight_id, scheduled_at, departed_at, arr_delay"


def through_sql(small: Any, text: str, said: dict[str, str] | None = None, **settings: Any) -> Any:
    """The small project, its examples a table in SQL and `f` of it a feature."""
    from mainstem.nodes.base import Origin
    from mainstem.nodes.tables import sql

    declared = small.nodes()
    examples = sql("examples", text, key="flight_id", time="scheduled_at", origin=Origin("examples.sql", 1))
    leg = feature_view(examples, key="flight_id", columns=["f"], assume_known=said)
    late = model(
        examples=examples,
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=[leg],
        **settings,
    )
    return small.graph_of({"flights": declared["flights"], "examples": examples, "leg": leg, "late": late})


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT {KEPT}, seats + 1 AS f FROM flights",
        f"SELECT {KEPT}, origin || dest AS f FROM flights WHERE origin <> 'EWR'",
        f"WITH legs AS (SELECT *, seats AS f FROM flights) SELECT {KEPT}, f FROM legs",
        f"SELECT {KEPT}, dest AS f FROM flights UNION ALL SELECT {KEPT}, origin FROM flights",
    ],
)
def test_what_is_planned_may_go_through_sql(small: Any, text: str) -> None:
    assert through_sql(small, text)


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT {KEPT}, dep_delay AS f FROM flights",
        f"SELECT {KEPT}, CASE WHEN dep_delay > 15 THEN seats END AS f FROM flights",
        f"SELECT {KEPT}, f, gone FROM flights LEFT JOIN "
        "(SELECT flight_id, seats AS f, departed_at AS gone FROM flights WHERE dep_delay > 15) USING (flight_id)",
        f"SELECT {KEPT}, seats AS f FROM flights QUALIFY row_number() OVER (ORDER BY dep_delay) < 9",
        f"SELECT {KEPT}, seats AS f FROM flights ORDER BY dep_delay LIMIT 9",
        f"SELECT {KEPT}, sum(dep_delay) OVER (PARTITION BY origin) AS f FROM flights",
        f"SELECT {KEPT}, (SELECT avg(dep_delay) FROM flights) AS f FROM flights",
        f"SELECT {KEPT}, max(dep_delay) AS f FROM flights GROUP BY ALL",
        f"SELECT {KEPT}, count(*) FILTER (WHERE dep_delay > 15) AS f FROM flights GROUP BY ALL",
        "WITH late AS (SELECT flight_id, seats FROM flights WHERE dep_delay > 15) "
        f"SELECT {KEPT}, late.seats AS f FROM flights LEFT JOIN late USING (flight_id)",
        f"SELECT {KEPT}, f FROM flights JOIN (SELECT flight_id, dep_delay AS f FROM flights) USING (flight_id)",
        f"SELECT {KEPT}, seats AS f FROM flights SEMI JOIN (SELECT origin FROM flights WHERE dep_delay > 15) "
        "USING (origin)",
        f"SELECT {KEPT}, seats AS f FROM flights WHERE origin IN (SELECT origin FROM flights WHERE dep_delay > 15)",
        f"SELECT {KEPT}, seats AS f FROM flights UNION SELECT {KEPT}, dep_delay FROM flights",
        f"SELECT {KEPT}, list_transform([dep_delay], lambda d: d / 60)[1] AS f FROM flights",
        f"SELECT {KEPT}, f FROM flights LEFT JOIN unnest([dep_delay]) AS u(f) ON true",
        f"SELECT {KEPT}, epoch(now()) AS f FROM flights",
        f"SELECT {KEPT}, f FROM flights, LATERAL (SELECT dep_delay AS f) AS l",
    ],
)
def test_a_leak_through_sql_is_refused_however_it_is_written(small: Any, text: str) -> None:
    with pytest.raises(LeakError) as caught:
        through_sql(small, text)
    # Where the row itself is the leak, its key is named: nobody knows which flights are asked about.
    assert re.match("'(leg__f|flight_id)' leaks: ", caught.value.what) and "scheduled_at − 1 h" in caught.value.what
    assert "late (test_leaks.py" in str(caught.value.where)
    assert through_sql(small, text, {"f": "we know so"}, assume_known={"flight_id": "we know so"})

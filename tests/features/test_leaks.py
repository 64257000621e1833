"""What nobody can know when the prediction is made is refused when the project loads."""

from __future__ import annotations

from typing import Any

import ibis
import pytest
from ibis import _

from mainstem.errors import LeakError
from mainstem.nodes.features import feature_view
from mainstem.nodes.models import model
from mainstem.nodes.sources import files
from mainstem.project.resolve import resolve


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
    assert "'leg__dep_delay' leaks: it is known only at departed_at" in told or "what the target" in told
    assert "scheduled_at − 1 h" in told
    assert "late (conftest.py" in told or "late (test_leaks.py" in told
    assert 'assume_known={"leg__dep_delay": "…"}' in told


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
    with pytest.raises(LeakError, match="it is what the target is made from"):
        small.graph_of({"flights": flights, "leg": leg, "late": late})


def test_unknown_availability_is_a_leak_unless_vouched_for(small: Any) -> None:
    reference = files("planes.csv", key="origin", schema={"origin": "string", "runways": "int64"})
    planes = feature_view(reference, key="origin", columns=["runways"])

    def load(**settings: Any) -> Any:
        declared = small.nodes(features=["origin", planes], **settings)
        return small.graph_of(declared | {"reference": reference, "planes": planes})

    with pytest.raises(LeakError, match="'planes__runways' leaks: nobody can say when it becomes known"):
        load()
    assert load(assume_known={"planes__runways": "airports are not rebuilt overnight"})


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

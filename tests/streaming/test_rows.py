from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import RequestError, SchemaError
from mainstem.nodes.instants import instant_of, micros_of
from mainstem.streaming.rows import RowSchema, converter, parse_instant

SCHEMA = RowSchema(
    {"origin": "string", "delay": "float64", "seats": "int32", "late": "boolean", "at": "timestamp('UTC', 6)"},
    required=("at",),
    optional={"time": "timestamp('UTC', 6)"},
    where="stream departures",
)
ROW: dict[str, Any] = {"origin": "JFK", "delay": 3, "seats": 12.0, "late": True, "at": "2013-12-01T10:00:00+01:00"}


def refused(**changes: Any) -> RequestError:
    row = {name: value for name, value in {**ROW, **changes}.items() if value is not ...}
    with pytest.raises(RequestError) as caught:
        SCHEMA.check([ROW, row], "events")
    return caught.value


def test_values_are_converted() -> None:
    nine = micros_of(datetime(2013, 12, 1, 9, tzinfo=UTC))
    assert SCHEMA.check([ROW]) == [{"origin": "JFK", "delay": 3.0, "seats": 12, "late": True, "at": nine}]
    assert isinstance(SCHEMA.check([ROW])[0]["delay"], float)
    assert "time" in SCHEMA.check([{**ROW, "time": "2013-12-01T10:00:00Z"}])[0]


def test_a_missing_field_is_named_with_its_row() -> None:
    error = refused(delay=...)
    assert error.what == "the field 'delay' is missing"
    assert error.where == "stream departures, events[1]"
    assert error.expected == "'delay': float64"
    assert error.hint == "send null if it is not known"


def test_a_misspelt_field_is_guessed() -> None:
    assert refused(delay=..., dealy=1).hint == "there is no field 'dealy': write 'delay'"
    error = refused(sead=3)
    assert error.what == "unknown field 'sead'"
    assert error.hint is not None and "'seats'" in error.hint


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("delay", "12", "a finite number"),
        ("delay", True, "a finite number"),
        ("delay", float("nan"), "a finite number"),
        ("delay", 10**400, "a finite number"),
        ("seats", 1.5, "an integer"),
        ("seats", 2**31, "an integer from -2147483648 to 2147483647"),
        ("seats", True, "an integer"),
        ("late", 1, "true or false"),
        ("origin", 7, "a string"),
        ("origin", "\ud800", "a string of whole characters"),
        ("at", 1385892000, "an instant in ISO 8601, such as 2013-12-01T10:00:00Z"),
        ("at", "2013-12-01", "an instant in ISO 8601, such as 2013-12-01T10:00:00Z"),
        ("time", "soon, very soon", "an instant in ISO 8601, such as 2013-12-01T10:00:00Z"),
    ],
)
def test_a_mistyped_field_is_named(field: str, value: Any, expected: str) -> None:
    error = refused(**{field: value})
    assert field in error.what
    assert error.where == f"stream departures, events[1].{field}"
    assert error.expected == expected


def test_a_naive_timestamp_is_refused() -> None:
    assert "append Z if it is UTC" in str(refused(at="2013-12-01T10:00:00").hint)


def test_null_is_taken_unless_required() -> None:
    assert SCHEMA.check([{**ROW, "delay": None}])[0]["delay"] is None
    assert refused(at=None).what == "the field 'at' must not be null"


def test_a_row_is_an_object() -> None:
    with pytest.raises(RequestError, match="not a JSON object"):
        SCHEMA.check([[1, 2]])


def test_a_type_that_json_cannot_say_is_refused_at_once() -> None:
    with pytest.raises(SchemaError):
        converter("array<int64>")
    with pytest.raises(SchemaError):
        converter("timestamp(6)")


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive(instant: datetime) -> None:
    assert (
        instant_of(parse_instant(instant.isoformat() if instant.time() else f"{instant:%Y-%m-%d}T00:00:00+00:00"))
        == instant
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-05:00"])
def test_an_instant_outside_the_calendar_is_refused(text: str) -> None:
    """In its own offset it is a date; in UTC no part could hold it, and every later run would end in an error."""
    error = refused(at=text)
    assert error.what == "the field 'at' has the wrong type or value"
    assert error.expected == "an instant from 0001-01-01 to 9999-12-31, UTC"
    with pytest.raises(ValueError, match="an instant from"):
        parse_instant(text)


def test_a_date_is_text_in_iso_8601() -> None:
    convert = converter("date")
    assert convert("2013-12-01") == "2013-12-01"
    for wrong in ("2013-13-01", "2013-12-1", "20131201", "2013-12-01T00:00:00Z", 20131201, True):
        with pytest.raises(Exception, match="a date in ISO 8601"):
            convert(wrong)

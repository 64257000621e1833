"""Entries of the log of predictions: what is stored, and entries from before."""

from __future__ import annotations

import msgspec

from mainstem.logs.records import Prediction, decode_prediction, encode, prediction_row

ROW = {"flight_id": "F1", "distance": 1.0}


def test_defaults_are_not_stored_and_come_back() -> None:
    made = Prediction("a", 1, 2, "late-1", ROW, 0.5)
    assert msgspec.msgpack.decode(encode(made)) == {
        "id": "a",
        "t": 1,
        "logged_at": 2,
        "version": "late-1",
        "row": ROW,
        "score": 0.5,
    }
    assert decode_prediction(encode(made)) == made


def test_what_is_no_default_is_stored_even_if_it_is_false() -> None:
    made = Prediction("a", 1, 2, "late-1", {}, None, decision=False, quotas={"review": 0}, rank=0, propensity=0.0)
    again = decode_prediction(encode(made))
    assert again == made and again.decision is False and again.propensity == 0.0


def test_an_entry_that_was_stored_with_all_fields_is_the_same_row() -> None:
    made = Prediction("a", 1, 2, "late-1", ROW, 0.5)
    every = msgspec.msgpack.encode({name: getattr(made, name) for name in Prediction.__struct_fields__})
    assert len(every) > 1.5 * len(encode(made))
    assert prediction_row(7, every) == prediction_row(7, encode(made))

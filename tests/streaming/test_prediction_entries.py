"""Entries of the log of predictions: what is stored, and entries from before."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.logs.predictions import (
    FEWEST,
    MOST,
    columns_in,
    each_row,
    encode_block,
    is_block,
    payloads_of,
    prediction_row,
    predictions_in,
    size_of,
)
from mainstem.logs.records import Prediction, decode_prediction, encode

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


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=3)
numbers = st.floats(allow_nan=False)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 1), st.integers(-(2**63), 2**63 - 1), numbers, texts, st.lists(numbers)
)
rows = st.dictionaries(st.sampled_from(["a", "b", "c", "ü"]), values, max_size=4)
predictions = st.builds(
    Prediction,
    texts,
    st.integers(0, 3),
    st.integers(0, 1),
    texts,
    rows,
    st.none() | numbers,
    flags=texts,
    scores=st.dictionaries(texts, numbers, max_size=2),
    decision=st.one_of(st.none(), st.booleans(), texts),
    role=st.sampled_from(["champion", "challenger", "shadow"]),
    policy=st.none() | texts,
    values=st.dictionaries(texts, st.none() | numbers, max_size=2),
    quotas=st.dictionaries(texts, st.integers(0, 2), max_size=2),
    request=st.none() | texts,
    rank=st.none() | st.integers(0, 2),
    offered=st.none() | st.integers(0, 2),
    propensity=st.none() | st.sampled_from([0.0, -0.0, 1.0]),
)


@given(st.lists(predictions, min_size=1, max_size=6))
def test_a_block_has_the_predictions_of_its_rows(made: list[Prediction]) -> None:
    block = encode_block(made)
    assert is_block(block) and size_of(block) == len(made)
    names = {name for each in made for name in each.row}
    whole = [msgspec.structs.replace(each, row={name: each.row.get(name) for name in names}) for each in made]
    # `repr` tells 1, 1.0 and True apart, and 0.0 and -0.0
    assert list(map(told, predictions_in(block))) == list(map(told, whole))
    assert list(map(told, map(decode_prediction, (payload for _, payload in each_row(3, block))))) == list(
        map(told, whole)
    )
    columns, singly = columns_in(block), [prediction_row(0, encode(each)) for each in whole]
    assert {name: list(map(repr, values)) for name, values in columns.items()} == {
        name: [repr(row[name]) for row in singly] for name in singly[0]
    }


def told(made: Prediction) -> str:
    return repr(msgspec.structs.replace(made, row=dict(sorted(made.row.items()))))


def test_few_predictions_are_logged_one_by_one_and_many_in_blocks() -> None:
    made = [Prediction(str(n), n, 2, "late-1", ROW, 0.5) for n in range(2 * MOST + FEWEST)]
    payloads, sizes = payloads_of(made[: FEWEST - 1])
    assert payloads == list(map(encode, made[: FEWEST - 1])) and sizes is None
    payloads, sizes = payloads_of(made)
    assert sizes == [MOST, MOST, FEWEST] == list(map(size_of, payloads))
    assert [each for payload in payloads for each in predictions_in(payload)] == made


def test_a_block_has_a_fraction_of_the_bytes_of_its_rows() -> None:
    row = {f"airport__delay_{n}h": 1.5 * n for n in range(20)}
    made = [Prediction(str(n), n, 2, "late-1", {**row, "flight_id": f"F{n}"}, 0.5) for n in range(FEWEST)]
    assert 2 * len(encode_block(made)) < sum(len(encode(each)) for each in made)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda block: block[:7],
        lambda block: block[:-1],
        lambda block: block[:6] + (21).to_bytes(4, "big") + block[10:],
        lambda block: block[:6] + (0).to_bytes(4, "big") + block[10:],
    ],
)
def test_a_damaged_block_is_no_rows(damaged: Callable[[bytes], bytes]) -> None:
    block = damaged(encode_block([Prediction(str(n), n, 2, "late-1", ROW, 0.5) for n in range(20)]))
    for read in (predictions_in, columns_in):
        with pytest.raises((ValueError, msgspec.DecodeError)):
            read(block)
    assert each_row(3, block) == [(3, block)] and size_of(block) >= 1


def test_a_block_with_fields_of_another_version_has_those_that_are_known() -> None:
    stored = [{"version": "v", "later": 1}, {"id": ["a", "b"], "t": [1, 2], "score": [0.5, None]}, {}, {"x": [1, 2]}]
    block = encode_block([Prediction("a", 1, 2, "v", {}, 0.5)] * 2)[:10] + msgspec.msgpack.encode(stored)
    assert predictions_in(block) == [
        Prediction("a", 1, 0, "v", {"x": 1}, 0.5),
        Prediction("b", 2, 0, "v", {"x": 2}, None),
    ]
    assert columns_in(block)["_role"] == ["champion", "champion"]

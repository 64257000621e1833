"""What of a row that was set aside has the value of a key, in whatever form it came."""

from __future__ import annotations

import json
import re

import pytest

from mainstem.lake.erasing import in_raw


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({"customer": "c1", "n": 1}),
        json.dumps("c1,2013-01-01,many"),
        json.dumps({"topic": "sales", "key": "c1", "value": "no JSON"}),
        json.dumps({"topic": "sales", "key": None, "value": json.dumps({"customer": "c1"}), "headers": []}),
    ],
)
def test_a_row_as_it_came_is_found(raw: str) -> None:
    assert re.search(in_raw("customer", "c1"), raw)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({"customer": "c12"}),
        json.dumps({"shop": "c1"}),
        json.dumps("c12,2013-01-01"),
        json.dumps({"topic": "sales", "value": json.dumps({"customer": "xc1"})}),
    ],
)
def test_another_value_is_not(raw: str) -> None:
    assert not re.search(in_raw("customer", "c1"), raw)

"""A temporary project, whose sources deliver given rows."""

from __future__ import annotations

import datetime as dt

import pytest
from ibis import _

import mainstem as ms

ROWS = [
    {"id": 1, "gone": False, "gone_at": None},
    {"id": 2, "gone": True, "gone_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)},
    {"id": 3, "gone": None, "gone_at": None},
]
SCHEMA = {"id": "int64", "gone": "boolean", "gone_at": "timestamp('UTC', 6)"}


@pytest.mark.parametrize("deleted", ["gone", _.gone_at.notnull()], ids=["column", "condition"])
def test_rows_that_a_database_marks_as_deleted_are_not_there(deleted: object) -> None:
    people = ms.database("sqlite:///p.db", table="p", key="id", write="merge", deleted=deleted, schema=SCHEMA)
    with ms.testing.project({"people": people}, {"people": ROWS}) as project:
        project.run()
        assert project.table("people").to_pyarrow()["id"].to_pylist() == [1, 3]

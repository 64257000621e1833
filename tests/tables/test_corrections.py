"""Remedies as they are applied: to the rows they are for, and nothing else."""

import math
from datetime import UTC, datetime

import ibis
import pyarrow as pa
import pytest

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.findings import Rule
from mainstem.nodes.verbs import Clip, Impute, Rescale
from mainstem.tables.corrections import corrected

SINCE = "departed_at >= TIMESTAMPTZ '2013-12-01 05:11:00+00'"
GUARD = "median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31"
RULE = Rule("departures", Rescale("dep_delay", 1 / 60), SINCE, GUARD)


def rows(kind="float64"):
    before, after = datetime(2013, 12, 1, 5, 10, tzinfo=UTC), datetime(2013, 12, 1, 5, 11, tzinfo=UTC)
    return ibis.memtable(
        {"departed_at": [before, after, after, None], "dep_delay": [-180, -180, None, 60], "other": [1, 2, 3, 4]},
        schema={"departed_at": "timestamp('UTC', 6)", "dep_delay": kind, "other": "int64"},
    )


@pytest.mark.parametrize("kind", ["int64", "int16", "float64", "float32"])
def test_a_rescale_corrects_the_rows_it_is_for_and_keeps_the_type(kind):
    table = rows(kind)
    found = corrected(table, [RULE])
    assert found.schema() == table.schema()
    values = found.order_by("other").to_pyarrow()["dep_delay"].to_pylist()
    assert values == pytest.approx([-180, -3, None, 60])


def test_whole_numbers_are_rounded_not_cut():
    rule = Rule("n", Rescale("dep_delay", 1 / 49), "TRUE", GUARD)
    table = ibis.memtable(pa.table({"dep_delay": [49 * 29, -49 * 29]}))
    assert corrected(table, [rule]).to_pyarrow()["dep_delay"].to_pylist() == [29, -29]


def test_an_offset_is_added_and_rules_follow_each_other():
    fahrenheit = Rule("n", Rescale("x", 1 / 1.8, -32 / 1.8), "TRUE", GUARD)
    doubled = Rule("n", Rescale("x", 2.0), "x > 50", GUARD)
    table = ibis.memtable(pa.table({"x": [32.0, 212.0]}))
    assert corrected(table, [fahrenheit, doubled]).to_pyarrow()["x"].to_pylist() == pytest.approx([0, 200])
    assert corrected(table, []).equals(table)


def test_it_works_on_an_unbound_table():
    unbound = ibis.table({"departed_at": "timestamp('UTC', 6)", "dep_delay": "float64"}, name="departures")
    assert corrected(unbound, [RULE]).schema() == unbound.schema()


def test_what_cannot_be_rescaled_is_refused():
    with pytest.raises(UnknownName, match="dep_dely"):
        corrected(rows(), [Rule("departures", Rescale("dep_dely", 2.0), "TRUE", GUARD)])
    with pytest.raises(SchemaError, match="'rescale' cannot change 'departed_at'"):
        corrected(rows(), [Rule("departures", Rescale("departed_at", 2.0), "TRUE", GUARD)])


@pytest.mark.parametrize(
    ("kind", "given", "factor", "wanted"),
    [
        ("int64", [1, 2**62, None], 60.0, [60, None, None]),
        ("int32", [1, 2**30, -3], 60.0, [60, None, -180]),
        ("float32", [1.0, 3e38, math.inf], 60.0, [60.0, None, math.inf]),
        ("float64", [1.0, 1e300, None], 1e10, [1e10, math.inf, None]),
    ],
)
def test_a_corrected_value_that_its_type_cannot_hold_is_null(kind, given, factor, wanted):
    table = ibis.memtable({"x": given}, schema={"x": kind})
    found = corrected(table, [Rule("n", Rescale("x", factor), "TRUE", GUARD)])
    assert found.schema() == table.schema()
    assert found.to_pyarrow()["x"].to_pylist() == wanted


def test_nan_stays_nan_under_a_clip_and_a_rescale():
    table = ibis.memtable(pa.table({"x": [math.nan, 7.0]}))
    for verb, other in ((Clip("x", high=5.0), 5.0), (Rescale("x", 2.0), 14.0)):
        nan, value = corrected(table, [Rule("n", verb, "TRUE", GUARD)]).to_pyarrow()["x"].to_pylist()
        assert math.isnan(nan) and value == other


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        (Clip("x", low=0.5), "int64"),
        (Clip("x", high=1e12), "int32"),
        (Clip("x", high=1e300), "float32"),
        (Impute("x", 0.5), "int32"),
        (Impute("x", 2**40), "int32"),
        (Impute("x", 1e6), "decimal(5, 2)"),
        (Impute("x", 2**70), "float64"),
    ],
)
def test_a_constant_that_the_column_cannot_hold_is_refused(verb, kind):
    with pytest.raises(SchemaError, match="cannot change 'x'"):
        corrected(ibis.table({"x": kind}, name="t"), [Rule("n", verb, "TRUE", GUARD)])


@pytest.mark.parametrize("where", ["s > 5", "n > 'x'", "n > 99999999999999999999999"])
def test_a_condition_on_unlike_types_is_refused_with_its_place(where):
    table = ibis.table({"n": "int64", "s": "string"}, name="t")
    with pytest.raises(DefinitionError, match="unsupported condition") as refused:
        corrected(table, [Rule("t", Rescale("n", 2.0), where, GUARD)])
    assert "remedies.toml" in str(refused.value)

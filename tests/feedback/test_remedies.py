"""remedies.toml: written to be reviewed, read with care, applied to what it says and nothing else."""

from datetime import UTC, datetime

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import DefinitionError, UnknownName
from mainstem.feedback.remedies import apply, ratio, read, text, write
from mainstem.nodes.findings import Remedy, Rule

SINCE = "departed_at >= TIMESTAMPTZ '2013-12-01 05:11:00+00'"
GUARD = "median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31"
RULE = Rule("rescale", "departures", "dep_delay", 1 / 60, SINCE, GUARD)
REMEDY = Remedy("F1", RULE, datetime(2014, 1, 3, 10, tzinfo=UTC), "departures.dep_delay is × 60")


def test_what_is_written_is_what_is_read(tmp_path):
    other = Remedy("F2", Rule("rescale", "weather", "temp", 1.8, 'origin = "x"', GUARD, 32.0), REMEDY.accepted_at)
    write(tmp_path / "remedies.toml", [REMEDY, other])
    assert read(tmp_path / "remedies.toml") == (REMEDY, other)
    assert [p.name for p in tmp_path.iterdir()] == ["remedies.toml"]


@given(st.floats(allow_nan=False, allow_infinity=False).filter(bool), st.text(max_size=20), st.text(max_size=20))
def test_any_rule_survives(tmp_path_factory, factor, where, note):
    path = tmp_path_factory.mktemp("toml") / "remedies.toml"
    remedy = Remedy("F1", Rule("rescale", "n", "c", factor, where, GUARD), REMEDY.accepted_at, note)
    write(path, [remedy])
    assert read(path) == (remedy,)


def test_the_file_can_be_reviewed():
    assert text([REMEDY]).endswith(
        """
[[remedy]]
finding = "F1"
note = "departures.dep_delay is × 60"
accepted_at = 2014-01-03T10:00:00Z
kind = "rescale"
node = "departures"
column = "dep_delay"
factor = 0.016666666666666666 # 1/60
where = "departed_at >= TIMESTAMPTZ '2013-12-01 05:11:00+00'"
guard = "median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31"
"""
    )
    assert text([REMEDY]).startswith("# Remedies:") and text([REMEDY]) == text([REMEDY])


def test_no_file_is_no_remedy(tmp_path):
    assert read(tmp_path / "remedies.toml") == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("factor = 0.016666666666666666 # 1/60\n", ""), "no 'factor'"),
        (("factor = 0.0166", 'factor = "0.0166"\n#'), "multiplies by a number"),
        (("factor = 0.0166", "factor = 0.0 #"), "would erase the column"),
        (('"rescale"', '"delete"'), "no such remedy"),
        (("guard", "gard"), "no 'guard'"),
        (('kind = "rescale"', 'kind = "rescale"\nwhen = 1'), "field of a remedy is called 'when'"),
        (("[[remedy]]", "[[remedy"), "is not TOML"),
        (("[[remedy]]", "[remedy]"), "no list of remedies"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    path = tmp_path / "remedies.toml"
    path.write_text(text([REMEDY]).replace(*change), "utf-8")
    with pytest.raises(DefinitionError, match=message):
        read(path)


def rows(kind="float64"):
    before, after = datetime(2013, 12, 1, 5, 10, tzinfo=UTC), datetime(2013, 12, 1, 5, 11, tzinfo=UTC)
    return ibis.memtable(
        {"departed_at": [before, after, after, None], "dep_delay": [-180, -180, None, 60], "other": [1, 2, 3, 4]},
        schema={"departed_at": "timestamp('UTC', 6)", "dep_delay": kind, "other": "int64"},
    )


@pytest.mark.parametrize("kind", ["int64", "int16", "float64", "float32"])
def test_a_rescale_corrects_the_rows_it_is_for_and_keeps_the_type(kind):
    table = rows(kind)
    corrected = apply(table, [RULE])
    assert corrected.schema() == table.schema()
    values = corrected.order_by("other").to_pyarrow()["dep_delay"].to_pylist()
    assert values == pytest.approx([-180, -3, None, 60])


def test_whole_numbers_are_rounded_not_cut():
    rule = Rule("rescale", "n", "dep_delay", 1 / 49, "TRUE", GUARD)
    table = ibis.memtable(pa.table({"dep_delay": [49 * 29, -49 * 29]}))
    assert apply(table, [rule]).to_pyarrow()["dep_delay"].to_pylist() == [29, -29]


def test_an_offset_is_added_and_rules_follow_each_other():
    fahrenheit = Rule("rescale", "n", "x", 1 / 1.8, "TRUE", GUARD, -32 / 1.8)
    doubled = Rule("rescale", "n", "x", 2.0, "x > 50", GUARD)
    table = ibis.memtable(pa.table({"x": [32.0, 212.0]}))
    assert apply(table, [fahrenheit, doubled]).to_pyarrow()["x"].to_pylist() == pytest.approx([0, 200])
    assert apply(table, []).equals(table)


def test_it_works_on_an_unbound_table():
    unbound = ibis.table({"departed_at": "timestamp('UTC', 6)", "dep_delay": "float64"}, name="departures")
    assert apply(unbound, [RULE]).schema() == unbound.schema()


def test_what_cannot_be_rescaled_is_refused():
    with pytest.raises(UnknownName, match="dep_dely"):
        apply(rows(), [Rule("rescale", "departures", "dep_dely", 2.0, "TRUE", GUARD)])
    with pytest.raises(DefinitionError, match="only numbers"):
        apply(rows(), [Rule("rescale", "departures", "departed_at", 2.0, "TRUE", GUARD)])


def test_a_factor_is_explained():
    assert (ratio(1 / 60), ratio(60.0), ratio(1 / 0.44704), ratio(0.5)) == ("1/60", "", "1/0.44704", "1/2")

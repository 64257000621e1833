"""remedies.toml: written to be reviewed, read with care, applied to what it says and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import DefinitionError
from mainstem.feedback.remedies import ratio, read, text, write
from mainstem.nodes.findings import Remedy, Rule
from mainstem.nodes.verbs import Case, Clip, Deduplicate, Impute, MapValues, Rescale, Trim

SINCE = "departed_at >= TIMESTAMPTZ '2013-12-01 05:11:00+00'"
GUARD = "median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31"
RULE = Rule("departures", Rescale("dep_delay", 1 / 60), SINCE, GUARD)
REMEDY = Remedy("F1", RULE, datetime(2014, 1, 3, 10, tzinfo=UTC), "departures.dep_delay is × 60")


def test_what_is_written_is_what_is_read(tmp_path):
    other = Remedy("F2", Rule("weather", Rescale("temp", 1.8, 32.0), 'origin = "x"', GUARD), REMEDY.accepted_at)
    write(tmp_path / "remedies.toml", [REMEDY, other])
    assert read(tmp_path / "remedies.toml") == (REMEDY, other)
    assert [p.name for p in tmp_path.iterdir()] == ["remedies.toml"]


@given(st.floats(allow_nan=False, allow_infinity=False).filter(bool), st.text(max_size=20), st.text(max_size=20))
def test_any_rule_survives(tmp_path_factory, factor, where, note):
    path = tmp_path_factory.mktemp("toml") / "remedies.toml"
    remedy = Remedy("F1", Rule("n", Rescale("c", factor), where, GUARD), REMEDY.accepted_at, note)
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
        (("factor = 0.0166", 'factor = "0.0166"\n#'), "value of the wrong type"),
        (("factor = 0.0166", "factor = 0.0 #"), "must not be 0"),
        (('"rescale"', '"delete"'), "kind of remedy 'delete'"),
        (("guard", "gard"), "no 'guard'"),
        (('kind = "rescale"', 'kind = "rescale"\nwhen = 1'), "unknown field 'when' in a remedy"),
        (("[[remedy]]", "[[remedy"), "is not TOML"),
        (("[[remedy]]", "[remedy]"), "no list of remedies"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    path = tmp_path / "remedies.toml"
    path.write_text(text([REMEDY]).replace(*change), "utf-8")
    with pytest.raises(DefinitionError, match=message):
        read(path)


@pytest.mark.parametrize(
    "verb",
    [
        MapValues("carrier", {"UA ": "UA", "ß": 'quoted "ß"'}),
        Clip("delay", high=300.0),
        Impute("seats", 0),
        Impute("tail", "unknown"),
        Trim("carrier"),
        Case("carrier", "upper"),
        Deduplicate(("id", "day"), "seen_at", "last"),
    ],
)
def test_every_verb_is_written_and_read(tmp_path, verb):
    remedy = Remedy("F3", Rule("n", verb, "TRUE", "count(*) > 0"), REMEDY.accepted_at)
    write(tmp_path / "remedies.toml", [remedy])
    assert read(tmp_path / "remedies.toml") == (remedy,)


def test_a_factor_is_explained():
    assert (ratio(1 / 60), ratio(60.0), ratio(1 / 0.44704), ratio(0.5)) == ("1/60", "", "1/0.44704", "1/2")

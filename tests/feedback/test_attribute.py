"""What a search for causes knows of the findings before it."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

from mainstem.feedback.attribute import _before
from mainstem.nodes.findings import Finding
from mainstem.planning.drafts import Drafts
from mainstem.state.sql import SqlState

WINDOW = datetime(2013, 12, 1, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC)
ACCEPTED = Finding("F1", "source_change", "feed", "delay", "", 9, "live", "v1", WINDOW, (), "× 60", state="accepted")


def test_a_finding_that_the_step_has_just_closed_is_closed_to_its_search(tmp_path):
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    other = replace(ACCEPTED, id="F2", column="wind", state="open")
    state.save(ACCEPTED, other, replace(ACCEPTED, id="F3", endpoint="elsewhere"))
    failed = replace(ACCEPTED, state="failed")
    watched = SimpleNamespace(name="live", context=SimpleNamespace(branch="main", records=Drafts(state)))
    assert _before(watched, [failed]) == [failed, other]
    assert _before(watched, []) == [ACCEPTED, other]
    state.close()

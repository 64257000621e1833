"""What a search for causes knows of the findings before it."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import mainstem as ms
from mainstem.feedback.attribute import _before, _is_applied
from mainstem.graph.dag import Dag
from mainstem.nodes.findings import Finding, Rule
from mainstem.nodes.verbs.numbers import Rescale
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


def test_a_remedy_is_judged_only_where_the_tables_are_published_with_it():
    rule = Rule("feed", Rescale("x", 2.0, 0.0), "x > 1", "true")
    table = ms.table(lambda feed: feed, name="cleaned")

    class Graph(dict):
        dag = Dag({"feed": [], "cleaned": ["feed"], "late": ["cleaned"]})

    def watched(rules, made, published):
        nodes = {"feed": SimpleNamespace(rules=rules), "cleaned": SimpleNamespace(node=table, made_by=made)}
        release = SimpleNamespace(fingerprints={"cleaned": published})
        return SimpleNamespace(context=SimpleNamespace(graph=Graph(nodes), release=release), model="late")

    assert _is_applied(watched((rule,), "new", "new"), rule)
    assert not _is_applied(watched((), "new", "new"), rule), "it was accepted during this run"
    assert not _is_applied(watched((rule,), "new", "old"), rule), "the table was not built with it"

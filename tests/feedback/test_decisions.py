"""Accepting and rejecting."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainstem.errors import NotFound, RequestError
from mainstem.feedback.decisions import accept, muted, reject
from mainstem.feedback.remedies import read
from mainstem.nodes.findings import Finding, Rule
from mainstem.nodes.records import now
from mainstem.nodes.verbs import Rescale
from mainstem.state.sql import SqlState

RULE = Rule("departures", Rescale("dep_delay", 1 / 60), "TRUE", "count(*) > 0")
WINDOW = datetime(2013, 12, 1, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC)
FINDING = Finding(
    id="F1",
    kind="source_change",
    node="departures",
    column="dep_delay",
    partition="December",
    rows=27_000,
    endpoint="arrivals",
    model_version="late-1",
    window=WINDOW,
    evidence=(),
    summary="× 60",
    rule=RULE,
)


@pytest.fixture
def state(tmp_path):
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    state.save(FINDING)
    yield state
    state.close()


def test_accepting_writes_the_remedy_and_says_so(state, tmp_path):
    remedy = accept(state, "F1", tmp_path)
    assert remedy.rule == RULE and remedy.finding == "F1"
    assert read(tmp_path / "remedies.toml") == (remedy,)
    assert state.get(Finding, "F1").state == "accepted"


def test_accepting_twice_changes_nothing(state, tmp_path):
    assert accept(state, "F1", tmp_path) == accept(state, "F1", tmp_path)
    assert len(read(tmp_path / "remedies.toml")) == 1


def test_a_crash_between_file_and_state_is_mended_by_accepting_again(state, tmp_path):
    accept(state, "F1", tmp_path)
    state.save(FINDING)
    accept(state, "F1", tmp_path)
    assert len(read(tmp_path / "remedies.toml")) == 1 and state.get(Finding, "F1").state == "accepted"


def test_other_remedies_stay(state, tmp_path):
    state.save(replace(FINDING, id="F2", column="other"))
    accept(state, "F1", tmp_path)
    accept(state, "F2", tmp_path)
    assert [r.finding for r in read(tmp_path / "remedies.toml")] == ["F1", "F2"]


def test_unknown_ids_get_their_neighbours(state, tmp_path):
    with pytest.raises(NotFound, match="unknown finding 'f1'") as caught:
        accept(state, "f1", tmp_path)
    assert caught.value.hint == "did you mean 'F1'?"


def test_a_finding_without_a_remedy_cannot_be_accepted(state, tmp_path):
    state.save(replace(FINDING, rule=None))
    with pytest.raises(RequestError, match="no remedy"):
        accept(state, "F1", tmp_path)
    assert not (tmp_path / "remedies.toml").exists()


def test_decided_is_decided(state, tmp_path):
    reject(state, "F1", "a strike")
    for again in (lambda: accept(state, "F1", tmp_path), lambda: reject(state, "F1", "still")):
        with pytest.raises(RequestError, match="rejected already"):
            again()


def test_rejecting_keeps_the_reason_and_the_date(state):
    until = now() + timedelta(days=30)
    assert reject(state, "F1", " a strike ", until) == state.get(Finding, "F1")
    assert (state.get(Finding, "F1").reason, state.get(Finding, "F1").muted_until) == ("a strike", until)


def test_rejecting_needs_a_reason_and_a_date_to_come(state):
    with pytest.raises(RequestError, match="without a reason"):
        reject(state, "F1", "  ")
    with pytest.raises(RequestError, match="future date"):
        reject(state, "F1", "a strike", now() - timedelta(days=1))
    assert state.get(Finding, "F1").state == "open"


def test_what_mutes_another():
    def mutes(finding, at, version="late-1"):
        return muted([finding], at, "source_change", "departures", "dep_delay", version) is not None

    moment = now()
    assert mutes(FINDING, moment) and mutes(replace(FINDING, state="accepted"), moment)
    assert not mutes(replace(FINDING, state="verified"), moment)
    assert not mutes(replace(FINDING, column="other"), moment)
    until = replace(FINDING, state="rejected", muted_until=moment)
    assert mutes(until, moment - timedelta(days=1)) and not mutes(until, moment + timedelta(days=1))
    for_good = replace(FINDING, state="rejected")
    assert mutes(for_good, moment) and not mutes(for_good, moment, version="late-2")

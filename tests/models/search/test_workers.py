"""A search with several processes: the same trials and the same model as with one, also when a process ends."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.errors import ModelError
from mainstem.models.algorithms import Candidate, algorithm
from mainstem.models.evaluation.comparison import divided
from mainstem.models.metrics import metric
from mainstem.models.search import workers as module
from mainstem.models.search.budget import Allowance
from mainstem.models.search.memory import Memory, memory_of
from mainstem.models.search.searching import search
from mainstem.models.search.workers import Lost, can_go, workers
from mainstem.testing import learning


def found_by(jobs, *, tune=22, memory=None, asked=("linear", "lightgbm", "naive"), report=lambda told: None):
    return search(
        learning.examples("binary", 300),
        asked,
        metric("log_loss", "binary"),
        folds=3,
        gap="0s",
        window=None,
        allowance=Allowance(tune),
        combine=True,
        memory=memory or Memory(),
        report=report,
        engineer=True,
        jobs=jobs,
    )


def shown(found):
    trials = [(each.name, dict(each.settings), each.state, each.value) for each in found.search.trials]
    return (
        trials,
        dict(found.scores),
        found.chosen,
        {k: dict(v) for k, v in found.settings.items()},
        found.said.get("ensemble"),
    )


def test_trials_and_scores_are_the_same_with_several_processes():
    alone, helped = found_by(1), found_by(3)
    assert shown(alone) == shown(helped)
    states = {each.state for each in alone.search.trials}
    assert "stopped" in states and "complete" in states  # fits that were begun for nothing change nothing
    assert any("engineer" in each.settings or "select" in each.settings for each in alone.search.trials)
    for one, other in zip(alone.folds, helped.folds, strict=True):
        assert all((one.scores[name] == other.scores[name]).all() for name in one.scores)


def test_a_search_goes_on_with_other_jobs(tmp_path):
    reported = []

    def interrupt(told):
        reported.append(told)
        if told.startswith("trial 6"):
            raise KeyboardInterrupt

    found_by(2, memory=memory_of(tmp_path, "key"), report=interrupt)
    kept = len(list(tmp_path.rglob("*.npz")))
    assert kept >= 9
    assert shown(found_by(2, memory=memory_of(tmp_path, "key"))) == shown(found_by(1))


@dataclass(frozen=True)
class Own:
    """An algorithm that other processes cannot import."""

    label = "own"

    def fit(self, examples, settings=None):
        return algorithm("naive").fit(examples)

    def settle(self, found):
        return {}


def test_algorithms_of_ones_own_are_fitted_here():
    assert not can_go(Candidate("own", Own())) and can_go(Candidate("linear", algorithm("linear")))
    assert shown(found_by(2, asked=(Own(), "linear"), tune=6)) == shown(found_by(1, asked=(Own(), "linear"), tune=6))


@pytest.fixture
def parts():
    return divided(learning.examples("binary", 200), folds=2, gap="0s")[1]


def test_a_fit_that_fails_there_raises_here(parts):
    broken = Candidate("linear", algorithm("linear"))
    object.__setattr__(parts[0].past, "y", np.zeros(3))  # not as many as rows
    with workers(2, parts) as made, pytest.raises(ModelError, match="the algorithm 'linear' cannot be fitted") as error:
        made.ask(broken, 1).result(timeout=60)
    assert error.value.hint


def test_a_process_that_ends_is_replaced_by_this_one(parts, monkeypatch):
    started = []
    real = module._started
    monkeypatch.setattr(module, "_started", lambda *given: started.append(real(*given)) or started[-1])
    with workers(2, parts) as made:
        for process in started:
            process.kill()
        futures = [made.ask(Candidate("linear", algorithm("linear")), number) for number in (1, 2)]
        for each in futures:
            with pytest.raises(Lost):
                each.result(timeout=60)
        with pytest.raises(Lost):
            made.ask(Candidate("linear", algorithm("linear")), 1).result(timeout=60)
        started.clear()
    assert shown(found_by(1, tune=5)) == shown(_with_killed(monkeypatch))


def _with_killed(monkeypatch):
    real, links = module._accepted, []

    def accepted(listener, processes):
        links.append(real(listener, processes))
        if len(links) == 2:
            processes[0].kill()
            processes[0].wait()
        return links[-1]

    monkeypatch.setattr(module, "_accepted", accepted)
    return found_by(2, tune=5)


def test_a_process_that_does_not_start_is_told(parts, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match="a worker of the search does not start"), workers(2, parts):
        pass


def test_no_process_is_left(parts, monkeypatch):
    started, real = [], module._started
    monkeypatch.setattr(module, "_started", lambda *given: started.append(real(*given)) or started[-1])
    with workers(2, parts) as made:
        made.ask(Candidate("linear", algorithm("linear")), 1).result(timeout=60)
        assert [each.poll() for each in started] == [None, None]
    assert all(each.poll() is not None for each in started)


def homes(n=200):
    random = np.random.default_rng(0)
    return [
        {"id": i, "a": float(random.normal()), "b": float(random.normal()), "y": float(i % 7 + random.normal())}
        for i in range(n)
    ]


def test_the_model_is_the_same_to_the_byte():
    schema = {"id": "int64", "a": "float64", "b": "float64", "y": "float64"}
    hashes, prints = [], []
    for jobs in (1, 2):
        source = ms.files("homes.parquet", key="id", schema=schema)
        model = ms.model(source, target="y", features=["a", "b"], folds=2, test=0.25, tune=12, jobs=jobs)
        with mainstem.testing.project({"homes": source, "m": model}, data={"homes": homes()}) as project:
            project.run()
            (file,) = project.settings.lake.rglob("models/m/1/model.onnx")
            hashes.append(file.read_bytes())
            prints.append(project.graph["m"].fingerprint)
    assert hashes[0] == hashes[1] and prints[0] == prints[1]

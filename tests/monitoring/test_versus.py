"""Champion and challenger on live requests: the same rows of a shadow, with paired differences."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.cli.render import output
from mainstem.errors import DefinitionError, NotFound, UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.challengers import CanaryEnd, end_id
from mainstem.nodes.comparisons import Comparison
from mainstem.nodes.records import ModelVersion
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
LIVE = START + timedelta(days=70)
INSTANT = "timestamp('UTC', 6)"
PAYMENT = {
    "payment": "string",
    "card": "string",
    "at": INSTANT,
    "amount": "float64",
    "hour": "float64",
    "night": "boolean",
}
KNOWN_LATER = {"fraud": "boolean", "kind": "string", "loss": "float64"}


def load_world() -> Any:
    """The module `world.py` of the tests of serving; tests are no package."""
    if "mainstem_test_world" not in sys.modules:
        path = Path(__file__).parent.parent / "serving" / "world.py"
        spec = importlib.util.spec_from_file_location("mainstem_test_world", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["mainstem_test_world"] = module
        spec.loader.exec_module(module)
    return sys.modules["mainstem_test_world"]


def nodes(**options: Any) -> dict[str, Node]:
    payments = ms.files(
        "payments.csv",
        key="payment",
        time="at",
        schema={**PAYMENT, **KNOWN_LATER},
        known={"*": _.at - ms_days(9), **dict.fromkeys(KNOWN_LATER, _.at + ms_days(1))},
    )
    fraud = ms.model(
        examples=payments,
        prediction_time=_.at,
        target=_.fraud,
        features=["amount", "hour", "card"],
        candidates=["linear"],
        metric="log_loss",
        retrain="data",
    )
    shadowed = {"shadow": [ms.challenger(fraud)], "threshold": 0.5, **options}
    return {"payments": payments, "fraud": fraud, "authorise": ms.endpoint(fraud, **shadowed)}


def ms_days(days: int) -> Any:
    import ibis

    return ibis.interval(days=days)


def payment(n: int, at: datetime, random: Random, *, learnable: bool) -> dict[str, Any]:
    amount = random.uniform(0, 100)
    fraud = random.random() < 0.5 if not learnable else random.random() < (0.85 if amount > 50 else 0.15)
    row = {
        "payment": f"P{n}",
        "card": f"c{n % 40}",
        "at": at,
        "amount": amount,
        "hour": float(n % 24),
        "night": n % 24 < 6,
    }
    return {**row, "fraud": fraud, "kind": "bad" if fraud else "good" if n % 3 else "odd", "loss": fraud * 30.0 + n % 5}


def history(first: int, count: int, *, learnable: bool) -> list[dict[str, Any]]:
    random = Random(first)
    return [
        payment(first + n, START + timedelta(hours=2 * (first + n)), random, learnable=learnable) for n in range(count)
    ]


def deliver(project: Any, rows: Sequence[dict[str, Any]]) -> None:
    path = project.settings.root / "payments.parquet"
    schema = pq.read_schema(path)
    pq.write_table(pa.concat_tables([pq.read_table(path), pa.Table.from_pylist(list(rows), schema=schema)]), path)


@contextmanager
def serving(project: Any) -> Iterator[tuple[Any, Any]]:
    running = service(project)
    with load_world().listening(running) as client:
        yield running, client


def until(found: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def asked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "payment": r["payment"],
            "amount": r["amount"],
            "hour": r["hour"],
            "card": r["card"],
            "time": r["at"].isoformat(),
        }
        for r in rows
    ]


def trained(project: Any) -> list[dict[str, Any]]:
    """A champion that has seen noise, a challenger that has seen what is to be learned, and what is asked then."""
    project.run()
    project.promote("fraud")
    deliver(project, history(300, 400, learnable=True))
    project.run()
    random = Random(7)
    return [payment(10_000 + n, LIVE + timedelta(hours=n), random, learnable=True) for n in range(300)]


@pytest.fixture(scope="module")
def asked_project() -> Iterator[tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]]:
    with ms.testing.project(nodes(), {"payments": history(0, 300, learnable=False)}) as project:
        rows = trained(project)
        with serving(project) as (_running, client):
            answers = client.post("/predict/authorise", json=asked(rows)).json()["predictions"]
            until(lambda: project.adapters.store.end("shadows/authorise") == len(rows))
            sent = [{"id": a["id"], "value": r["fraud"]} for a, r in zip(answers, rows, strict=True)]
            assert client.post("/outcomes/authorise", json=sent).status_code == 202
        project.run()
        yield project, rows, answers


def logloss(truth: list[bool], scores: list[float]) -> float:
    from math import log

    return -sum(log(s if y else 1 - s) for y, s in zip(truth, scores, strict=True)) / len(truth)


def compared(project: Any) -> Comparison:
    (found,) = project.compare("authorise")
    assert isinstance(found, Comparison)
    return found


def test_a_better_challenger_is_said_to_be_better_on_the_same_rows(asked_project: Any) -> None:
    project, rows, answers = asked_project
    found = compared(project)
    assert (found.way, found.verdict, found.metric) == ("shadow", "better", "log_loss")
    assert (found.champion.rows, found.challenger.rows) == (300, 300)
    assert (found.champion.outcomes, found.challenger.outcomes) == (300, 300)
    scores = {r["_id"]: r for r in project.table("shadows.authorise").to_pyarrow().to_pylist()}
    truth = [row["fraud"] for row in rows]
    first = logloss(truth, [a["score"] for a in answers])
    second = logloss(truth, [scores[a["id"]]["score"] for a in answers])
    assert found.champion.measure.value == pytest.approx(first)
    assert found.challenger.measure.value == pytest.approx(second)
    assert found.gain.value == pytest.approx(first - second) and found.gain.low > 0
    assert found.text.startswith(f"{found.challenger.version} is better than {found.champion.version}: log loss ")


def test_decisions_that_differ_are_counted(asked_project: Any) -> None:
    project, _rows, answers = asked_project
    found = compared(project)
    scores = {r["_id"]: r["score"] for r in project.table("shadows.authorise").to_pyarrow().to_pylist()}
    differ = sum((a["score"] >= 0.5) != (scores[a["id"]] >= 0.5) for a in answers)
    assert found.differing == differ > 0
    assert f"{differ / 300:.1%} of 300 decisions differ" in found.text
    assert sum(found.champion.decisions.values()) == sum(found.challenger.decisions.values()) == 300
    apart = sum(abs(a["score"] - scores[a["id"]]) for a in answers) / 300
    assert found.apart == pytest.approx(apart)
    assert list(found.challenger.scores) == ["0.05", "0.25", "0.5", "0.75", "0.95"]


def test_the_comparison_is_printed(asked_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project, _rows, _answers = asked_project
    found = project.compare("fraud")
    output(False).compared(found)
    printed = capsys.readouterr().out
    assert found[0].text in printed.replace("\n", " ") and "decisions of the champion:" in printed
    output(True).compared(found)
    (data,) = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "better" and data["gain"]["rows"] == 300


def test_a_version_that_scored_nothing_is_refused(asked_project: Any) -> None:
    project, _rows, _answers = asked_project
    champion = project.release.champion("authorise")
    with pytest.raises(NotFound, match="no request to 'authorise' was scored by") as error:
        project.compare("authorise", champion)
    assert "shadow=[ms.challenger" in str(error.value.hint)
    with pytest.raises(NotFound, match="unknown model version"):
        project.compare("authorise", "fraud-99")


def test_too_few_outcomes_give_no_verdict_and_the_champion_alone_no_comparison(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ms.testing.project(nodes(), {"payments": history(0, 300, learnable=False)}) as project:
        project.run()
        with pytest.raises(NotFound, match="has no predictions in the lake yet"):
            project.compare("authorise")
        assert project.status().endpoints[0].beside == ["shadow: no champion yet"]
        project.promote("fraud")
        assert project.status().endpoints[0].beside == ["shadow: no challenger yet"]
        random = Random(7)
        rows = [payment(10_000 + n, LIVE + timedelta(hours=n), random, learnable=True) for n in range(20)]
        with serving(project) as (_running, client):
            assert client.post("/predict/authorise", json=asked(rows)).status_code == 200
        project.run()
        with pytest.raises(NotFound, match="'authorise' has no challenger"):
            project.compare("authorise")
        deliver(project, history(300, 400, learnable=True))
        project.run()
        with serving(project) as (_running, client):
            assert client.post("/predict/authorise", json=asked(rows)).status_code == 200
        project.run()
        found = compared(project)
        assert (found.verdict, found.gain, found.champion.rows) == ("too few outcomes", None, 20)
        assert "0 outcomes, 100 are needed" in found.text
        challenger = found.challenger.version
        output(False).status(project.status())
        assert f"authorise: shadow: {challenger} scores every request" in capsys.readouterr().out
        version = project.adapters.state.get(ModelVersion, challenger)
        path = project.adapters.lake_root / version.artifact / "model.onnx"
        path.write_bytes(path.read_bytes()[:-1])
        (told,) = project.status().endpoints[0].beside
        assert told == f"shadow: {challenger} cannot score: the model is not the one its manifest describes"


def test_the_two_groups_of_a_canary_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    declared = nodes(shadow=[], canary=ms.canary(0.4, by="card"))
    with ms.testing.project(declared, {"payments": history(0, 300, learnable=False)}) as project:
        project.run()
        project.promote("fraud")
        assert project.status().endpoints[0].beside == ["canary: no challenger yet"]
        random = Random(5)
        rows = [payment(10_000 + n, LIVE + timedelta(hours=n // 2), random, learnable=True) for n in range(700)]
        with serving(project) as (_running, client):  # before the canary began: it is not among its beside rows
            assert client.post("/predict/authorise", json=asked(rows[:100])).status_code == 200
        deliver(project, history(300, 400, learnable=True))
        project.run()
        with serving(project) as (_running, client):
            body = client.post("/predict/authorise", json=asked(rows[100:])).json()
            answers = body["predictions"]
            sent = [{"id": a["id"], "value": r["fraud"]} for a, r in zip(answers, rows[100:], strict=True)]
            assert client.post("/outcomes/authorise", json=sent).status_code == 202
        project.run()
        taken = {a["id"] for a in answers if "canary" in a.get("flags", ())}
        cards = {r["card"]: "canary" in a.get("flags", ()) for a, r in zip(answers, rows[100:], strict=True)}
        for answer, row in zip(answers, rows[100:], strict=True):
            assert (answer["id"] in taken) is cards[row["card"]]  # sticky
        found = compared(project)
        assert (found.way, found.verdict, found.differing) == ("canary", "better", None)
        assert found.challenger.rows == len(taken) and found.champion.rows == len(answers) - len(taken)
        assert found.champion.outcomes + found.challenger.outcomes == len(answers)
        truth = dict(zip([a["id"] for a in answers], [r["fraud"] for r in rows[100:]], strict=True))
        for side, chosen in ((found.challenger, True), (found.champion, False)):
            some = [a for a in answers if (a["id"] in taken) is chosen]
            assert side.measure.value == pytest.approx(
                logloss([truth[a["id"]] for a in some], [a["score"] for a in some])
            )
        assert found.gain.value == pytest.approx(found.champion.measure.value - found.challenger.measure.value)
        assert "outcomes of other requests" in found.text
        (told,) = project.status().endpoints[0].beside
        assert told == f"canary: {found.challenger.version} answers 40 % of requests, by card"
        id = end_id("main", "authorise", found.challenger.version)
        end = CanaryEnd(id, "authorise", "main", found.challenger.version, "5 failed")
        project.adapters.state.save(end)
        output(False).status(project.status())
        assert f"authorise: canary: {found.challenger.version} ended at" in capsys.readouterr().out


def loaded(declared: dict[str, Node]) -> None:
    with ms.testing.project(declared, {"payments": history(0, 30, learnable=False)}) as project:
        assert project.graph


def test_an_unknown_field_of_a_canary_is_refused_when_the_project_loads() -> None:
    loaded(nodes(canary=ms.canary(0.4, by="card")))
    with pytest.raises(UnknownName, match="unknown request field 'crad'") as error:
        loaded(nodes(canary=ms.canary(0.4, by="crad")))
    assert "card" in str(error.value.hint)


def test_a_shadow_that_requests_do_not_fit_is_refused_when_the_project_loads() -> None:
    declared = nodes()
    other = ms.model(examples=declared["payments"], prediction_time=_.at, target=_.fraud, features=["night"])
    declared |= {"other": other, "authorise": ms.endpoint(declared["fraud"], shadow=[ms.challenger(other)])}
    with pytest.raises(
        DefinitionError, match="the challenger of 'other' cannot score requests to 'authorise'"
    ) as error:
        loaded(declared)
    assert error.value.got == "it needs night, which requests to 'authorise' do not have"


@pytest.mark.parametrize(
    ("task", "metric", "more"),
    [
        ("multiclass", "log_loss", {"target": _.kind}),
        ("regression", "mae", {"target": _.loss}),
        ("quantile", "pinball", {"target": _.loss, "quantiles": [0.1, 0.5, 0.9], "candidates": ["lightgbm"]}),
    ],
)
def test_every_task_is_compared_by_outcomes_of_the_examples(task: Any, metric: str, more: dict[str, Any]) -> None:
    payments = nodes()["payments"]
    common = {"prediction_time": _.at, "features": ["amount", "hour", "card"], "retrain": "data", "metric": metric}
    model = ms.model(examples=payments, task=task, **{**common, "candidates": ["linear"], **more})
    declared = {"payments": payments, "fraud": model, "authorise": ms.endpoint(model, shadow=[ms.challenger(model)])}
    with ms.testing.project(declared, {"payments": history(0, 300, learnable=False)}) as project:
        rows = trained(project)
        challenger = project.release.models["fraud"]
        with serving(project) as (_running, client):
            assert client.post("/predict/authorise", json=asked(rows)).status_code == 200
            until(lambda: project.adapters.store.end("shadows/authorise") == len(rows))
        deliver(project, rows)
        project.run()
        assert project.release.models["fraud"] != challenger  # a newer one, which has scored nothing yet
        found = compared(project)
        assert found.challenger.version == challenger
        assert (found.metric, found.verdict) == (metric, "better")
        assert found.champion.outcomes == found.challenger.outcomes == len(rows)

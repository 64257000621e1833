"""Endpoints that are asked by events: features strictly before the event, which is ingested in the same transaction."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.base import Node
from mainstem.project.live import service
from mainstem.serving.asking import Asking

BODY = """
    import ibis
    import mainstem as ms
    from ibis import _

    SWIPE = {"id": "string", "card": "string", "amount": "float64", "at": "timestamp('UTC', 6)"}
    payments = ms.files("payments.csv", key="id", time="at", schema={**SWIPE, "fraud": "boolean"},
        known={"*": _.at - ibis.interval(seconds=1), "fraud": _.at + ibis.interval(days=1)})
    swipes = ms.stream("swipes", schema=SWIPE, key="id", time="at")
    card = ms.feature_view(swipes, key="card", windows=["1d"], count=_.count(), spent=_.amount.sum(), grace="400d")
    fraud = ms.model(examples=payments, prediction_time=_.at, target=_.fraud, gap="1d", candidates=["linear"],
        features=[card, "amount", ms.on_demand(more=_.amount - _.card__spent_1d.fill_null(0))])
    authorise = ms.endpoint(fraud, on=swipes, shadow=[ms.challenger(fraud)],
        decide=ms.cheapest(allow=_.score * _.amount, review=0.1 + 0 * _.score, block=5, at_most={"review": "3/1d"}))
"""
START = datetime(2025, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=60)


def lay_out(root: Path, more: str = "") -> None:
    random.seed(3)
    rows = ["id,card,amount,at,fraud"]
    for n in range(400):
        amount = round(random.expovariate(1 / 50), 2)
        at = (START + timedelta(hours=n)).isoformat()
        rows.append(f"P{n},c{n % 7},{amount},{at},{str(random.random() < amount / 200).lower()}")
    (root / "payments.csv").write_text("\n".join(rows) + "\n")
    (root / "asking.py").write_text(textwrap.dedent(BODY))
    (root / "mainstem.toml").write_text(f'[project]\nname = "asking"\nmodules = ["asking"]\n{more}')


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("asking")
    lay_out(root)
    with opened(root) as project:
        project.run()
        project.promote("fraud")
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(trained, tmp_path / "asking")
    return tmp_path / "asking"


@contextmanager
def opened(root: Path) -> Iterator[Any]:
    sys.modules.pop("asking", None)
    with ms.load(root) as project:
        yield project


@pytest.fixture
def project(root: Path) -> Iterator[Any]:
    with opened(root) as found:
        yield found


@pytest.fixture
def client(worlds: Any, project: Any) -> Iterator[Any]:
    with worlds.listening(service(project)) as found:
        yield found


def swipe(n: int, card: str = "x", at: datetime = LATER, amount: float = 20.0) -> dict[str, Any]:
    return {"id": f"s{n}", "card": card, "amount": amount, "at": (at + timedelta(seconds=n)).isoformat()}


def ask(client: Any, *rows: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    answer = client.post("/predict/authorise", json={"rows": list(rows), "backfill": True, **options})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def counts(answers: list[dict[str, Any]]) -> list[int]:
    return [each["features"]["card__count_1d"] for each in answers]


def log_ends(project: Any) -> tuple[int, int]:
    store = project.adapters.store
    return store.end("predictions/authorise"), store.end("events/swipes")


def test_an_answer_has_the_features_before_its_event_and_the_next_one_has_the_event(client: Any, project: Any) -> None:
    found = [ask(client, swipe(n))[0] for n in range(4)]
    assert counts(found) == [0, 1, 2, 3]
    assert [each["features"]["card__spent_1d"] for each in found] == [None, 20.0, 40.0, 60.0]
    assert [each["event"] for each in found] == [{"stream": "swipes", "offset": n} for n in range(4)]
    assert [each["time"] for each in found] == [swipe(n)["at"].replace("+00:00", "Z") for n in range(4)]
    assert log_ends(project) == (4, 4)


def test_events_of_one_request_see_the_earlier_ones_whatever_their_order(client: Any) -> None:
    rows = [swipe(n) for n in range(6)]
    shuffled = [rows[n] for n in (3, 0, 5, 1, 4, 2)]
    assert counts(ask(client, *shuffled)) == [3, 0, 5, 1, 4, 2]


def test_a_live_event_arrives_when_it_comes(client: Any) -> None:
    present = datetime.now(UTC)
    first, second = (
        {"id": f"live{n}", "card": "live", "amount": 1.0, "at": (present + timedelta(seconds=n)).isoformat()}
        for n in (0, 60)
    )
    one = client.post("/predict/authorise", json=first).json()
    other = client.post("/predict/authorise", json=second).json()
    assert counts([one, other]) == [0, 1] and one["endpoint"] == "authorise"


def test_the_same_event_again_gets_the_same_answer_and_counts_once(client: Any, project: Any) -> None:
    (first,) = ask(client, swipe(0))
    ask(client, swipe(1))
    (again,) = ask(client, swipe(0), reasons=2)
    assert again == {**first, "repeated": True} and log_ends(project) == (2, 2)
    assert any("answers of authorise to events" in each for each in project.erase("card", "x", rehearse=True).left)
    both = ask(client, swipe(0), swipe(2))
    assert [each.get("repeated", False) for each in both] == [True, False] and counts(both) == [0, 2]
    twice = ask(client, swipe(3), swipe(3))
    assert [each.get("repeated", False) for each in twice] == [False, True] and twice[0]["id"] == twice[1]["id"]


def test_the_open_inference_protocol_answers_a_repeated_event_without_reasons(client: Any) -> None:
    types = {"id": "BYTES", "card": "BYTES", "amount": "FP64", "at": "BYTES"}
    inputs = [{"name": n, "shape": [1], "datatype": types[n], "data": [v]} for n, v in swipe(0).items()]
    asked = {"inputs": inputs, "parameters": {"backfill": True, "reasons": 2}}
    first, again = (
        {each["name"]: each["data"] for each in client.post("/v2/models/authorise/infer", json=asked).json()["outputs"]}
        for _ in range(2)
    )
    assert first["reasons"][0].startswith('[{"input"') and again["reasons"] == ["null"]
    assert all(first[name] == again[name] for name in ("id", "time", "score", "decision", "flags"))


def test_an_event_that_was_answered_needs_no_features_any_more(client: Any, project: Any) -> None:
    (first,) = ask(client, swipe(0))
    far = {**swipe(1), "at": (LATER + timedelta(days=500)).isoformat()}
    ask(client, far)
    ask(client, {**far, "id": "s2"})
    project.run()
    old = client.post("/predict/authorise", json={"rows": [{**swipe(0), "id": "old"}], "backfill": True})
    assert old.status_code == 400 and "does not reach back that far" in old.json()["what"]
    assert ask(client, swipe(0)) == [{**first, "repeated": True}]


def test_another_event_with_the_same_key_is_refused_and_nothing_of_its_request_is_taken(
    client: Any, project: Any
) -> None:
    ask(client, swipe(0))
    rows = [swipe(1), {**swipe(0), "amount": 99.0}]
    answer = client.post("/predict/authorise", json={"rows": rows, "backfill": True})
    assert answer.status_code == 400
    assert answer.json()["what"] == "an event with this key was answered already, and differs"
    assert log_ends(project) == (1, 1)


def test_an_event_that_asks_two_endpoints_is_ingested_once(worlds: Any, tmp_path: Path) -> None:
    lay_out(tmp_path)
    with (tmp_path / "asking.py").open("a") as module:
        module.write("other = ms.endpoint(fraud, on=swipes, threshold=0.5)\n")
    with opened(tmp_path) as project:
        project.run()
        project.promote("fraud")
        with worlds.listening(service(project)) as client:
            for n in range(3):
                (first,) = ask(client, swipe(n))
                answer = client.post("/predict/other", json={"rows": [swipe(n)], "backfill": True})
                (second,) = answer.json()["predictions"]
                assert counts([first, second]) == [n, n] and first["event"] == second["event"]
                assert first["id"] != second["id"] and "repeated" not in second
            differs = {**swipe(9), "amount": 1.0}
            ask(client, swipe(9))
            refused = client.post("/predict/other", json={"rows": [differs], "backfill": True})
            assert refused.status_code == 400 and refused.json()["where"] == "endpoint authorise"
            assert 'mainstem_events_total{stream="swipes"} 4' in client.get("/metrics").text
        assert log_ends(project) == (4, 4)
        assert project.adapters.store.end("predictions/other") == 3


def test_an_event_of_before_a_second_endpoint_was_live_is_not_ingested_again(worlds: Any, tmp_path: Path) -> None:
    lay_out(tmp_path)
    with opened(tmp_path) as project:
        project.run()
        project.promote("fraud")
        with worlds.listening(service(project)) as client:
            (first,) = ask(client, swipe(0))
    with (tmp_path / "asking.py").open("a") as module:
        module.write("other = ms.endpoint(fraud, on=swipes, threshold=0.5)\n")
    with opened(tmp_path) as project:
        project.run()
        project.promote("fraud")
        with worlds.listening(service(project)) as client:
            answer = client.post("/predict/other", json={"rows": [swipe(0)], "backfill": True})
            (second,) = answer.json()["predictions"]
        assert first["event"] == second["event"] and project.adapters.store.end("events/swipes") == 1


def test_two_different_events_with_one_key_in_one_request_are_refused(client: Any, project: Any) -> None:
    rows = [*(swipe(n) for n in range(150)), {**swipe(149), "amount": 99.0}]
    answer = client.post("/predict/authorise", json={"rows": rows, "backfill": True})
    assert answer.status_code == 400 and "and differs" in answer.json()["what"]
    assert log_ends(project) == (0, 0)


def test_a_large_request_does_not_hold_the_store(client: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small requests are taken between its transactions."""
    together, one = list[int](), Asking._one

    def noted(self: Asking, writer: Any, *arguments: Any) -> Any:
        if not writers or writers[-1] is not writer:
            writers.append(writer)
            together.append(0)
        together[-1] += 1
        return one(self, writer, *arguments)

    writers = list[Any]()
    monkeypatch.setattr(Asking, "_one", noted)
    rows = [swipe(n) for n in range(250)]
    assert counts(ask(client, *reversed(rows))) == [*reversed(range(250))]
    assert together == [100, 100, 50] and log_ends(project) == (250, 250)


def test_at_the_same_time_each_event_sees_every_earlier_one_that_is_on_disk(client: Any, project: Any) -> None:
    """Answers are prepared outside of the transaction, and made again where another event came meanwhile."""
    with ThreadPoolExecutor(8) as pool:
        found = [each for one in pool.map(lambda n: ask(client, swipe(n)), range(80)) for each in one]
    order = sorted(found, key=lambda each: each["event"]["offset"])
    for place, each in enumerate(order):
        earlier = sum(other["time"] < each["time"] for other in order[:place])
        assert each["features"]["card__count_1d"] == earlier
    assert log_ends(project) == (80, 80)


def test_a_quota_holds_and_decisions_are_those_of_the_log(client: Any, project: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        rows = [swipe(n, card=f"q{n}", amount=60.0) for n in range(30)]
        found = [each for one in pool.map(lambda row: ask(client, row), rows) for each in one]
    assert Counter(each["decision"] for each in found)["review"] == 3
    project.run()
    logged = {row["id"]: row for row in project.table("predictions.authorise").to_pyarrow().to_pylist()}
    assert len(logged) == 30 and set(logged) == {f"s{n}" for n in range(30)}


def test_parity_covers_what_was_asked(client: Any, project: Any) -> None:
    for n in range(20):
        ask(client, *(swipe(3 * n + k, card=f"c{k}") for k in range(3)))
    project.run()
    (report,) = project.parity("authorise")
    assert report.reads == 60 and report.ok
    assert {each.name for each in report.features} >= {"card__count_1d", "more", "decision"}
    assert len(project.table("swipes").to_pyarrow()) == 60


def test_reasons_and_python_take_the_event_too(client: Any, project: Any) -> None:
    ask(client, swipe(0))
    (told,) = ask(client, swipe(1), reasons=2)
    assert len(told["reasons"]) == 2 and {each["input"] for each in told["reasons"]} <= {
        "amount",
        "more",
        "card__count_1d",
        "card__spent_1d",
    }
    before = log_ends(project)
    (answer,) = project.predict("authorise", [{**swipe(2)}])
    assert answer["features"]["card__count_1d"] == 2 and log_ends(project) == before


@pytest.mark.parametrize(
    ("row", "options", "told"),
    [
        ({"id": None}, {}, "must not be null"),
        ({"at": "2025-03-02"}, {}, "wrong type or value"),
        ({"amount": "ten"}, {}, "wrong type or value"),
        ({"at": "2091-03-02T00:00:00Z"}, {}, "later than the clock allows"),
        ({}, {"time": "2025-03-02T00:00:00Z"}, "unknown option 'time'"),
        ({}, {"backfill": "yes"}, "must be true or false"),
    ],
)
def test_an_event_that_does_not_fit_is_neither_answered_nor_taken(
    client: Any, project: Any, row: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    answer = client.post("/predict/authorise", json={"rows": [{**swipe(0), **row}], **options})
    assert answer.status_code == 400 and told in answer.json()["what"]
    assert log_ends(project) == (0, 0)


def test_the_schema_of_requests_is_the_event(client: Any) -> None:
    post = client.get("/openapi.json").json()["paths"]["/predict/authorise"]["post"]
    row, _many, wrapped = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert set(row["properties"]) == {"id", "card", "amount", "at"}
    assert set(wrapped["properties"]) == {"rows", "backfill", "reasons"}


@contextmanager
def serving(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    command = [sys.executable, "-m", "mainstem", "serve", "-C", str(root), "--port", "0"]
    log = root / "serve.log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            while "http://127.0.0.1:" not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield (
                process,
                "http://127.0.0.1:" + log.read_text().partition("http://127.0.0.1:")[2].split()[0].strip('".,'),
            )
        finally:
            process.kill()


def test_killed_at_random_moments_an_event_and_its_answer_are_both_there_or_neither(root: Path) -> None:
    chance, number = random.Random(5), 0
    acknowledged: dict[str, dict[str, Any]] = {}
    for _round in range(4):
        with serving(root) as (process, url):
            stop = chance.uniform(0.05, 0.5)
            killer = threading.Timer(stop, os.kill, (process.pid, signal.SIGKILL))
            with httpx.Client(base_url=url, timeout=30) as client:
                ask(client, swipe(number, card="first"))
                number += 1
                killer.start()
                try:
                    while True:
                        row = swipe(number, card=f"k{number % 3}")
                        number += 1
                        acknowledged[row["id"]] = ask(client, row)[0]
                except httpx.HTTPError:
                    pass
            process.wait(30)
    with serving(root) as (_process, url), httpx.Client(base_url=url, timeout=30) as client:
        for id, before in list(acknowledged.items())[-20:]:
            n = int(id[1:])
            assert ask(client, swipe(n, card=f"k{n % 3}"))[0] == {**before, "repeated": True}
    with opened(root) as project:
        predictions, events = log_ends(project)
        assert predictions == events >= len(acknowledged) > 20
        project.run()
        ids = [row["id"] for row in project.table("swipes").to_pyarrow().to_pylist()]
        answered = [row["id"] for row in project.table("predictions.authorise").to_pyarrow().to_pylist()]
        assert sorted(ids) == sorted(answered) and len(ids) == len(set(ids)) and set(acknowledged) <= set(ids)
        (report,) = project.parity("authorise")
        assert report.ok, report


def test_redis_has_both_or_neither_too(make_redis: Any, worlds: Any, tmp_path: Path) -> None:
    server = make_redis(appendonly="yes", appendfsync="always")
    lay_out(tmp_path, f'[profile.default]\nonline = "{server.url}"\n')
    with opened(tmp_path) as project:
        project.run()
        project.promote("fraud")
        with worlds.listening(service(project)) as client:

            def swipes(card: int) -> None:
                for n in range(card, 20, 4):
                    ask(client, swipe(n, card=f"r{card}"))

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(swipes, range(4)))
            (first,) = ask(client, swipe(0, card="r0"))
            assert first["repeated"] and log_ends(project) == (20, 20)
            server.kill()
            assert client.post("/predict/authorise", json=swipe(50)).status_code == 503
            server.start()
            (after,) = ask(client, swipe(60, card="r0"))
            assert counts([after]) == [5] and log_ends(project) == (21, 21)
        project.run()
        assert project.parity("authorise")[0].ok


def nodes(change: str) -> dict[str, Node]:
    swipe_: Any = {"id": "string", "card": "string", "amount": "float64", "at": "timestamp('UTC', 6)"}
    if change == "lacks":
        swipe_.pop("amount")
    if change == "type":
        swipe_["amount"] = "string"
    known: Any = {"*": _.at - ibis.interval(seconds=1), "fraud": _.at + ibis.interval(days=1)}
    types = {"id": "string", "card": "string", "amount": "float64", "at": "timestamp('UTC', 6)", "fraud": "boolean"}
    payments = ms.files("p.csv", key="id", time="at", schema=types, known=known)
    feed = {"from_": ms.kafka("127.0.0.1:1", "swipes")} if change == "topic" else {}
    swipes = ms.stream("swipes", schema=swipe_, key="id", time="at", changes=change == "changes", **feed)
    fraud = ms.model(examples=payments, prediction_time=_.at, target=_.fraud, features=["amount"])
    on: Any = payments if change == "table" else swipes
    return {"payments": payments, "swipes": swipes, "fraud": fraud, "authorise": ms.endpoint(fraud, on=on)}


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ("lacks", UnknownName, "unknown column 'amount'"),
        ("type", SchemaError, "has another type than the request field"),
        ("topic", DefinitionError, "cannot be asked by events of 'swipes'"),
        ("changes", DefinitionError, "cannot be asked by events of 'swipes'"),
        ("table", DefinitionError, "cannot be asked by events of 'payments'"),
    ],
)
def test_a_stream_that_cannot_ask_is_refused_at_load(change: str, error: type[Exception], told: str) -> None:
    with ms.testing.project(nodes(change), {"payments": []}) as project:
        (broken,) = project.plan().broken
    assert isinstance(broken, error) and told in broken.what


def test_it_does_not_choose_among_candidates() -> None:
    found: Any = nodes("")
    with pytest.raises(DefinitionError, match="`on` does not work with `canary`"):
        ms.endpoint(found["fraud"], on=found["swipes"], canary=ms.canary(0.1, by="card"))
    with pytest.raises(DefinitionError, match="`on` does not work with `candidates`"):
        ms.endpoint(
            found["fraud"],
            on=found["swipes"],
            candidates=ms.grid(amount=ms.steps(1, 2, 1)),
            decide=ms.best(_.score),
        )

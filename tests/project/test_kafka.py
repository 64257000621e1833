"""A project with a topic in it, from its text to its rows: collected by runs, and fed to a stream by the server."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from kafka_broker import until
from mainstem.errors import RunFailed
from mainstem.project.live import service
from mainstem.serving.feeders import Feeders

PROJECT = """
import mainstem as ms
from ibis import _

SCHEMA = {{"id": "int64", "card": "string", "amount": "float64", "at": "timestamp('UTC', 6)"}}
topic = ms.kafka("{servers}", "{topic}", schema=SCHEMA, key="id", time="at")
payments = ms.stream("payments", schema=SCHEMA, key="id", time="at", from_=topic)
card = ms.feature_view(payments, key="card", windows=["1h"], n=_.count(), total=_.amount.sum())


@ms.table(key="card")
def cards(topic):
    return topic.group_by("card").agg(n=topic.count())
"""


def payment(number: int) -> str:
    at = datetime.now(UTC) - timedelta(minutes=1)
    return json.dumps({"id": number, "card": f"c{number % 2}", "amount": 1.5, "at": at.isoformat()})


@pytest.fixture
def topic(broker: Any) -> str:
    name: str = broker.topic(partitions=2)
    return name


@pytest.fixture
def project(tmp_path: Path, broker: Any, topic: str) -> Iterator[ms.Project]:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(PROJECT.format(servers=broker.servers, topic=topic))
    with ms.load(tmp_path) as made:
        yield made


def test_runs_collect_what_is_new_and_build_what_depends_on_it(project: ms.Project, broker: Any, topic: str) -> None:
    broker.send(topic, payment(0), payment(1), b"no json")
    broker.send(topic, payment(2), partition=1)
    project.run()
    assert project.table("topic").to_pyarrow().num_rows == 3
    assert {row["card"]: row["n"] for row in project.table("cards").to_pyarrow().to_pylist()} == {"c0": 2, "c1": 1}
    aside: Any = project.show("topic", quarantine=True)
    assert aside.rows == 1 and aside.sample[0]["from"] == f"{topic}, partition 0, offset 2"
    assert not project.plan().steps
    broker.send(topic, payment(3), payment(3))
    assert [step.key for step in project.plan().steps][:1] == ["collect topic"]
    run = project.run()
    assert run.steps[0].rows_in == 2
    unique = next(check for check in run.steps[0].checks if check.label == "unique(id)")
    assert (unique.severity, unique.violations) == ("warn", 1)


def test_a_run_that_fails_reads_the_same_messages_again(project: ms.Project, broker: Any, topic: str) -> None:
    broker.send(topic, payment(0))
    project.run()
    broker.send(topic, payment(1))
    module = project.settings.root / "shop.py"
    text = module.read_text()
    module.write_text(text.replace('key="id", time="at")\npay', 'key="id", time="at", checks=[ms.row_count(9)])\npay'))
    with ms.load(project.settings.root) as failing, pytest.raises(RunFailed):
        failing.run()
    module.write_text(text)
    with ms.load(project.settings.root) as again:
        again.run()
        assert sorted(again.table("topic").to_pyarrow()["id"].to_pylist()) == [0, 1]


def test_a_stream_is_fed_by_the_server_and_its_dead_letters_are_shown(
    project: ms.Project, broker: Any, topic: str
) -> None:
    project.run()
    broker.send(topic, payment(0), payment(2), b"no json")
    served = service(project)
    served.start()
    feeders = Feeders(served, project.settings.root)
    feeders.refresh()
    try:
        until(lambda: served.store.end("events/payments") == 2 and served.store.end("unreadable/payments") == 1)
    finally:
        feeders.close()
        served.close()
    [read] = project.online("card").get([{"card": "c0"}])
    assert dict(read) == {"n_1h": 2, "total_1h": 3.0}
    project.run()
    assert project.table("payments").to_pyarrow().num_rows == 2
    aside: Any = project.show("payments", quarantine=True)
    assert aside.rows == 1 and aside.sample[0]["from"] == f"{topic}, partition 0, offset 2"
    assert json.loads(aside.sample[0]["row"])["value"] == "no json"
    assert not project.plan().steps


def test_without_a_server_runs_take_the_topic_of_a_stream(project: ms.Project, broker: Any, topic: str) -> None:
    project.run()
    broker.send(topic, payment(0), payment(2), b"no json")
    assert "drain payments" in [step.key for step in project.plan().steps]
    project.run()
    assert sorted(project.table("payments").to_pyarrow()["id"].to_pylist()) == [0, 2]
    [read] = project.online("card").get([{"card": "c0"}])
    assert dict(read) == {"n_1h": 2, "total_1h": 3.0}
    assert not project.plan().steps
    broker.send(topic, payment(4))
    served = service(project)
    served.start()
    feeders = Feeders(served, project.settings.root)
    feeders.refresh()
    until(lambda: served.store.end("events/payments") == 3)
    broker.send(topic, payment(6))
    project.run()
    feeders.close()
    served.close()
    assert sorted(project.table("payments").to_pyarrow()["id"].to_pylist()) == [0, 2, 4, 6]
    aside: Any = project.show("payments", quarantine=True)
    assert aside.rows == 1


def test_dead_letters_that_are_events_now_come_in_again_once(
    project: ms.Project, broker: Any, topic: str, tmp_path: Path
) -> None:
    project.run()
    soon = datetime.now(UTC) + timedelta(minutes=40)
    early = json.dumps({"id": 4, "card": "c0", "amount": 10.0, "at": soon.isoformat()})
    broker.send(topic, payment(0), early, b"no json")
    project.run()
    assert project.show("payments", quarantine=True).rows == 2  # type: ignore[union-attr]
    module, settings = tmp_path / "shop.py", tmp_path / "mainstem.toml"
    settings.write_text(settings.read_text() + '[serve]\nahead = "1h"\n')
    text = module.read_text()
    module.write_text(text.replace("from_=topic)", "from_=topic, checks=[ms.row_count(9)])"))
    with ms.load(tmp_path) as failing, pytest.raises(RunFailed):
        failing.reingest("payments")
    module.write_text(text)
    with ms.load(tmp_path) as again:
        record = again.reingest("payments")
        assert record.steps[0].message == "1 dead letter is an event now"
        assert (record.steps[0].node, record.steps[0].status) == ("payments", "done")
        assert sorted(again.table("payments").to_pyarrow()["id"].to_pylist()) == [0, 4]
        assert again.adapters.store.end("events/payments") == 2
        aside: Any = again.show("payments", quarantine=True)
        assert [json.loads(row["row"])["value"] for row in aside.sample] == ["no json"]
        broker.send(topic, b"no json either")
        again.run()
        assert again.show("payments", quarantine=True).rows == 2  # type: ignore[union-attr]
        again.reingest("payments")
        assert again.adapters.store.end("events/payments") == 2
        assert again.show("payments", quarantine=True).rows == 2  # type: ignore[union-attr]
        assert not again.plan().steps


def test_a_dead_letter_is_erased_with_its_key(project: ms.Project, tmp_path: Path, broker: Any, topic: str) -> None:
    project.run()
    bad = [f'{{"card": "{card}", "id": broken'.encode() for card in ("c0", "c1")]
    broker.send(topic, payment(2), *bad)
    project.run()
    broker.send(topic, bad[0])
    project.run()
    aside: Any = project.show("payments", quarantine=True)
    assert aside.rows == 3
    project.erase("card", "c0")
    aside = project.show("payments", quarantine=True)
    assert [json.loads(row["row"])["value"] for row in aside.sample] == [bad[1].decode()]
    store = project.adapters.store
    assert not [entry for entry in store.entries("unreadable/payments", 0) if b"c0" in entry[1]]
    broker.send(topic, b"no json")
    project.run()
    aside = project.show("payments", quarantine=True)
    assert aside.rows == 2
    assert not project.plan().steps


def killed(root: Path, broker: Any, topic: str, kills: int, seed: int) -> None:
    """Kill runs at random moments, while messages come; the last run has every message once."""
    moments, sent = random.Random(seed), 0
    for _ in range(kills):
        broker.send(topic, *map(payment, range(sent, sent + 40)), partition=0)
        broker.send(topic, *map(payment, range(sent + 40, sent + 60)), b"no json", partition=1)
        sent += 60
        process = subprocess.Popen([sys.executable, "-m", "mainstem", "run"], cwd=root, stdout=subprocess.DEVNULL)
        # Importing takes the first second; what is left of the run is short.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0 + 2 * moments.random())
        process.kill()
        process.wait(60)
    with ms.load(root) as project:
        project.run()
        assert sorted(project.table("topic").to_pyarrow()["id"].to_pylist()) == list(range(sent))
        aside: Any = project.show("topic", limit=100, quarantine=True)
        origins = [row["from"] for row in aside.sample]
        assert len(origins) == len(set(origins)) == kills


def test_runs_that_are_killed_lose_and_repeat_no_message(
    project: ms.Project, tmp_path: Path, broker: Any, topic: str
) -> None:
    killed(tmp_path, broker, topic, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_runs_that_are_killed_at_twenty_moments(project: ms.Project, tmp_path: Path, broker: Any, topic: str) -> None:
    killed(tmp_path, broker, topic, kills=20, seed=2)

"""Requests that wait together get the answers that they would get alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import httpx
import numpy as np
import pytest

from mainstem.errors import RequestError, Unavailable
from mainstem.logs.predictions import logged_predictions
from mainstem.serving.answer import Answer, new_ids
from mainstem.serving.coalescing import Coalescer
from mainstem.serving.predictor import Predictor
from mainstem.serving.turns import Turn
from mainstem.stores.redis import RedisStore
from server_process import running


def rows_of(worlds: Any, count: int) -> list[dict[str, Any]]:
    time = worlds.NOON.isoformat()
    return [{"flight_id": f"F{n % 4}", "distance": float(n), "time": time} for n in range(count)]


def asked_at_once(service: Any, requests: Sequence[Any]) -> list[Any]:
    """Answer requests that arrive at the same moment; an exception is the answer of a request that failed."""
    predictor = service.live.predictor("arrivals")
    coalescer = Coalescer(service.committer.submit, 64, threads=1 if service.remote else 0)

    async def ask() -> list[Any]:
        waiting = (coalescer.answered(predictor, rows, None) for rows in requests)
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(ask())


def told(answers: Sequence[Answer]) -> list[Any]:
    return [(a.time, a.decision, a.features, a.row, a.flags, a.version) for a in answers]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each call of the model."""
    calls = list[int]()
    score = Predictor.scored

    def counted(self: Predictor, columns: Any) -> Any:
        found = score(self, columns)
        calls.append(len(found))
        return found

    monkeypatch.setattr(Predictor, "scored", counted)
    return calls


def logged(world: Any) -> list[Any]:
    return list(logged_predictions(world.store, "arrivals"))


def test_requests_that_wait_together_are_scored_and_committed_once(served: Any, worlds: Any, scored: list[int]) -> None:
    world, service = served
    requests = [rows_of(worlds, n % 3 + 1) for n in range(30)]
    found = asked_at_once(service, requests)
    assert len(scored) == 1 and scored[0] == sum(map(len, requests))
    alone = [service.live.predictor("arrivals").predict(rows) for rows in requests]
    assert [told(each) for each in found] == [told(each) for each in alone]
    scores = [[a.score for each in answers for a in each] for answers in (found, alone)]
    np.testing.assert_allclose(*scores, rtol=1e-6)
    entries = logged(world)
    assert [(e.id, e.score, e.row) for e in entries] == [(a.id, a.score, a.row) for each in found for a in each]
    assert len({e.id for e in entries}) == len(entries)


def test_a_batch_has_a_bound(served: Any, worlds: Any, scored: list[int]) -> None:
    _, service = served
    found = asked_at_once(service, [rows_of(worlds, 30) for _ in range(5)])
    assert scored == [60, 60, 30] and [len(each) for each in found] == [30] * 5


def test_a_bad_request_fails_alone(served: Any, worlds: Any) -> None:
    """One is found when its rows are checked, the other when features of all are read."""
    world, service = served
    (good,) = rows_of(worlds, 1)
    early = {**good, "time": "2013-01-01T00:00:00Z"}
    found = asked_at_once(service, [[good], [{"flight_id": 3}], [good, early], [good]])
    assert [type(each) for each in found] == [list, RequestError, RequestError, list]
    assert "rows[0]" in found[1].where and found[1].got
    assert "does not reach back" in str(found[2])
    (alone,) = service.live.predictor("arrivals").predict([good])
    assert told(found[0]) == told(found[3]) == told([alone])
    assert [e.id for e in logged(world)] == [found[0][0].id, found[3][0].id]


def test_an_answer_that_cannot_be_logged_fails_alone(served: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world, service = served
    log = Predictor.logged

    def failing(self: Predictor, answers: Sequence[Answer]) -> Callable[[Any], Any]:
        work = log(self, answers)

        def write(writer: Any) -> Any:
            found = work(writer)
            if any(each.row["flight_id"] == "F2" for each in answers):
                raise ValueError("no")
            return found

        return write

    monkeypatch.setattr(Predictor, "logged", failing)
    found = asked_at_once(service, [[row] for row in rows_of(worlds, 4)])
    assert [type(each) for each in found] == [list, list, ValueError, list]
    assert [e.row["flight_id"] for e in logged(world)] == ["F0", "F1", "F3"]


def test_requests_are_answered_after_a_batch_that_could_not_be_submitted(served: Any, worlds: Any) -> None:
    _, service = served
    predictor, rows, calls = service.live.predictor("arrivals"), rows_of(worlds, 1), list[int]()

    def submit(work: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise Unavailable("the server has not started")
        return service.committer.submit(work)

    async def ask() -> list[Any]:
        coalescer = Coalescer(submit, 64)
        first = await asyncio.gather(coalescer.answered(predictor, rows, None), return_exceptions=True)
        return [*first, await asyncio.wait_for(coalescer.answered(predictor, rows, None), 30)]

    failed, answered = asyncio.run(ask())
    assert isinstance(failed, Unavailable) and len(answered) == 1


def test_a_client_that_goes_takes_nothing_along(served: Any, worlds: Any) -> None:
    _, service = served
    predictor, rows = service.live.predictor("arrivals"), rows_of(worlds, 3)
    coalescer = Coalescer(service.committer.submit, 64)

    async def ask() -> list[Any]:
        waiting = [asyncio.create_task(coalescer.answered(predictor, [row], None)) for row in rows]
        await asyncio.sleep(0)
        waiting[1].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(ask())
    assert [type(each) for each in found] == [list, asyncio.CancelledError, list]
    assert [each[0].row["flight_id"] for each in (found[0], found[2])] == ["F0", "F2"]


def test_over_a_network_what_waits_is_one_round_trip(
    make_redis: Any, worlds: Any, tmp_path: Path, scored: list[int]
) -> None:
    server = make_redis()
    world = worlds.begun(tmp_path, store=RedisStore(server.url, "flights", "main"))
    world.promote(worlds.artifact(tmp_path, 1))
    service = world.service()
    service.start()
    try:
        requests = [[row] for row in rows_of(worlds, 20)]
        found = asked_at_once(service, requests)
        assert scored == [20]
        assert [told(e) for e in found] == [told(service.live.predictor("arrivals").predict(r)) for r in requests]
        assert len(logged(world)) == 20
        server.kill()
        scored.clear()
        failed = asked_at_once(service, requests)
        assert {str(each) for each in failed} == {str(failed[0])} and "cannot be reached" in str(failed[0])
    finally:
        service.close()
        world.close()


def test_a_large_request_does_not_delay_small_ones(
    http: Any, served: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one is scored only after a small one was answered: it would wait for ever, if the small one waited."""
    world, _ = served
    score, log = Predictor.scored, Predictor.logged
    reached, answered, together = threading.Event(), threading.Event(), list[int]()

    def held(self: Predictor, columns: Any) -> Any:
        found = score(self, columns)
        if len(found) > 1_000:
            reached.set()
            assert answered.wait(60)
        return found

    def noted(self: Predictor, answers: Sequence[Answer]) -> Any:
        work = log(self, answers)

        def write(writer: Any) -> Any:
            together.append(len(answers))
            return work(writer)

        return write

    monkeypatch.setattr(Predictor, "scored", held)
    monkeypatch.setattr(Predictor, "logged", noted)
    large, results = rows_of(worlds, 5_000), list[Any]()
    thread = threading.Thread(
        target=lambda: results.append(httpx.post(f"{http.base_url}/predict/arrivals", json=large))
    )
    thread.start()
    assert reached.wait(60)
    assert http.post("/predict/arrivals", json=large[0]).status_code == 200
    answered.set()
    thread.join()
    predictions = results[0].json()["predictions"]
    assert len(predictions) == 5_000
    assert max(together) <= 500  # what small ones wait for, at most
    assert {p["id"] for p in predictions} < {e.id for e in logged(world)}
    alone = http.post("/predict/arrivals", json=large[7]).json()
    for field in ("time", "score", "features", "flags"):
        assert predictions[7].get(field) == alone.get(field)


def test_killed_under_load_every_answered_prediction_is_logged_once(world: Any, worlds: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    (row,) = rows_of(worlds, 1)
    answered = list[str]()
    with running(world.root) as (process, url):

        async def client(http: httpx.AsyncClient) -> None:
            while True:
                try:
                    answer = await http.post("/predict/arrivals", content=json.dumps(row), headers=JSON)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                answered.append(answer.json()["id"])
                if len(answered) == 400:
                    os.kill(process.pid, signal.SIGKILL)

        async def load() -> None:
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                await asyncio.gather(*(client(http) for _ in range(16)))

        asyncio.run(load())
        process.wait(30)
    ids = [each.id for each in logged(world)]
    assert len(ids) == len(set(ids)) and set(answered) <= set(ids) and len(answered) >= 400


JSON = {"content-type": "application/json"}


def test_late_requests_do_not_pile_up_behind_one_that_hangs(served: Any, worlds: Any) -> None:
    _, service = served
    predictor, hangs, asked = service.live.predictor("arrivals"), threading.Event(), rows_of(worlds, 1)
    score = predictor.scored
    predictor.scored = lambda columns: (hangs.wait(60), score(columns))[1]
    coalescer = Coalescer(service.committer.submit, 64, threads=1)

    async def ask() -> tuple[int, list[Any]]:
        first, turns = asyncio.ensure_future(coalescer.answered(predictor, asked, None)), [Turn() for _ in range(50)]
        await asyncio.sleep(0.05)
        behind = list[asyncio.Future[Any]]()
        for turn in turns:
            behind.append(asyncio.ensure_future(coalescer.answered(predictor, asked, None, turn)))
            await asyncio.sleep(0)
            turn.late = True
        await asyncio.sleep(0.05)
        waiting = len(coalescer._waiting)
        found = await asyncio.gather(*behind[:-1])
        hangs.set()
        assert len(await first) == 1 and len(await behind[-1]) == 0
        return waiting, found

    waiting, found = asyncio.run(ask())
    assert waiting <= 1 and found == [()] * 49


def test_a_model_that_hangs_takes_no_thread_of_others(served: Any, worlds: Any) -> None:
    _, service = served
    predictor, hangs, asked = service.live.predictor("arrivals"), threading.Event(), rows_of(worlds, 1)
    score = predictor.scored
    predictor.scored = lambda columns: (hangs.wait(60), score(columns))[1]
    coalescer = Coalescer(service.committer.submit, 64, threads=1)

    async def ask() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        hanging = asyncio.ensure_future(coalescer.answered(predictor, asked, None))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.to_thread(service.refresh), 20)  # as the server follows its branch
        assert not hanging.done()
        hangs.set()
        assert len(await hanging) == 1

    asyncio.run(ask())


def test_requests_are_answered_after_a_batch_that_broke(served: Any, worlds: Any) -> None:
    _, service = served
    predictor, asked = service.live.predictor("arrivals"), rows_of(worlds, 1)
    coalescer = Coalescer(service.committer.submit, 64)

    class Broken:
        def checked(self, rows: Any) -> Any:
            raise KeyboardInterrupt

    async def ask() -> Any:
        work = coalescer._work
        coalescer._work = lambda loop: suppressed(work, loop)  # type: ignore[method-assign]
        broken: Any = Broken()
        lost = asyncio.ensure_future(coalescer.answered(broken, asked, None))
        await asyncio.sleep(0.05)
        found = await asyncio.wait_for(coalescer.answered(predictor, asked, None), 10)
        lost.cancel()
        return found

    assert len(asyncio.run(ask())) == 1


def suppressed(work: Callable[[Any], None], loop: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        work(loop)


def test_ids_are_random_uuids() -> None:
    found = new_ids(1_000)
    assert len(set(found)) == 1_000 and new_ids(0) == []
    for each in found:
        one = UUID(each)
        assert (one.hex, one.version, one.variant) == (each, 4, RFC_4122)
    assert len({each[16] for each in found}) == 4

"""Answer small requests that wait together at once: features of all are read together, the model scores once, and one
transaction logs all answers. While it reaches the disk, the next requests are answered.

Each request gets the answer that it would get alone. If one of them fails, each is answered alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mainstem.ports import Writer
from mainstem.serving.canary import Split
from mainstem.serving.committer import of_the_store
from mainstem.serving.predictor import Predictor
from mainstem.serving.turns import Turn

Answers = Sequence[Any]
"""Answers, choices among candidates, or forecasts."""
Submit = Callable[[Callable[[Writer], Answers]], "Future[Answers]"]


@dataclass(eq=False)
class _Asked:
    """A request: its rows, the time that it names (µs), the future of its answers, and the turn to answer it."""

    predictor: Predictor | Split
    rows: Sequence[Any]
    at: int | None
    answers: asyncio.Future[Answers]
    turn: Turn

    def fail(self, error: BaseException) -> None:
        if not self.answers.done():  # the client may have gone
            self.answers.set_exception(error)

    def answer(self, answers: Answers) -> None:
        if not self.answers.done():
            self.answers.set_result(answers)


_Outcome = tuple[_Asked, Answers | Exception]


class Coalescer:
    """Answers the requests of one event loop, at most `rows` rows at once. `submit` commits.

    With `threads`, predictors work in so many threads of its own, and the requests that arrive while all of them work
    are the next batches. Without, they work in the loop.
    """

    def __init__(self, submit: Submit, rows: int, *, threads: int = 0) -> None:
        self._submit, self._rows, self._threads, self._working = submit, rows, threads, 0
        self._pool = ThreadPoolExecutor(threads, "coalescing") if threads else None
        self._waiting: list[_Asked] = []
        self._due = False
        """Whether the waiting requests will be taken."""

    async def answered(
        self, predictor: Predictor | Split, rows: Sequence[Any], at: int | None, turn: Turn | None = None
    ) -> Answers:
        """Return the answers to a request once they are logged. Raises as `Predictor.predict`, or `StorageError`.

        Nothing is logged of a request whose turn has passed.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(predictor, rows, at, loop.create_future(), turn or Turn())
        self._waiting.append(asked)
        if not self._due:
            self._due = True
            loop.call_soon(self._work, loop)  # after those that arrived at the same moment
        return await asked.answers

    def close(self) -> None:
        """Start no more work. What threads are at goes on."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = False
        self._drop()
        if self._threads:
            while self._waiting and self._working < self._threads:
                self._in_thread(loop, self._batch())
        else:
            while self._waiting:
                self._log(loop, together(self._batch()))

    def _drop(self) -> None:
        """Forget requests that are late, or were given up: while all threads work, they would pile up."""
        left = list[_Asked]()
        for asked in self._waiting:
            if asked.turn.late:
                if isinstance(asked.predictor, Split):
                    asked.predictor.missed(asked.rows)
                asked.answer(())
            elif not asked.answers.done():
                left.append(asked)
        self._waiting = left

    def _in_thread(self, loop: asyncio.AbstractEventLoop, batch: list[_Asked]) -> None:
        def worked(future: asyncio.Future[list[_Outcome]]) -> None:
            self._working -= 1
            try:
                self._log(loop, future.result())
            finally:
                self._work(loop)

        self._working += 1
        loop.run_in_executor(self._pool, together, batch).add_done_callback(worked)

    def _batch(self) -> list[_Asked]:
        """Take the oldest waiting request, and others of the same predictor."""
        predictor, count, batch, left = self._waiting[0].predictor, 0, list[_Asked](), list[_Asked]()
        for asked in self._waiting:
            fits = asked.predictor is predictor and (not batch or count + len(asked.rows) <= self._rows)
            count += len(asked.rows) if fits else 0
            (batch if fits else left).append(asked)
        self._waiting = left
        return batch

    def _log(self, loop: asyncio.AbstractEventLoop, outcomes: Sequence[_Outcome]) -> None:
        """Log what was answered in one transaction. When it is on disk, the requests get their answers."""
        made = list[tuple[_Asked, Answers]]()
        for asked, found in outcomes:
            if isinstance(found, Exception):
                asked.fail(found)
            elif asked.turn.take():
                made.append((asked, found))
            else:
                if isinstance(asked.predictor, Split):
                    asked.predictor.dropped(found)
                asked.answer(())
        if not made:
            return
        try:
            log = made[0][0].predictor.log_of([*chain.from_iterable(found for _, found in made)])
            submitted = self._submit(log)
        except Exception as error:  # the next batch is answered all the same
            for asked, _ in made:
                asked.fail(error)
        else:
            submitted.add_done_callback(lambda done: loop.call_soon_threadsafe(self._logged, loop, made, done))

    def _logged(
        self, loop: asyncio.AbstractEventLoop, made: Sequence[tuple[_Asked, Answers]], done: Future[Answers]
    ) -> None:
        error = done.exception()
        if error is None:
            final = iter(done.result())
            for asked, found in made:
                asked.answer([next(final) for _ in found])
        elif len(made) == 1 or of_the_store(error):
            for asked, _ in made:
                asked.fail(error)
        else:
            for one in made:
                self._log(loop, [one])


def together(batch: Sequence[_Asked]) -> list[_Outcome]:
    """Return the answers to requests of one predictor, or why one fails."""
    outcomes, good = list[_Outcome](), list[tuple[_Asked, list[dict[str, Any]], list[int]]]()
    for asked in batch:
        try:
            rows = asked.predictor.checked(asked.rows)
            good.append((asked, rows, asked.predictor.timed(rows, asked.at)))
        except Exception as error:
            outcomes.append((asked, error))
    if not good:
        return outcomes
    predictor = good[0][0].predictor
    rows = [*chain.from_iterable(rows for _, rows, _ in good)]
    times = [*chain.from_iterable(times for _, _, times in good)]
    try:
        answers = predictor.answers_at(rows, times)
    except Exception as error:
        if len(good) == 1 or (of_the_store(error) and any(view.store.remote for view in predictor.views.values())):
            return [*outcomes, *((asked, error) for asked, _, _ in good)]
        return [*outcomes, *(outcome for asked, _, _ in good for outcome in together([asked]))]
    each = iter(answers)
    return [*outcomes, *((asked, [next(each) for _ in rows]) for asked, rows, _ in good)]

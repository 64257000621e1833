"""Canaries: a share of requests is answered by the challenger, until it fails too often.

A request that the challenger fails is answered by the champion. So a canary never fails a request.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Literal, TypeVar

from mainstem.errors import ModelError, RequestError, StorageError
from mainstem.features.online.view import OnlineView
from mainstem.logs.records import CHAMPION
from mainstem.nodes.challengers import Canary, CanaryEnd, end_id
from mainstem.nodes.overrides import as_text
from mainstem.ports import Writer
from mainstem.serving.answer import Answer, new_ids
from mainstem.serving.choosing import ChoosingPredictor, Chosen
from mainstem.serving.predictor import Columns, Log, Predictor

WINDOW = 200
"""The requests, the last ones, whose share of failures is compared with the bound."""

FEWEST = 5
"""The failures among them below which a canary goes on."""

FLAG = "canary"
"""The flag of an answer that the challenger gave."""

Result = Literal["answered", "failed", "slow"]
A = TypeVar("A")


class Guard:
    """Ends the canary of one version when it fails too often. It is thread-safe.

    `end` is the end of the canary, if it ended. `noted` is called with each result, `ended` once, with the end.
    """

    def __init__(
        self,
        canary: Canary,
        endpoint: str,
        branch: str,
        version: str,
        *,
        noted: Callable[[Result], None] = lambda result: None,
        ended: Callable[[CanaryEnd], None] = lambda end: None,
    ) -> None:
        self.canary, self.id = canary, end_id(branch, endpoint, version)
        self.end: CanaryEnd | None = None
        self.endpoint, self.branch, self.version = endpoint, branch, version
        self._noted, self._ended = noted, ended
        self._results: deque[Result] = deque(maxlen=WINDOW)
        self._error = ""
        self._lock = threading.Lock()

    def failed(self, error: Exception) -> None:
        """Count a request that the challenger failed."""
        self._error = str(error) or type(error).__name__
        self.note("failed")

    def note(self, result: Result) -> None:
        """Count a request of the canary."""
        self._noted(result)
        with self._lock:
            self._results.append(result)
            end = self._due() if self.end is None and result != "answered" else None
            self.end = self.end or end
        if end is not None:
            self._ended(end)

    def _due(self) -> CanaryEnd | None:
        counts, rows = Counter(self._results), len(self._results)
        bad = counts["failed"] + counts["slow"]
        if bad < FEWEST or bad <= self.canary.errors * rows:
            return None
        slow = f"{counts['slow']} passed the latency" if counts["slow"] else ""
        failed = f"{counts['failed']} failed: {self._error}" if counts["failed"] else ""
        told = "; ".join(filter(None, (slow, failed)))
        reason = f"of the last {rows} requests {told}; at most {self.canary.errors:.3g} of them may"
        of = (self.id, self.endpoint, self.branch, self.version)
        return CanaryEnd(*of, reason, rows, counts["failed"], counts["slow"])


class Split:
    """An endpoint whose challenger answers a share of the requests. It is thread-safe.

    Both versions have the same features, so these are read once.
    """

    def __init__(self, champion: Predictor, challenger: Predictor, guard: Guard) -> None:
        self.champion, self.challenger, self.guard = champion, challenger, guard
        self._salt = f"{champion.name}\0{challenger.version.id}\0"

    @property
    def views(self) -> Mapping[str, OnlineView]:
        return self.champion.views

    def checked(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return self.champion.checked(rows)

    def timed(self, rows: Sequence[dict[str, Any]], at: int | None) -> list[int]:
        return self.champion.timed(rows, at)

    def answered(self, rows: Sequence[Any], at: int | None = None) -> tuple[list[Any], Log[Any]]:
        """Return the answers to requests, and what logs them within a transaction. Raises `RequestError`."""
        checked = self.checked(rows)
        answers = self.answers_at(checked, self.timed(checked, at))
        return answers, self.log_of(answers)

    def log_of(self, answers: Sequence[Any]) -> Log[Any]:
        """Return what logs answers within a transaction."""
        return self.champion.logged(answers)

    def dropped(self, answers: Sequence[Any]) -> None:
        """Count answers of the challenger that came after the declared ones."""
        if any(each.role != CHAMPION for each in answers):
            self.guard.note("slow")

    def missed(self, rows: Sequence[Any]) -> None:
        """Count a late request that was not computed, if the challenger would have answered some of its rows: behind a
        slow challenger most requests are late before their turn."""
        checked = self.checked(rows)
        if any(map(self.takes, checked, new_ids(len(checked)))):
            self.guard.note("slow")

    def answers_at(self, checked: Sequence[dict[str, Any]], times: Sequence[int]) -> list[Any]:
        """Return the answers to checked rows at times (µs), in order."""
        champion = self.champion
        columns, flags = champion.features(checked, times)
        ids = new_ids(len(checked))
        taken = [n for n, row in enumerate(checked) if self.takes(row, ids[n])]
        found = self._tried(taken, checked, times, columns, flags) if taken else {}
        rest = [n for n in range(len(checked)) if n not in found]
        found |= _part(champion, rest, checked, times, columns, flags)
        answers = [replace(found[n], id=id) for n, id in enumerate(ids)]
        return champion.decided(answers)

    def takes(self, row: Mapping[str, Any], id: str) -> bool:
        """Return whether the challenger answers a request: by the value of a field, else by the id.

        A request without that value is answered by the champion.
        """
        canary = self.guard.canary
        key = id if canary.by is None else as_text(row.get(canary.by))
        if key is None or self.guard.end is not None:
            return False
        number = int.from_bytes(blake2b(f"{self._salt}{key}".encode(), digest_size=8).digest(), "big")
        return number < canary.share * 2**64

    def _tried(
        self,
        taken: Sequence[int],
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[Sequence[str]],
    ) -> dict[int, Answer]:
        """Return the challenger's answers. If it failed, those of each of several requests alone."""
        own, theirs = len(self.champion.flags), self.challenger.flags
        said = [[*theirs, *each[own:], FLAG] for each in flags]

        def answered(numbers: Sequence[int]) -> dict[int, Answer]:
            found = _part(self.challenger, numbers, rows, times, columns, said)
            if any(answer.score is None for answer in found.values()):
                raise ModelError("a score is not a finite number", where=self.challenger.version.id)
            return found

        return self._each(taken, answered)

    def _each(
        self,
        taken: Sequence[int],
        answered: Callable[[Sequence[int]], dict[int, A]],
        shared: tuple[type[Exception], ...] = (),
    ) -> dict[int, A]:
        """Return answers to requests together; if that fails, which counts once, to those of them that do not fail.

        There are none after `shared` errors, which the champion has as well.
        """
        try:
            return answered(taken)
        except shared:
            return {}
        except Exception as error:  # whatever it is, the champion answers
            self.guard.failed(error)
        found: dict[int, A] = {}
        for number in taken if len(taken) > 1 and self.guard.end is None else ():
            with suppress(Exception):
                found |= answered([number])
        return found


class ChoosingSplit(Split):
    """An endpoint with candidates, whose challenger chooses for a share of the requests. It is thread-safe."""

    champion: ChoosingPredictor
    challenger: ChoosingPredictor

    def log_of(self, answers: Sequence[Chosen]) -> Log[Chosen]:
        by = {role: [each for each in answers if (each.role == CHAMPION) == role] for role in (True, False)}
        logs = (self.champion.chosen(by[True]), self.challenger.chosen(by[False]))

        def write(writer: Writer) -> Sequence[Chosen]:
            for log in logs:
                log(writer)
            return answers

        return write

    def answers_at(self, checked: Sequence[dict[str, Any]], times: Sequence[int]) -> list[Chosen]:
        ids = new_ids(len(checked))
        taken = [n for n, row in enumerate(checked) if self.takes(row, ids[n])]
        tried = self._chosen(taken, checked, times) if taken else {}
        rest = [n for n in range(len(checked)) if n not in tried]
        usual = self.champion.answers_at([checked[n] for n in rest], [times[n] for n in rest]) if rest else []
        found = tried | dict(zip(rest, usual, strict=True))
        return [found[n] for n in range(len(checked))]

    def _chosen(self, taken: Sequence[int], rows: Sequence[dict[str, Any]], times: Sequence[int]) -> dict[int, Chosen]:
        """Return the challenger's choices. If it failed, those of each of several requests alone."""

        def chosen(numbers: Sequence[int]) -> dict[int, Chosen]:
            # The champion may have to answer them: they keep what is taken out of a row.
            found = self.challenger.answers_at([{**rows[n]} for n in numbers], [times[n] for n in numbers])
            if any(item.score is None for each in found for item in each.items):
                raise ModelError("a score is not a finite number", where=self.challenger.version.id)
            return {n: each.flagged(FLAG) for n, each in zip(numbers, found, strict=True)}

        return self._each(taken, chosen, (RequestError, StorageError))


def _part(
    predictor: Predictor,
    numbers: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    times: Sequence[int],
    columns: Columns,
    flags: Sequence[Sequence[str]],
) -> dict[int, Answer]:
    """Return one version's answers to some of the rows. A policy has not decided yet."""
    if not numbers:
        return {}
    some: Columns = {name: [values[n] for n in numbers] for name, values in columns.items()}
    found = predictor.valued([rows[n] for n in numbers], [times[n] for n in numbers], some, [flags[n] for n in numbers])
    return dict(zip(numbers, found, strict=True))

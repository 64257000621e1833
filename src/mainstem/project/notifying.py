"""Notifications: a run that fails, a monitor that fails, and both when they are fine again; each change once.

They go to the URLs of `[notify]` in mainstem.toml, by Apprise. A receiver that cannot be reached does not fail a run:
the next run tells it again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.errors import ConflictError, MainstemError, MissingExtra, RequestError, SettingsError, UnknownName
from mainstem.graph.fingerprint import digest
from mainstem.masking import masked, remember
from mainstem.monitoring.newest import newest
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.notifications import Notified
from mainstem.nodes.records import now
from mainstem.project.branch import Branch
from mainstem.settings import FILE

logger = logging.getLogger(__name__)

BRANCH = "main"
"""The branch whose runs notify: others are for trials."""

RUN = "run"

LONGEST = 30.0
"""Seconds that a run waits for one receiver."""


@dataclass(frozen=True)
class Subject:
    """What may fail: its name, whether it is failing, and a sentence."""

    name: str
    failing: bool
    text: str

    @property
    def state(self) -> str:
        return "failing" if self.failing else "fine"


@dataclass(frozen=True, eq=False)
class Receiver:
    """One URL, as Apprise has it. `number` is its place in the settings: URLs are secrets."""

    number: int
    id: str
    apprise: Any


class Notifier:
    """Tells receivers what changed. Without URLs, and on other branches than main, it does nothing.

    Raises `MissingExtra` without Apprise, and `SettingsError` for a URL that it does not know, before a run begins.
    """

    def __init__(self, branch: Branch) -> None:
        self._branch = branch
        urls = branch.settings.notify.urls if branch.branch == BRANCH else ()
        self._receivers = [_receiver(number, url) for number, url in enumerate(urls, start=1)]

    def tell(self, problem: Exception | None) -> None:
        """Tell each receiver what changed since it was told last, given why the run failed. It never fails a run."""
        if not self._receivers:
            return
        try:
            self._tell_all(problem)
        except MainstemError as trouble:  # such as a state that is away
            logger.warning("notifications could not be sent: %s", trouble)

    def _tell_all(self, problem: Exception | None) -> None:
        subjects = [_of_run(problem), *_of_monitors(self._branch)]
        for receiver in self._receivers:
            self._tell(receiver, subjects)

    def _tell(self, receiver: Receiver, subjects: Sequence[Subject]) -> None:
        state, changed, quiet = self._branch.adapters.state, list[Subject](), list[Subject]()
        for each in subjects:
            before = state.get(Notified, f"{receiver.id}/{each.name}")
            if (before.state if before else "fine") != each.state:
                changed.append(each)
            elif before is None:
                quiet.append(each)
        if changed and not _sent(receiver, self._branch.settings.project.name, changed):
            logger.warning(
                "notification %d of [notify] urls could not be sent; the next run sends it again", receiver.number
            )
            changed = []
        state.save(*(Notified(f"{receiver.id}/{s.name}", s.name, s.state, now()) for s in (*changed, *quiet)))


def is_failure(problem: Exception) -> bool:
    """Return whether a run failed, and was not refused for how it was asked for, or because another one runs."""
    refused = isinstance(problem, (ConflictError, RequestError, SettingsError, UnknownName))
    return getattr(problem, "run", None) is not None or not refused


def _of_run(problem: Exception | None) -> Subject:
    if problem is None:
        return Subject(RUN, False, "the run published again")
    record = getattr(problem, "run", None)
    causes = [str(cause).split("\n")[0] for cause in getattr(problem, "causes", ())]
    what = problem.what if isinstance(problem, MainstemError) else f"{type(problem).__name__}: {problem}"
    told = "; ".join([what, *causes])
    return Subject(RUN, True, f"{record.id if record else 'the run'}: {told}")


def _declared(branch: Branch) -> Mapping[str, Endpoint]:
    """Return the endpoints of the project; none if its definitions are broken, which the run tells."""
    try:
        return branch.sound.of(Endpoint)
    except MainstemError:
        return {}


def _of_monitors(branch: Branch) -> Iterator[Subject]:
    """Yield the monitors of live endpoints that were judged."""
    state, release, declared = branch.adapters.state, branch.release, _declared(branch)
    for endpoint in release.endpoints:
        version = release.champion(endpoint)
        watched = declared[endpoint].monitors if endpoint in declared else None
        for verdict in newest(state, endpoint, branch.branch, version, watched) if version else ():
            if verdict.judgement != "not enough rows":
                name = " ".join(filter(None, (endpoint, verdict.monitor, verdict.metric)))
                yield Subject(name, verdict.judgement == "failing", f"{endpoint}: {verdict.text} ({version})")


def _receiver(number: int, url: str) -> Receiver:
    try:
        import apprise
    except ImportError:
        raise MissingExtra.named("notify", "apprise") from None
    remember(url)
    found = apprise.Apprise()
    if not found.add(url):
        raise SettingsError(
            "Apprise does not know the URL of a notification",
            where=f"{FILE}, [notify] urls, number {number}",
            got=f"a URL that begins with {url.partition(':')[0]}:",
            expected='a URL of Apprise, such as "mailto://…", "slack://…" or "json://HOST/PATH"',
        )
    return Receiver(number, digest(url)[:12], found)


def _sent(receiver: Receiver, project: str, changed: Sequence[Subject]) -> bool:
    failing = [each for each in changed if each.failing]
    again = [each for each in changed if not each.failing]
    lines = [*(f"failing: {each.text}" for each in failing), *(f"fine again: {each.text}" for each in again)]
    title = f"{project}: {len(failing)} failing" if failing else f"{project}: fine again"
    kind = "failure" if failing else "success"
    taken = list[bool]()

    def send() -> None:
        try:
            sent = receiver.apprise.notify(title=masked(title), body=masked("\n".join(lines)), notify_type=kind)
            taken.append(bool(sent))
        except Exception as problem:  # a plugin of a service must not fail a run
            logger.warning("notification %d failed: %s", receiver.number, masked(str(problem)))

    # A time limit of sockets does not bound an answer that comes byte by byte.
    sending = threading.Thread(target=send, name="notification", daemon=True)
    sending.start()
    sending.join(LONGEST)
    return taken == [True]

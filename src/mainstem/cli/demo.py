"""The flights project end to end, as a story: every step is a command that a user could type, and is shown.

begin     a project from the template, and the world of 2013 that offers its data
learn     collect, build, check, train a challenger; ship it; ask for a prediction
live      December is lived twice at once: untouched on a branch, and on main with two faults in the data
judge     on the branch nothing is found, and offline equals online; on main a finding names the fault that costs
mend      the finding is accepted; the next run applies the remedy and measures it
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mainstem.cli.processes import Background, call, free_port, mainstem, post, python
from mainstem.cli.render.words import seconds
from mainstem.errors import RunFailed, SettingsError

FIRST = ("UA-1487-2013-12-01", "2013-12-01T05:00:00Z")
LAST = ("DL-412-2013-12-31", "2014-01-01T03:59:00Z")
OVER = "2014-01-03T05:00"
KAFKA = "WORLD_KAFKA"
"""The variable with the servers of a cluster. With it the departures come by topics, one for each branch."""
UNTOUCHED = "untouched"


def topic_of(branch: str) -> str:
    """Return the topic with the departures of a branch; of main without a name."""
    return f"departures-{branch}" if branch else "departures"


class Demo:
    """One run of the story in a new project at `directory`."""

    script = "world.py"
    """The script of the template that delivers the data."""
    again = "SERVE=1 make demo"

    def __init__(self, directory: Path, *, quiet: bool = False) -> None:
        self.directory = directory.resolve()
        self.quiet = quiet
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.took: dict[str, float] = {}
        self.seen: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.parity = ""
        self.running = ExitStack()

    @property
    def ok(self) -> bool:
        """Whether the story ended as expected."""
        return not self.missing()

    def play(self, *, stay: bool = False, told: Callable[[Demo], None] = lambda demo: None) -> Demo:
        """Run the story. With `stay` the server on main stays up until Ctrl-C. `told` is called at the end of the
        story.

        Raises `MainstemError` when a command fails.
        """
        began = time.perf_counter()
        with self.running:
            for chapter in self._chapters():
                chapter()
            self.took["total"] = time.perf_counter() - began
            self._close()
            told(self)
            if stay:
                self._stay()
            else:
                self._say(f"\nThe project is in {self.directory}. {self.again} leaves the page up.")
        return self

    def facts(self) -> dict[str, Any]:
        """Return the results for programs."""
        return {"ok": self.ok, "missing": self.missing(), "seconds": self.took, **self.seen}

    def missing(self) -> list[str]:
        """Return the expected results that are missing."""
        costly = self.seen.get("finding") or {}
        verb = (costly.get("rule") or {}).get("verb") or {}
        expected = {
            "a prediction over HTTP": "prediction" in self.seen,
            "no finding on an untouched December": self.seen.get("untouched") == [],
            "parity without a difference": self.seen.get("parity", False),
            "the finding names departures.dep_delay": (costly.get("node"), costly.get("column"))
            == ("departures", "dep_delay"),
            "its remedy rescales by 1/60": abs(verb.get("factor", 0) * 60 - 1) < 0.05,
            "the wind is a drift that costs nothing": any(
                f["harmless"] and f["column"] == "wind_speed" for f in self.seen.get("findings", [])
            ),
            "the finding is verified": (self.seen.get("verified") or {}).get("state") == "verified",
        }
        return [what for what, shown in expected.items() if not shown]

    def _chapters(self) -> tuple[Callable[[], None], ...]:
        return (self._begin, self._learn, self._live, self._judge, self._mend)

    # ── the chapters ─────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._title("A project, and a world that offers its data")
        self._init("flights")
        port = free_port(8111)
        self.seen["world"] = f"http://127.0.0.1:{port}"
        self.environment = {"WORLD_URL": self.seen["world"], "WORLD_PORT": str(port)}
        with self._step("world", "$ python world.py &"):
            self._start("world", python("world.py"), self.environment["WORLD_URL"], "/robots.txt")
        self._say("All flights that left New York in 2013: monthly CSV files, a database of aircraft, weather by HTTP,")
        self._say(
            "airlines on a web page. It is midnight on 1 December: of December there is no more than the schedule."
        )

    def _learn(self) -> None:
        self._title("Learn from eleven months")
        self._run("first run", "run")
        self._run("nothing to do", "run")
        self._run("promote", "promote", "late")
        self._run("status", "status")
        self.live = self._serve("serve", "main", 8100)
        self.seen["url"] = self.live.url
        self._predict("prediction", *FIRST)

    def _live(self) -> None:
        self._title("December twice: untouched on a branch, and on main with two faults in the data")
        self._world("weather", OVER)
        self._run("untouched: weather", "run", "--branch", "untouched")
        server = self._serve("untouched: serve", "untouched", 8101)
        self._world("wind", "m/s")
        self._run("faulty: weather", "run")
        self._say("And on main the departures feed sends delays in seconds instead of minutes:")
        simulations = (
            python("simulate.py", server.url, *self._topic(UNTOUCHED)),
            python("simulate.py", self.seen["url"], "--faulty", *self._topic()),
        )
        self._both("both simulations", *simulations)
        server.stop()

    def _judge(self) -> None:
        self._title("The month is over: outcomes arrive, and are judged")
        self._world("now", OVER)
        self._both("both judged", mainstem("run", "--branch", "untouched"), mainstem("run"))
        self.seen["untouched"] = self._ask("finding", "list", "--branch", "untouched")
        self._say(f"Findings on the untouched December: {len(self.seen['untouched']) or 'none'}.")
        with self._step("parity", "$ mainstem parity --branch untouched"):
            self.seen["parity"] = self._agrees()
        self._say(self.parity)
        self.seen["findings"] = self._ask("finding", "list")

    def _mend(self) -> None:
        self._title("Accept the finding that costs something")
        fixable = [f for f in self.seen["findings"] if f.get("rule") and not f["harmless"]]
        if not fixable:
            return
        self.seen["finding"] = finding = fixable[0]
        self._run("finding show", "finding", "show", finding["id"])
        self._run("finding accept", "finding", "accept", finding["id"])
        self._run("mended run", "run")
        self.seen["verified"] = self._ask("finding", "show", finding["id"])
        self.seen["status"] = self._ask("status")
        self._predict("last prediction", *LAST)

    def _close(self) -> None:
        self._title("What it took")
        self._took()
        self._title("What it showed")
        self._say(f"parity       {self.parity}")
        for name in ("finding", "verified"):
            if name in self.seen:
                self._say(f"{name:<12} {_told(self.seen[name])}")
        self._say(f"prediction   {_scored(self.seen['prediction'])}")
        self._untold()

    def _took(self) -> None:
        for name, value in self.took.items():
            self._say(f"{name:<22} {seconds(value):>9}")

    def _untold(self) -> None:
        for text in self.missing():
            self.console.print(f"[red]not shown: {escape(text)}[/]")

    def _stay(self) -> None:
        self._say(f"\nThe page is at {self.live.url} until Ctrl-C.")
        sys.stdout.flush()  # flush, so that a reader of a pipe sees it now
        try:
            self.live.process.wait()
        except KeyboardInterrupt:
            self._say("ended")

    def _agrees(self) -> bool:
        """Compare all logged reads. Return whether all are equal."""
        command = mainstem("parity", "--branch", "untouched")
        try:
            self.parity = call(command, self.directory, self._environment(command), captured=True).strip()
        except RunFailed as failure:
            self.parity = str(failure.got)
            return False
        return True

    # ── the departures as a topic ────────────────────────────────────────────────────────────────────

    def _topic(self, branch: str = "") -> list[str]:
        """Return the arguments of a simulation that sends departures to a branch's topic, if there is a cluster."""
        servers = os.environ.get(KAFKA)
        return ["--kafka", servers, "--topic", topic_of(branch)] if servers else []

    def _environment(self, command: Sequence[str]) -> dict[str, str]:
        """Return the environment of a command: each branch has a topic of its own."""
        return {**self.environment, "WORLD_TOPIC": topic_of(UNTOUCHED if UNTOUCHED in command else "")}

    # ── how they are told ────────────────────────────────────────────────────────────────────────────

    def _init(self, template: str) -> None:
        with self._step("init", f"$ mainstem init {template} {self.directory.name}"):
            _clear(self.directory, self.script)
            call(mainstem("init", template, str(self.directory)), self.directory.parent, {}, captured=True)

    def _title(self, text: str) -> None:
        self.console.print(f"\n[bold]── {escape(text)} ──[/]")

    def _say(self, text: str) -> None:
        self.console.print(escape(text))

    @contextmanager
    def _step(self, name: str, line: str) -> Iterator[None]:
        """Print the command line. Its duration is recorded under `name`."""
        self.console.print(f"\n[bold cyan]{escape(line)}[/]")
        began = time.perf_counter()
        yield
        self.took[name] = time.perf_counter() - began

    def _run(self, name: str, *arguments: str) -> None:
        with self._step(name, f"$ mainstem {shlex.join(arguments)}"):
            self._show(mainstem(*arguments))

    def _python(self, name: str, *arguments: str) -> None:
        with self._step(name, f"$ python {' '.join(arguments)}"):
            self._show(python(*arguments))

    def _both(self, name: str, *commands: list[str]) -> None:
        """Run commands in parallel, and show the output of each when all have ended."""
        began = time.perf_counter()
        with ThreadPoolExecutor() as pool:
            said = [pool.submit(call, c, self.directory, self._environment(c), captured=True) for c in commands]
        for command, output in zip(commands, said, strict=True):
            words = " ".join(command[2:] if command[1] == "-m" else ["python", *command[1:]])
            self.console.print(f"\n[bold cyan]$ {escape(words)} &[/]")
            self._say(output.result().strip())
        self.took[name] = time.perf_counter() - began

    def _predict(self, name: str, flight: str, at: str) -> None:
        """Request the prediction for a flight from the server on main."""
        self._ask_for(name, "arrivals", [{"flight_id": flight}], at)
        self.seen["prediction"]["flight_id"] = flight

    def _ask_for(self, name: str, endpoint: str, rows: list[dict[str, str]], at: str) -> None:
        url, question = f"{self.seen['url']}/predict/{endpoint}", {"rows": rows, "time": at}
        with self._step(name, f"$ curl {url} -H 'Content-Type: application/json' -d '{json.dumps(question)}'"):
            answer = post(url, question)
        self.seen["prediction"] = {"rows": rows, **answer}
        self._say(json.dumps(answer, indent=2, ensure_ascii=False))

    def _world(self, what: str, value: str) -> None:
        self._python(f"world {what} {value[:10]}", "world.py", what, value)

    def _show(self, command: list[str]) -> None:
        call(command, self.directory, self._environment(command), captured=self.quiet)

    def _ask(self, *arguments: str) -> Any:
        """Return the JSON output of a command that is not part of the story."""
        command = mainstem(*arguments, "--json")
        return json.loads(call(command, self.directory, self._environment(command), captured=True))

    def _serve(self, name: str, branch: str, port: int) -> Background:
        url = f"http://127.0.0.1:{free_port(port)}"
        command = ["serve", "--port", url.rsplit(":", 1)[1], *(("--branch", branch) if branch != "main" else ())]
        with self._step(name, f"$ mainstem {' '.join(command)} &"):
            return self._start(name.replace(": ", "-"), mainstem(*command), url, "/ready")

    def _start(self, name: str, command: list[str], url: str, path: str) -> Background:
        log = self.directory / ".mainstem" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        started = Background(command, self.directory, self._environment(command), url, path, log)
        self.running.callback(started.stop)
        return started


def _told(finding: dict[str, Any]) -> str:
    """Return a finding as a line: its summary, or its outcome."""
    realised = finding.get("realised")
    if not realised:
        return f"{finding['id']} opened: {finding['summary']}"
    return f"{finding['id']} {finding['state']}: {finding['metric']} {realised['before']:.3f} → {realised['after']:.3f}"


def _scored(answer: dict[str, Any]) -> str:
    score = answer["predictions"][0]["score"]
    return f"{answer['flight_id']} will arrive late with probability {score:.2f}, says {answer['version']}"


def _clear(directory: Path, script: str) -> None:
    """Remove an earlier demo. Any other directory is refused."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not ((directory / "mainstem.toml").exists() and (directory / script).exists()):
        raise SettingsError("the directory is not an earlier demo", where=str(directory))
    shutil.rmtree(directory)

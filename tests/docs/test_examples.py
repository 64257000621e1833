"""Every runnable example of the docs runs, and prints what its page shows.

A page's marked blocks are what a reader copies into an empty directory, in the order of the page:

    ```python file=shop.py      a file of the project; also toml, sql, csv, …
    ```python run               a program, run in the project's directory
    ```console run              commands, and the output that each prints
    ```console run exit=1       the same; each command ends with this exit code
    ```console serve            `mainstem serve`, until the page ends

In the output shown, `…` stands for any text. Durations and the ids of runs and releases may differ. The port
8100 stands for a free one.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from mainstem.cli.app import run

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+) (run|serve|file=\S+)(?: exit=(\d+))?\n(.*?)^```$", re.M | re.S)

Captured = Callable[[], str]


@dataclass(frozen=True)
class Block:
    """A marked block: its language, what to do with it, the exit code its commands end with, and its text."""

    language: str
    action: str
    code: int
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m[1], m[2], int(m[3] or 0), m[4]) for m in FENCE.finditer(page.read_text())]


PAGES = [page for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]) if blocks(page)]
FIRST = (
    "cleaning",
    "concepts",
    "csv-and-target",
    "decisions",
    "features-and-time",
    "findings",
    "how-a-model-is-chosen",
    "joins",
    "models",
    "outcomes",
    "preparing-columns",
    "reading-the-report",
    "serving",
    "sinks",
    "sources",
    "what-can-go-wrong",
    "only-data",
    "only-ml",
)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_examples_of_a_page_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    free_port: Callable[[], int],
) -> None:
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    with ExitStack() as servers:
        for block in blocks(page):
            if block.action == "serve":
                servers.enter_context(served(port))
            else:
                text = block.text.replace(":8100", f":{port}")
                follow(replace(block, text=text), tmp_path, lambda: "".join(capfd.readouterr()))


@pytest.mark.parametrize("name", FIRST)
def test_a_page_begins_with_an_example_that_runs(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text()
    first = text.index("```")
    assert FENCE.match(text, first)
    assert text.count("\n", 0, first) < 15


def test_a_reader_sees_the_name_of_each_file() -> None:
    named = re.compile(r"`(\S+)`[^\n]*\n\n```\w+ file=\1\n")
    for page in PAGES:
        text = page.read_text()
        assert len(named.findall(text)) == len(re.findall(r"^```\w+ file=", text, re.M)), page


def follow(block: Block, directory: Path, captured: Captured) -> None:
    """Do what the block says, in `directory`."""
    if block.action.startswith("file="):
        file = directory / block.action.removeprefix("file=")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
    elif block.language == "python":
        exec(compile(block.text, "<docs>", "exec"), {"__name__": "__main__"})
    else:
        for command, shown in commands(block.text):
            ended = perform(shlex.split(command))
            got = captured()
            assert ended == block.code, got
            compare(shown, got)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and the output that is shown below it."""
    for part in re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def perform(words: Sequence[str]) -> int:
    """Do in this process what `mainstem …`, `python …` or `curl …` does; the exit code."""
    program, *arguments = words
    match program:
        case "mainstem":
            return run(arguments)
        case "python":
            return python(*arguments)
        case "curl":
            return curl(*arguments)
    pytest.fail(f"a console block can run mainstem, python and curl, not {program}")


def python(file: str, *arguments: str) -> int:
    """Run a script as `python FILE …` does. Processes of their own would take most of the test's time."""
    known, words, path = set(sys.modules), sys.argv, sys.path
    sys.argv, sys.path = [file, *arguments], [str(Path(file).parent.absolute()), *path]
    try:
        runpy.run_path(file, run_name="__main__")
    finally:
        sys.argv, sys.path = words, path
        for name in [n for n in set(sys.modules) - known if _lives_in(Path.cwd(), n)]:
            del sys.modules[name]
    return 0


def _lives_in(directory: Path, module: str) -> bool:
    return str(getattr(sys.modules[module], "__file__", "")).startswith(str(directory))


def curl(url: str, *options: str) -> int:
    """Send a request as `curl URL -H HEADER -d BODY` does, and print the answer."""
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in pairs if option == "-H")
    body = next((value.encode() for option, value in pairs if option == "-d"), None)
    with urlopen(Request(url, body, headers)) as answer:
        sys.stdout.write(answer.read().decode())
    return 0


@contextmanager
def served(port: str) -> Iterator[None]:
    """`mainstem serve` on a port, once it is ready."""
    command = [sys.executable, "-m", "mainstem", "serve", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/ready", server)
            yield
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), urlopen(url):
            return
        time.sleep(0.05)
    pytest.fail(f"{url} was never answered")


def compare(shown: str, got: str) -> None:
    """Fail unless the output is as the page shows it; a page that shows no output accepts any."""
    pattern = ".*".join(re.escape(part) for part in steady(shown).split("…"))
    same = re.fullmatch(pattern, steady(got), re.S)
    assert not shown.strip() or same, f"the page shows\n{shown}\nbut the output is\n{got}"


def steady(text: str) -> str:
    """The text without what differs from run to run, and with single spaces."""
    text = re.sub(r"\b\d+(\.\d+)? s\b", "N s", text)
    text = re.sub(r"\b(run|rel)-\d+-\w+", r"\1-ID", text)
    # Sources are collected at the same time. Their lines come in the order in which they end.
    text = re.sub(r"(?:^✓ collect .*\n)+", lambda found: "".join(sorted(found[0].splitlines(True))), text, flags=re.M)
    return " ".join(re.sub("─+", "─", text).split())

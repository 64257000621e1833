"""Status says how the last run left things: it asks no source, however often a page polls it."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import mainstem as ms
from mainstem.errors import RunFailed
from mainstem.nodes.tables import sql
from mainstem.pages.page import render
from mainstem.project.status import RUNS_SHOWN
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


class Vendor(ThreadingHTTPServer):
    """An API of two rows, and the requests that it had."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[str] = []
        self.rows = [{"id": 1, "at": "2013-12-01T10:00:00Z"}, {"id": 2, "at": "2013-12-01T11:00:00Z"}]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/rows"


class _Answers(BaseHTTPRequestHandler):
    server: Vendor

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        (since,) = parse_qs(urlsplit(self.path).query).get("at", [""])
        body = json.dumps([row for row in self.server.rows if row["at"] > since.replace("+00:00", "Z")]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def project(vendor: Vendor, tmp_path: Path) -> Iterator[ms.Project]:
    rows = ms.api(vendor.url, key="id", time="at", cursor="at", known="always")
    hourly = sql("hourly", "SELECT id, at FROM rows", origin=rows.origin, key="id")
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    with ms.Project(settings, {"rows": rows, "hourly": hourly}) as made:
        made.run()
        yield made


def test_status_and_page_ask_no_source(project: ms.Project, vendor: Vendor) -> None:
    vendor.asked.clear()
    for _ in range(5):
        status = project.status()
        assert [node.state for node in status.nodes] == ["fresh", "fresh"]
        assert "shop" in render(status)
    assert vendor.asked == []
    assert not project.plan() and vendor.asked


def test_what_a_vendor_has_new_shows_after_a_look(project: ms.Project, vendor: Vendor) -> None:
    vendor.rows.append({"id": 3, "at": "2013-12-01T12:00:00Z"})
    assert project.status().nodes[0].state == "fresh"
    assert [step.key for step in project.plan().steps] == ["collect rows", "build hourly"]
    project.run()
    assert project.status().nodes[0].rows == 3


def test_what_needs_no_source_to_be_asked_shows_at_once(project: ms.Project) -> None:
    changed = sql("hourly", "SELECT id, at, id AS n FROM rows", origin=project.nodes["hourly"].origin, key="id")
    with ms.Project(project.settings, {**project.nodes, "hourly": changed}) as later:
        hourly = later.status().nodes[1]
        assert (hourly.state, hourly.due) == ("stale", "its definition changed")


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[[str], ms.Project]]:
    """Opens a project of a file of numbers and a table of these, whose check is given."""
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n')
    opened: list[ms.Project] = []

    def open(check: str) -> ms.Project:
        # Python takes a module of the same size and second for the compiled one.
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        table = f"@ms.table(checks=[{check}])\ndef kept(n):\n    return n\n" if check else ""
        (tmp_path / "shop.py").write_text(f"import mainstem as ms\nn = ms.files('n.csv')\n{table}")
        opened.append(ms.load(tmp_path))
        return opened[-1]

    yield open
    for each in opened:
        each.close()


def state(project: ms.Project, name: str) -> tuple[str, bool]:
    node = next(node for node in project.status().nodes if node.name == name)
    return node.state, node.error is not None


def failing(project: ms.Project) -> ms.Project:
    with pytest.raises(RunFailed):
        project.run()
    assert state(project, "kept") == ("failed", True)
    return project


def test_a_good_run_ends_a_failure(shop: Callable[[str], ms.Project]) -> None:
    failing(shop("ms.between('n', 5)"))
    later = shop("ms.between('n', 1)")
    later.run()
    assert state(later, "kept") == ("fresh", False)


def test_a_definition_that_is_taken_back_ends_its_failure(shop: Callable[[str], ms.Project]) -> None:
    good = shop("ms.between('n', 1)")
    good.run()
    failing(shop("ms.between('n', 5)"))
    again = shop("ms.between('n', 1)")
    assert state(again, "kept") == ("fresh", False)
    assert again.run().status == "unchanged"
    assert state(again, "kept") == ("fresh", False)


def test_a_removed_definition_ends_its_failure(shop: Callable[[str], ms.Project]) -> None:
    failing(shop("ms.between('n', 5)"))
    removed = shop("")
    assert [node.name for node in removed.status().nodes] == ["n"]
    removed.run()
    assert [(node.state, node.error) for node in removed.status().nodes] == [("fresh", None)]


def test_bad_data_that_is_taken_back_ends_its_failure(shop: Callable[[str], ms.Project], tmp_path: Path) -> None:
    project = shop("ms.between('n', 1)")
    project.run()
    before = (tmp_path / "n.csv").stat()
    (tmp_path / "n.csv").write_text("n\n-1\n")
    failing(project)
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    os.utime(tmp_path / "n.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state(project, "kept") == ("failed", True)  # only a look at the source can tell
    assert project.run().status == "unchanged"
    assert state(project, "kept") == ("fresh", False)


def test_a_run_of_other_nodes_does_not_end_a_failure(shop: Callable[[str], ms.Project]) -> None:
    project = failing(shop("ms.between('n', 5)"))
    project.run("n")
    assert state(project, "kept") == ("failed", True)


def checked(project: ms.Project) -> list[int]:
    """Return how many rows each check of `kept` judged."""
    return [check.rows for check in next(node for node in project.status().nodes if node.name == "kept").checks]


def test_what_is_published_shows_its_checks(shop: Callable[[str], ms.Project], tmp_path: Path) -> None:
    project = shop("ms.between('n', 1)")
    first = project.run()
    assert checked(project) == [2]
    os.utime(tmp_path / "n.csv", ns=(0, 0))
    assert [step.message for step in project.run().steps][1:] == ["its inputs did not change"]
    assert checked(project) == [2]
    for number in range(RUNS_SHOWN + 1):
        (tmp_path / "n.csv").write_text(f"n\n1\n2\n{number}\n")
        project.run("n")
    assert len(project.status().runs) == RUNS_SHOWN and first.id not in {run.id for run in project.status().runs}
    assert checked(project) == [2]
    assert state(project, "kept")[1] is False


def test_what_a_failed_run_did_does_not_show(shop: Callable[[str], ms.Project], tmp_path: Path) -> None:
    project = shop("ms.between('n', 1)")
    project.run()
    (tmp_path / "n.csv").write_text("n\n1\n2\n3\n")
    (tmp_path / "shop.py").write_text(
        (tmp_path / "shop.py").read_text()
        + "\n@ms.table(checks=[ms.between('n', 9)])\ndef worse(kept):\n    return kept\n"
    )
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    with ms.load(tmp_path) as later:
        with pytest.raises(RunFailed):
            later.run()
        assert checked(later) == [2] and state(later, "worse") == ("failed", True)


# ── the online store ─────────────────────────────────────────────────────────────────────────────────


def test_a_project_without_streams_and_views_does_not_ask_the_online_store(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("n\n1\n")
    (tmp_path / "shop.py").write_text("import mainstem as ms\nn = ms.files('n.csv')\n")
    (tmp_path / "mainstem.toml").write_text(
        '[project]\nname = "shop"\nmodules = ["shop"]\n[profile.default]\nonline = "redis://127.0.0.1:1/0"\n'
    )
    with ms.load(tmp_path) as project:
        project.plan()
        assert project.run().status == "published"
        assert project.status().online is None
        project.show("n")

"""The page in a real browser: it draws, answers to the keyboard and the address, and follows the status."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec import convert

from mainstem.nodes.status import ProjectStatus
from mainstem.pages import render
from mainstem.pages.page import mark

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)

PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const shown = [...document.querySelectorAll(".detail.shown")].map(d => d.dataset.name);
  const dimmed = [...document.querySelectorAll(".node.dimmed")].map(n => n.dataset.name).sort();
  const boxes = [...document.querySelectorAll(".node text")].filter(t => {
    const text = t.getBoundingClientRect(), box = t.parentNode.querySelector("rect").getBoundingClientRect();
    return text.right > box.right || text.left < box.left;
  }).map(t => t.textContent);
  const wide = document.documentElement.scrollWidth > innerWidth;
  const found = {shown, dimmed, boxes, wide, back: getComputedStyle(document.body).backgroundColor};
  document.body.insertAdjacentHTML("beforeend", "<pre id=probe></pre>");
  document.getElementById("probe").textContent = JSON.stringify(found);
}, 0));
</script>"""


@pytest.fixture(scope="module", autouse=True)
def browser(missing: Callable[[str], NoReturn]) -> None:
    if BROWSER is None:
        missing("there is no Chromium to open the page with: apt-get install chromium")


class Site:
    """Serves the page as the server would, and counts."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.later: dict[str, Any] | None = None
        self.pages = 0

    def answer(self, path: str) -> tuple[bytes, str]:
        if path == "/api/status":
            if self.later is not None:
                self.status = self.later
            return json.dumps(
                {**self.status, "mark": mark(convert(self.status, ProjectStatus))}
            ).encode(), "application/json"
        self.pages += 1
        page = render(convert(self.status, ProjectStatus)).replace("</body>", PROBE + "</body>")
        return page.encode(), "text/html; charset=utf-8"


@pytest.fixture
def site(status: dict[str, Any]) -> Iterator[tuple[Site, str]]:
    found = Site(status)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, type = found.answer(self.path)
            self.send_response(200)
            self.send_header("content-type", type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def browse(url: str, profile: Path, *more: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *more, url]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def probed(dom: str) -> dict[str, Any]:
    text = dom.partition('<pre id="probe">')[2].partition("</pre>")[0]
    found: dict[str, Any] = json.loads(html.unescape(text))
    return found


def test_it_draws_and_every_text_fits_its_box(site: tuple[Site, str], tmp_path: Path) -> None:
    _, url = site
    found = probed(browse(url, tmp_path, "--dump-dom"))
    assert found["boxes"] == []
    assert found["wide"] is False
    assert found["shown"] == [] and found["dimmed"] == []


def test_the_address_chooses_a_node_and_its_way_through_the_graph(site: tuple[Site, str], tmp_path: Path) -> None:
    _, url = site
    found = probed(browse(f"{url}/#airport", tmp_path, "--dump-dom"))
    assert found["shown"] == ["airport"]
    unrelated = ["airlines", "hub_traffic", "leg", "legs", "planes", "weather", "wx"]
    assert found["dimmed"] == unrelated


def test_light_and_dark(site: tuple[Site, str], tmp_path: Path) -> None:
    _, url = site
    light = probed(browse(url, tmp_path / "a", "--dump-dom", "--blink-settings=preferredColorScheme=1"))
    dark = probed(browse(url, tmp_path / "b", "--dump-dom", "--blink-settings=preferredColorScheme=0"))
    assert light["back"] != dark["back"]


def test_the_page_draws_itself_anew_when_the_status_changes(
    site: tuple[Site, str], status: dict[str, Any], tmp_path: Path
) -> None:
    found, url = site
    found.later = {**status, "release": "rel-20131202-00000000"}
    dom = browse(url, tmp_path, "--dump-dom", "--virtual-time-budget=5000")
    assert found.pages == 2
    assert "rel-20131202-00000000" in dom

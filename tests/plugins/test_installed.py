"""A package of somebody else, really installed: its four extensions are used from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "package"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

DEFINITIONS = """
import ibis
import mainstem as ms
from ibis import _
from mainstem_example.ledger import ledger

entries = ledger(
    "ledger.jsonl",
    key="id",
    time="at",
    known={"*": _.at - ibis.interval(days=2), "paid": _.at + ibis.interval(days=1)},
)

@ms.table(key="id")
def large(entries):
    return entries.filter(entries.amount > 10)
"""

MODEL = """
size = ms.feature_view(entries, key="id", columns=["amount"])
payment = ms.model(
    examples=entries,
    prediction_time=_.at - ibis.interval(days=1),
    target=_.paid,
    features=[size],
    candidates=["CANDIDATE"],
    metric="mae",
)
"""

TOML = """
[project]
name = "books"
modules = ["books"]

[profile.noted]
engine = "noted"
online = "shelf://boards"
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which pip has installed the package."""
    directory = tmp_path_factory.mktemp("site")
    wheel = _wheel(directory / "wheels")
    options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(directory / "packages"), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "packages"


def _wheel(directory: Path) -> Path:
    """The package as a wheel, made of what its pyproject.toml says, without a network for a build backend."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    points = [
        "\n".join([f"[{group}]", *(f"{point} = {value}" for point, value in offers.items())])
        for group, offers in project["entry-points"].items()
    ]
    files = {str(path.relative_to(HERE)): path.read_text() for path in (HERE / name).glob("*.py")}
    about = {"METADATA": metadata, "WHEEL": WHEEL, "entry_points.txt": "\n".join(points)}
    files |= {f"{name}-{version}.dist-info/{file}": text for file, text in about.items()}
    record = f"{name}-{version}.dist-info/RECORD"
    directory.mkdir()
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, record: "".join(f"{path},,\n" for path in [*files, record])}.items():
            archive.writestr(path, text)
    return wheel


@dataclass(frozen=True)
class Books:
    """A project that uses the package, at a terminal."""

    root: Path
    site: Path

    def __call__(self, *arguments: str, module: str = "mainstem", code: int = 0) -> subprocess.CompletedProcess[str]:
        source = str(Path(__file__).parents[2] / "src")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(self.site)])}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def add(self, ids: Sequence[int]) -> None:
        with (self.root / "ledger.jsonl").open("a") as file:
            for id in ids:
                day = f"2013-{1 + id // 28:02}-{1 + id % 28:02}T12:00:00Z"
                file.write(json.dumps({"id": id, "at": day, "amount": id, "paid": id * 7919 % 101 / 2}) + "\n")

    def define(self, text: str) -> None:
        (self.root / "books.py").write_text(text)


@pytest.fixture
def books(site: Path, tmp_path: Path) -> Books:
    made = Books(tmp_path, site)
    (tmp_path / "mainstem.toml").write_text(TOML)
    made.define(DEFINITIONS)
    made.add(range(20))
    return made


def test_a_source_from_its_first_look_to_its_next_rows(books: Books) -> None:
    first = json.loads(books("run", "--json").stdout)
    assert {step["node"]: step["published"] for step in first["steps"]} == {"entries": 20, "large": 9}
    lock = tomllib.loads((books.root / "schemas.lock").read_text())
    assert lock["entries"] == {"id": "int64", "at": "timestamp('UTC', 6)", "amount": "int64", "paid": "float64"}
    again = json.loads(books("run", "--json").stdout)
    assert again["status"] == "unchanged"
    books.add([20, 21])
    plan = json.loads(books("plan", "--json").stdout)
    assert [(step["kind"], step["node"], step["reason"]) for step in plan["steps"]] == [
        ("collect", "entries", "the source has changed"),
        ("build", "large", "input entries has new data"),
    ]
    third = json.loads(books("run", "--json").stdout)
    assert {step["node"]: step["rows_in"] for step in third["steps"]} == {"entries": 2, "large": 2}
    assert json.loads(books("run", "--json").stdout)["status"] == "unchanged"


def test_the_package_passes_the_contracts_of_what_it_adds(books: Books) -> None:
    told = books(str(HERE / "contract.py"), "-vv", "-p", "no:cacheprovider", module="pytest")
    passed = re.findall(r"::(Test\w+)::\S+ PASSED", told.stdout)
    assert set(passed) == {"TestLedger", "TestMedian", "TestShelf", "TestShelfBranches"}
    assert f"{len(passed)} passed" in told.stdout


def test_algorithm_engine_and_store_are_used(books: Books) -> None:
    books.add(range(20, 300))
    books.define(DEFINITIONS + MODEL.replace("CANDIDATE", "median"))
    done = json.loads(books("run", "--profile", "noted", "--json").stdout)
    assert {step["kind"]: step["status"] for step in done["steps"]}.keys() >= {"collect", "materialise", "train"}
    assert "median" in books("show", "payment", "--profile", "noted").stdout
    assert "entries" in (books.root / "sessions.txt").read_text().split()
    assert (books.root / "boards" / "main" / "data.mdb").is_file()
    books.add([300])
    dev = json.loads(books("run", "--profile", "noted", "--branch", "dev", "--json").stdout)
    assert {step["node"]: step["message"] for step in dev["steps"]}["size"] == "301 keys online, 1 of them loaded anew"
    assert (books.root / "boards" / "dev" / "data.mdb").is_file()
    assert not (books.root / ".mainstem" / "online").exists()


def test_what_there_is_not_is_told_with_what_there_is(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_ENGINE", "notes")
    told = books("run", code=1).stderr
    assert "unknown engine 'notes'" in told
    assert "one of auto, duckdb, noted, spark" in told
    assert "did you mean 'noted'?" in told


def test_a_broken_package_is_named_with_the_cause(books: Books) -> None:
    books.add(range(20, 300))
    books.define(DEFINITIONS + MODEL.replace("CANDIDATE", "broken"))
    told = books("run", code=1).stderr
    assert "the package 'mainstem-example' offers 'broken', but it cannot be used" in told
    assert "ModuleNotFoundError: No module named 'library_that_is_absent'" in told


def test_a_source_whose_package_offers_its_kind_no_more_is_named_with_its_line(books: Books, tmp_path: Path) -> None:
    books("run")
    module = tmp_path / "elsewhere" / "mainstem_example"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "ledger.py").write_text((HERE / "mainstem_example" / "ledger.py").read_text())
    told = replace(books, site=module.parent)("plan", code=1).stderr
    assert "no kind of source reads a Ledger" in told
    assert "entries (books.py:7  entries = ledger(…))" in told
    assert "one of Api, Database, Dlt, Files, Kafka, Web" in told

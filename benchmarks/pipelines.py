"""Three tables over flights, and a chain of fifty, beside `dbt run`: whole processes, from the shell to the prompt.

    python benchmarks/pipelines.py [--repeat 3] [--chain 50]

dbt 1.10 with DuckDB is installed by pip in an environment of its own when this is run for the first time. Both read the
same files with the same SQL, and the results are compared. dbt reads the files where they are; Mainstem collects them
into the lake first, checks what it writes, and publishes everything at once. dbt has four threads, which DuckDB shares;
Mainstem has its default.

After an edit of the tenth table from the end, both build ten tables. dbt needs their names: `dbt run -s NAME+`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import duckdb

from _environments import environment
from _flights import unpacked
from _turns import Turn, lines, take_turns, timed
from mainstem.project.project import load

DBT = "1.10.23"
ADAPTER = "1.10.1"
ROWS = 102_000

THREE = {
    "legs": "SELECT *, dep_delay > 15 AS late FROM flights WHERE dep_time IS NOT NULL",
    "daily": "SELECT year, month, day, origin, count(*) AS flights, avg(dep_delay) AS delay FROM legs GROUP BY ALL",
    "busy": "SELECT legs.*, daily.flights AS flights, daily.delay AS mean_delay "
    "FROM legs JOIN daily USING (year, month, day, origin)",
}


def chain(length: int, edited: bool = False) -> dict[str, str]:
    """The SQL of a chain of tables. The tenth from the end is another one if it was edited."""
    found, before = dict[str, str](), "flights"
    for n in range(length):
        by = 2 if edited and n == length - 10 else 1
        found[f"step_{n:02}"] = (
            f"SELECT year, month, day, carrier, origin, dest, distance, dep_delay + {by} AS dep_delay FROM {before}"
        )
        before = f"step_{n:02}"
    return found


def run(command: list[str | Path], at: Path) -> None:
    """Run a command to its end; exit with its output if it fails."""
    quiet = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
    done = subprocess.run([str(part) for part in command], cwd=at, env=quiet, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed\n{done.stdout}\n{done.stderr}")


class Mainstem:
    """A project of one source and SQL files."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        (root / "sql").mkdir(parents=True)
        (root / "mainstem.toml").write_text('[project]\nname = "pipelines"\nmodules = ["sources"]\n')
        options = "options={'nullstr': 'NA'}" if source.suffix == ".csv" else ""
        (root / "sources.py").write_text(f"import mainstem as ms\n\nflights = ms.files('{source.name}', {options})\n")
        shutil.copy(source, root)

    def declare(self, tables: dict[str, str]) -> None:
        for name, sql in tables.items():
            (self.root / "sql" / f"{name}.sql").write_text(sql + "\n")

    def run(self) -> None:
        run([Path(sys.executable).with_name("mainstem"), "run"], self.root)

    def sum(self, name: str, column: str) -> tuple[int, float]:
        with load(self.root) as project:
            row = project.query(f"SELECT count(*) AS n, sum({column})::DOUBLE AS s FROM {name}").to_pylist()[0]
        return row["n"], row["s"]


class Dbt:
    """A dbt project with the same tables, in a DuckDB database."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        self.program = environment("dbt", DBT, f"dbt-core=={DBT}", f"dbt-duckdb=={ADAPTER}") / "dbt"
        (root / "models").mkdir(parents=True)
        (root / "dbt_project.yml").write_text(
            "name: pipelines\nversion: '1.0.0'\nprofile: pipelines\nmodels:\n  pipelines:\n    +materialized: table\n"
        )
        (root / "profiles.yml").write_text(
            "pipelines:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: pipelines.duckdb, threads: 4}\n"
        )
        shutil.copy(source, root)
        read = f"read_csv('{source.name}', nullstr='NA')" if source.suffix == ".csv" else f"'{source.name}'"
        self.source = f"(SELECT * FROM {read}) AS flights"

    def declare(self, tables: dict[str, str]) -> None:
        for name, sql in tables.items():
            for other in tables:
                sql = sql.replace(f"FROM {other}", f"FROM {{{{ ref('{other}') }}}} AS {other}")
                sql = sql.replace(f"JOIN {other}", f"JOIN {{{{ ref('{other}') }}}} AS {other}")
            (self.root / "models" / f"{name}.sql").write_text(sql.replace("FROM flights", f"FROM {self.source}"))

    def run(self, *options: str) -> None:
        run([self.program, "run", "--quiet", "--profiles-dir", ".", *options], self.root)

    def sum(self, name: str, column: str) -> tuple[int, float]:
        with duckdb.connect(self.root / "pipelines.duckdb", read_only=True) as db:
            row = db.execute(f"SELECT count(*), sum({column})::DOUBLE FROM {name}").fetchone()
        assert row is not None
        return row


def three(root: Path, csv: Path, repeat: int) -> None:
    """Print what three tables from a CSV cost."""

    def fresh(kind: type[Mainstem | Dbt]) -> Turn:
        def turn() -> list[float]:
            place = root / "three" / kind.__name__
            shutil.rmtree(place, ignore_errors=True)
            project = kind(place, csv)
            project.declare(THREE)
            return list(timed(project.run)())

        return turn

    taken = take_turns({"dbt run": fresh(Dbt), "mainstem run": fresh(Mainstem)}, repeat, warm=0)
    ours, theirs = (kind(root / f"compared-{kind.__name__}", csv) for kind in (Mainstem, Dbt))
    for project in (ours, theirs):
        project.declare(THREE)
        project.run()
    assert agree(ours.sum("busy", "mean_delay"), theirs.sum("busy", "mean_delay"))
    print(f"three tables over 336,776 flights from CSV, the first run; median of {repeat}")
    print(*lines(taken), sep="\n")


def fifty(root: Path, parquet: Path, length: int, repeat: int) -> None:
    """Print what a chain of tables costs: first, with nothing to do, and after an edit."""
    first: dict[str, list[float]] = {"dbt run": [], "mainstem run": []}
    nothing: dict[str, list[float]] = {"dbt run": [], "mainstem run": []}
    edit: dict[str, list[float]] = {"dbt run -s": [], "mainstem run": []}
    for turn in range(repeat):
        theirs, ours = Dbt(root / f"dbt{turn}", parquet), Mainstem(root / f"mainstem{turn}", parquet)
        changed = f"step_{length - 10:02}"
        for project in (theirs, ours):
            name = "dbt run" if project is theirs else "mainstem run"
            project.declare(chain(length))
            first[name] += timed(project.run)()
            nothing[name] += timed(project.run)()
            project.declare(chain(length, edited=True))
            if isinstance(project, Dbt):
                edit["dbt run -s"] += timed(partial(project.run, "-s", f"{changed}+"))()
            else:
                edit[name] += timed(project.run)()
        last = f"step_{length - 1:02}"
        assert agree(ours.sum(last, "dep_delay"), theirs.sum(last, "dep_delay"))
    for said, taken in (
        ("the first run", first),
        ("nothing new", nothing),
        ("ten tables to build after an edit", edit),
    ):
        print(f"a chain of {length} tables of {ROWS:,} rows, {said}; median of {repeat}")
        print(*lines(taken), sep="\n")


def agree(ours: tuple[int, float], theirs: tuple[int, float]) -> bool:
    """Whether the rows are as many, and a sum is the same but for its order."""
    return ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1e-6 * abs(theirs[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--chain", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        unpacked(root)
        csv, parquet = root / "flights.csv", root / "flights.parquet"
        with duckdb.connect() as db:
            db.execute(f"COPY (SELECT * FROM read_csv('{csv}', nullstr='NA') LIMIT {ROWS}) TO '{parquet}'")
        three(root, csv, given.repeat)
        fifty(root, parquet, given.chain, given.repeat)


if __name__ == "__main__":
    main()

"""What a plan of thousands of tables takes, as a whole process: `mainstem plan` after a run, and after one edit.

    python benchmarks/plans.py [--tables 5000]

Of ten tables six select, two join, one aggregates, and one reads the source. `anew` is without the cache that a run
writes, as on the first plan. Nothing is built: the state is made of what a run would publish.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import mainstem as ms

SOURCE = "import ibis\nimport mainstem as ms\nfrom ibis import _\n\nflights = ms.files('flights.csv', key='id')\n"


def sql(number: int) -> str:
    """The SQL of a table."""
    before, two = f"t{number - 1:04}", f"t{number - 2:04}"
    match number % 10:
        case 0:
            return f"SELECT *, delay + {number} AS late FROM flights"
        case 7 | 8:
            return (
                f"SELECT a.id, a.year, a.origin, b.delay, b.late FROM {before} AS a LEFT JOIN {two} AS b ON a.id = b.id"
            )
        case 9:
            return f"SELECT origin, count(*) AS n, avg(late) AS late FROM {before} GROUP BY origin"
    return f"SELECT id, year, origin, delay + {number} AS delay, late FROM {before} WHERE year > 2000"


def function(number: int) -> str:
    """The same table as a function."""
    before, two = f"t{number - 1:04}", f"t{number - 2:04}"
    inputs, body = before, f"{before}.filter(_.year > 2000).mutate(delay=_.delay + {number})"
    match number % 10:
        case 0:
            inputs, body = "flights", f"flights.mutate(late=_.delay + {number})"
        case 7 | 8:
            inputs = f"{before}, {two}"
            body = (
                f"{before}.drop('delay', 'late').left_join({two}.select('id', 'delay', 'late'), 'id').drop('id_right')"
            )
        case 9:
            body = f"{before}.group_by('origin').agg(n=_.count(), late=_.late.mean())"
    return f"\n\n@ms.table\ndef t{number:04}({inputs}):\n    return {body}\n"


def lay_out(root: Path, tables: int, kind: str) -> None:
    (root / "sql").mkdir(parents=True)
    (root / "flights.csv").write_text("id,year,origin,delay\n1,2013,JFK,3\n2,2014,LGA,5\n")
    (root / "mainstem.toml").write_text('[project]\nname = "plans"\nmodules = ["declared"]\n')
    functions = "".join(map(function, range(tables))) if kind == "functions" else ""
    (root / "declared.py").write_text(SOURCE + functions)
    for number in range(tables if kind == "SQL" else 0):
        (root / "sql" / f"t{number:04}.sql").write_text(sql(number) + "\n")


def publish(root: Path) -> None:
    """Publish a release that says of every table that it is as declared, and keep what a run keeps."""
    with ms.load(root) as project:
        project.run("flights")
        release, graph = project.release, project.graph
        made = {each.name: each.made_by for each in graph}
        stored = release.tables["flights"]
        inputs = {f"build {name}": dict.fromkeys(graph.stored_inputs(name), stored.id) for name in made}
        tables = dict.fromkeys(made, stored)
        project.republish(replace(release, fingerprints=made, tables=tables, inputs=release.inputs | inputs))


def plan(root: Path, steps: int) -> float:
    """Seconds of `mainstem plan`, which has to find so many steps."""
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("mainstem")), "plan"]
    done = subprocess.run(command, cwd=root, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    taken = time.perf_counter() - began
    found = sum(line.startswith(("collect ", "build ")) for line in done.stdout.splitlines())
    assert found == steps, (found, steps, done.stdout[:2000])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=5_000)
    tables = parser.parse_args().tables
    print(f"a plan of {tables:,} tables, as a whole process")
    for kind in ("SQL", "functions"):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            lay_out(root, tables, kind)
            anew = plan(root, tables + 1)
            publish(root)
            nothing = min(plan(root, 0) for _ in range(3))
            edited, text = (
                (root / "declared.py", "+ 11)") if kind == "functions" else (root / "sql" / "t0011.sql", "+ 11")
            )
            edited.write_text(edited.read_text().replace(text, text.replace("11", "12"), 1))
            edit = min(plan(root, 9) for _ in range(3))
        print(f"  {kind:9}   anew {anew:6.2f} s   nothing due {nothing:6.2f} s   after an edit {edit:6.2f} s")


if __name__ == "__main__":
    main()

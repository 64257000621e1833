"""Print what a query finds in the release, one row as JSON a line, again and again until a file is there:
`polling.py ROOT SQL FILE`. Any error ends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mainstem as ms


def main(root: str, sql: str, end: str) -> None:
    while not Path(end).exists():
        with ms.load(root) as project:
            (row,) = project.query(sql).to_pylist()
        print(json.dumps({name: int(value) for name, value in row.items()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

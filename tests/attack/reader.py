"""Print all that a project's release answers, as JSON: `reader.py ROOT`. After an error the exit code is 1."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import mainstem as ms
from mainstem.errors import MainstemError, StorageError

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
HIDDEN = ("_seq",)
ORIGINS = ("JFK", "LGA", "EWR")


def rows_of(project: ms.Project, name: str) -> list[str]:
    table = project.query(f"select * from {name}")
    kept = table.select([column for column in table.column_names if column not in HIDDEN])
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in kept.to_pylist())


def answers(root: str) -> dict[str, Any]:
    with ms.load(root) as project:
        tables = {name: rows_of(project, name) for name in sorted(project.release.tables)}
        asked = [{"flight_id": f"F{number}"} for number in range(20)]
        predicted = project.predict("arrivals", asked, NOON)
        online = project.online("airport").get([{"origin": origin} for origin in ORIGINS], NOON)
        return {
            "release": project.release.id,
            "tables": tables,
            "predictions": [[one["version"], one["score"], one["flags"], one["features"]] for one in predicted],
            "online": [dict(row) for row in online],
        }


def main(root: str) -> int:
    try:
        sys.stdout.write(json.dumps(answers(root), default=str))
    except MainstemError as error:
        sys.stderr.write(f"{error.kind}: {error}\n")
        return 1
    except OSError as error:  # as the command line reports it
        sys.stderr.write(f"StorageError: {StorageError.of(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

"""A Grafana dashboard and Prometheus alert rules for the server's metrics, as files that a user deploys and changes."""

from __future__ import annotations

from pathlib import Path

from mainstem.errors import RequestError

SHIPPED = Path(__file__).parent / "shipped"
FILES = ("grafana.json", "alerts.yml")


def write(to: Path) -> list[Path]:
    """Write the files to a directory, which is made, and return their paths.

    A file that was changed is not overwritten: nothing is written then. Raises `RequestError`.
    """
    shipped = {to / name: (SHIPPED / name).read_bytes() for name in FILES}
    for path, content in shipped.items():
        if path.exists() and path.read_bytes() != content:
            raise RequestError(
                "the file exists and is another one", where=str(path), hint="name another directory, or delete the file"
            )
    to.mkdir(parents=True, exist_ok=True)
    for path, content in shipped.items():
        path.write_bytes(content)
    return list(shipped)

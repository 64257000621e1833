from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def load_world() -> Any:
    """The module `world.py` of the tests of serving; tests are no package."""
    if "mainstem_test_world" not in sys.modules:
        path = Path(__file__).parent.parent / "serving" / "world.py"
        spec = importlib.util.spec_from_file_location("mainstem_test_world", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["mainstem_test_world"] = module
        spec.loader.exec_module(module)
    return sys.modules["mainstem_test_world"]


@pytest.fixture
def worlds() -> Any:
    """The module that makes worlds, rows for them, and artifacts."""
    return load_world()


@pytest.fixture
def world(worlds: Any, tmp_path: Path) -> Iterator[Any]:
    """Published: three flights of the future, one departure of the past, views online, no champion."""
    found = worlds.begun(tmp_path)
    yield found
    found.close()

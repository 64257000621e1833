"""A project's own directory is private, also where an older version made it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import mainstem as ms

PROJECT = '[project]\nname = "shop"\nmodules = ["shop_private"]\n'
SHOP = """
import mainstem as ms
from ibis import _

payments = ms.stream("payments", schema={"card": "string", "at": "timestamp('UTC', 6)"}, time="at")
card = ms.feature_view(payments, key="card", windows=["1h"], n=_.count())
"""


@pytest.mark.parametrize("older", [False, True])
def test_after_a_run_state_and_online_store_are_private(tmp_path: Path, older: bool) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "mainstem.toml").write_text(PROJECT)
        (tmp_path / "shop_private.py").write_text(SHOP)
        if older:
            (tmp_path / ".mainstem" / "lake").mkdir(parents=True)
        with ms.load(tmp_path) as project:
            project.run()
            project.create_key("display", ("predict",))
    finally:
        os.umask(before)
    own = tmp_path / ".mainstem"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    private = [own / "state.db", *(own / "online").rglob("*")]
    assert len(private) >= 3
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path

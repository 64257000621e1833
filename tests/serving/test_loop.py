"""The event loop of a server: uvloop where it is installed, unless a setting turns it off."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from typing import Any

import pytest

from mainstem.errors import SettingsError
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.server import Loop
from mainstem.settings import load


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_the_server_runs_on_the_loop_of_the_setting(loop: Loop, world: Any, worlds: Any, missing: Any) -> None:
    if loop == "auto" and find_spec("uvloop") is None:
        missing("uvloop is not installed: pip install 'mainstem[serve]'")
    world.promote(worlds.artifact(world.root, 1))

    async def tell(request: Request) -> Response:
        return Response(json.dumps(type(asyncio.get_running_loop()).__module__).encode())

    with worlds.listening(world.service(), [Route("GET", "/loop", tell, scope=None)], loop=loop) as client:
        assert client.get("/loop").json().startswith("uvloop" if loop == "auto" else "asyncio")
        row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
        assert client.post("/predict/arrivals", json=row).status_code == 200


def test_any_other_loop_is_refused(tmp_path: Any) -> None:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "x"\nmodules = []\n[serve]\nloop = "trio"\n')
    with pytest.raises(SettingsError, match="loop"):
        load(tmp_path)

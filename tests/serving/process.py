"""A server as a process of its own, for tests that kill it: `process.py ROOT [BYTES that a file may have]`.

With SERVERS and TOPIC in the environment its stream is fed from that topic.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("mainstem_test_world", Path(__file__).parent / "world.py")
assert spec is not None and spec.loader is not None
worlds = importlib.util.module_from_spec(spec)
sys.modules["mainstem_test_world"] = worlds
spec.loader.exec_module(worlds)

from mainstem.serving.app import create_app  # noqa: E402
from mainstem.serving.feeders import Feeders  # noqa: E402
from mainstem.serving.limits import Limits  # noqa: E402
from mainstem.serving.server import listen, run  # noqa: E402

world = worlds.open_world(Path(sys.argv[1]))
limits = Limits(poll=0.05, drain=float(os.environ.get("DRAIN", "30")), together=int(os.environ.get("TOGETHER", "64")))
service = world.service(limits)
if "TOPIC" in os.environ:
    quick = {"session.timeout.ms": "1500", "heartbeat.interval.ms": "300"}
    world.feed(os.environ["SERVERS"], os.environ["TOPIC"], settings=quick)
app = create_app(service, feeders=Feeders(service, world.root))
if len(sys.argv) > 2:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))


def started(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


run(app, listen("127.0.0.1", 0), started)
world.close()

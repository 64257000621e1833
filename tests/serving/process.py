"""A server as a process of its own, for tests that kill it: `process.py ROOT [BYTES that a file may have]`.

With SERVERS and TOPIC in the environment its stream is fed from that topic. With SERVER_WORKERS it has several workers,
whose process numbers it prints; each is this program with the arguments of a worker. With REDIS it has that store.
CONNECTIONS is how many it may have, and HEADERS the seconds until the headers of a request have come.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import socket
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("mainstem_test_world", Path(__file__).parent / "world.py")
assert spec is not None and spec.loader is not None
worlds = importlib.util.module_from_spec(spec)
sys.modules["mainstem_test_world"] = worlds
spec.loader.exec_module(worlds)

from mainstem.serving.app import create_app  # noqa: E402
from mainstem.serving.counters import Shared  # noqa: E402
from mainstem.serving.feeders import Feeders  # noqa: E402
from mainstem.serving.leash import Leash  # noqa: E402
from mainstem.serving.limits import Limits  # noqa: E402
from mainstem.serving.server import listen, run  # noqa: E402
from mainstem.serving.supervisor import Supervisor  # noqa: E402
from mainstem.stores.redis import RedisStore  # noqa: E402

WORKERS = int(os.environ.get("SERVER_WORKERS", "0"))
DRAIN = float(os.environ.get("DRAIN", "30"))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Told(Supervisor):
    """A supervisor that prints the number of each process that it starts, and that of its slot."""

    def _begin(self, shared: Path) -> None:
        before = {worker.process.pid for worker in self._all()}
        super()._begin(shared)
        for worker in self._all():
            if worker.process.pid not in before:
                say(f"worker {worker.slot} {worker.process.pid}")


def supervise() -> None:
    command = [sys.executable, __file__, sys.argv[1]]
    patience = float(os.environ.get("HANG", "10"))
    Told(command, listen("127.0.0.1", 0), WORKERS, patience=patience, drain=DRAIN, started=say).run()


def serve() -> None:
    store = RedisStore(os.environ["REDIS"], "flights", "main") if "REDIS" in os.environ else None
    world = worlds.open_world(Path(sys.argv[1]), store=store)
    many = int(os.environ.get("CONNECTIONS", "1000"))
    bounds = {"together": int(os.environ.get("TOGETHER", "64")), "connections": many, "per_client": many}
    bounds |= {"headers": float(os.environ["HEADERS"])} if "HEADERS" in os.environ else {}
    service = world.service(Limits(poll=0.05, drain=DRAIN, **bounds))
    if "TOPIC" in os.environ:
        quick = {"session.timeout.ms": "1500", "heartbeat.interval.ms": "300"}
        world.feed(os.environ["SERVERS"], os.environ["TOPIC"], settings=quick)
    app = create_app(service, feeders=Feeders(service, world.root))
    if WORKERS:
        at, leash, slot, shared = sys.argv[2:]
        service.metrics.shared = Shared(Path(shared), int(slot))
        run(app, socket.socket(fileno=int(at)), leash=Leash(int(leash)))
    else:
        if len(sys.argv) > 2:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        run(app, listen("127.0.0.1", 0), say)
    world.close()


if WORKERS and len(sys.argv) == 2:
    supervise()
else:
    serve()

"""Copy a branch's store within the server, a thousand entries at a time, so that the server stays responsive."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.errors import ConflictError
from mainstem.stores.redis_server import Server
from mainstem.stores.redis_writer import Names, catalogue, turn

_ENTRIES = 1_000

_SPACE = """
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = page[2]
for at = 1, #found, 4000 do redis.call('HSET', KEYS[2], unpack(found, at, math.min(at + 3999, #found))) end
return page[1] ~= '0' and page[1]
"""

_LOG = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
for _, entry in ipairs(found) do redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) end
return found[1] and '(' .. found[#found][1]
"""


def copy(server: Server, origin: Names, target: Names, lease: float) -> None:
    """Start a store as a copy of another, unless it has data or the other does not exist. Writers of both wait.

    The first commit of the copy comes last. If the copy fails before it, the next attempt deletes the entries and
    starts again. Raises `ConflictError` if another writer took the lock because the copy took too long.
    """
    with turn(server, target, lease) as here, turn(server, origin, lease) as there:
        if here.begun or not there.begun:
            return
        _clear(server, target)
        for _ in _copying(server, origin, target):
            here.renew()
            there.renew()
            if server.ask("LINDEX", origin.commits, 0) != there.begun:
                what = "another writer came before the copy was done"
                raise ConflictError(what, where=origin.base, hint="try again")
        here.commit([])


def drop(server: Server, names: Names, lease: float) -> None:
    """Delete a branch's store. Its writers wait."""
    with turn(server, names, lease):
        server.ask("UNLINK", names.commits)
        _clear(server, names)


def _clear(server: Server, names: Names) -> None:
    spaces, logs = catalogue(server, names)
    for key in (*map(names.space, spaces), *map(names.log, logs), names.spaces, names.ends):
        server.ask("UNLINK", key)


def _copying(server: Server, origin: Names, target: Names) -> Iterator[None]:
    """Yield after each chunk of copied entries. The first step copies the list of spaces and logs."""
    spaces, logs = catalogue(server, origin)
    for ours, theirs in ((origin.spaces, target.spaces), (origin.ends, target.ends)):
        server.ask("COPY", ours, theirs)
    for name in spaces:
        yield from _pages(server, _SPACE, origin.space(name), target.space(name), b"0")
    for name in logs:
        yield from _pages(server, _LOG, origin.log(name), target.log(name), b"-")


def _pages(server: Server, script: str, origin: str, target: str, start: bytes) -> Iterator[None]:
    at: bytes | None = start
    while at is not None:
        at = server.ask("EVAL", script, 2, origin, target, at, _ENTRIES)
        yield

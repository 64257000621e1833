"""A transaction on a Redis store: collected in the client, and applied by one script.

Writers take turns by a lock. It expires, so that a killed writer does not block the others. Correctness does not depend
on the lock: the script writes only if the last commit is still the one from before the transaction, and no other writer
holds the lock. The server keeps the ids of the last commits, so a command that is resent after a lost answer does not
write twice.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

from mainstem.errors import ConflictError, StorageError
from mainstem.stores.offsets import offsets_of
from mainstem.stores.redis_server import Command, Server

ARGUMENTS = 4_000
"""The maximum number of arguments of one command: Lua cannot unpack many more."""

_LONGEST_WAIT = 0.05
_PROCESS = uuid4().hex[:12]
_turns: dict[str, int] = {}
"""The turns of this process by id, with the threads that hold them."""

_BEGIN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], redis.call('LINDEX', KEYS[2], 0) or '', redis.call('HGETALL', KEYS[3])}
"""

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

_END = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

# ARGV[3…] are commands: name, index of its key, number of arguments, arguments. Before any write, the script checks
# the user's permissions and, by LPUSH, that there is memory and a disk. If the commit exists (a resent command),
# its id is written again, so that the sender can wait for that write to reach the disk.
_COMMIT = """
local id, begun = ARGV[1], ARGV[2]
if (redis.call('LINDEX', KEYS[2], 0) or '') ~= begun then
  local at = redis.call('LPOS', KEYS[2], id)
  if at then redis.call('LSET', KEYS[2], at, id) end
  return at and 1 or 0
end
if (redis.call('GET', KEYS[1]) or id) ~= id then return 0 end
local function each(make)
  local at = 3
  while at <= #ARGV do
    local last = at + 2 + ARGV[at + 2]
    make(ARGV[at], KEYS[tonumber(ARGV[at + 1])], at + 3, last)
    at = last + 1
  end
end
local refused
if redis.acl_check_cmd then
  each(function(name, key, first, last)
    local some = math.min(last, first + 2) -- enough of them to be a command, and quickly copied
    if not redis.acl_check_cmd(name, key, unpack(ARGV, first, some)) then refused = name end
  end)
end
if refused then return redis.error_reply('NOPERM the user may not ' .. refused) end
redis.call('LPUSH', KEYS[2], id)
redis.call('LTRIM', KEYS[2], 0, 999)
redis.call('DEL', KEYS[1])
each(function(name, key, first, last) redis.call(name, key, unpack(ARGV, first, last)) end)
return 1
"""


@dataclass(frozen=True)
class Names:
    """The keys of one branch's store."""

    base: str

    @classmethod
    def of(cls, project: str, branch: str) -> Names:
        return cls(f"mainstem:{quote(project, safe='')}:{quote(branch, safe='')}")

    @property
    def lock(self) -> str:
        """The id of the transaction that may write."""
        return f"{self.base}:lock"

    @property
    def commits(self) -> str:
        """A list: the ids of the last commits, newest first. It is empty if the store was never written to."""
        return f"{self.base}:commits"

    @property
    def spaces(self) -> str:
        """A set: the spaces that may have entries."""
        return f"{self.base}:spaces"

    @property
    def ends(self) -> str:
        """A hash: log → the offset of its next payload."""
        return f"{self.base}:ends"

    def space(self, name: str) -> str:
        """Return a hash: key → value."""
        return f"{self.base}:space:{name}"

    def log(self, name: str) -> str:
        """Return a stream: the payload of offset n has the id (n + 1)-0, because Redis has no 0-0."""
        return f"{self.base}:log:{name}"


class Turn:
    """The turn to write to a store. It lasts until it is ended, or expires `lease` seconds after the last renewal.

    `begun` is the id of the last commit before it. `ends` are the ends of all logs.
    """

    def __init__(self, server: Server, names: Names, lease: float) -> None:
        self._server, self._names, self._lease = server, names, str(int(lease * 1000))
        self._patience = lease / 3
        self._renewed = 0.0
        self._held = False
        self.id = f"{_PROCESS}.{os.getpid()}.{uuid4().hex}"
        self.begun = b""
        self.ends: dict[str, int] = {}

    def begin(self) -> None:
        """Wait for the turn. Raises `StorageError` if this thread holds it already."""
        wait, names = 0.001, self._names
        _turns[self.id] = threading.get_ident()
        begin: Command = ("EVAL", _BEGIN, 3, names.lock, names.commits, names.ends, self.id, self._lease)
        while (answer := self._server.ask(*begin))[0] != self.id.encode():
            self._refuse_or_forget(answer[0].decode())
            time.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(wait * 2, _LONGEST_WAIT)
        self._held = True
        _, self.begun, ends = answer
        self.ends = {name.decode(): int(end) for name, end in zip(ends[::2], ends[1::2], strict=True)}
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Renew the turn if it is time to. A lost turn is detected by the commit."""
        if time.monotonic() - self._renewed > self._patience:
            self._server.ask("EVAL", _RENEW, 1, self._names.lock, self.id, self._lease)
            self._renewed = time.monotonic()

    def commit(self, commands: Sequence[Command]) -> None:
        """Apply the commands (each a name, a key and arguments), all or none, and end the turn.

        Raises `ConflictError` if another writer had the turn in the meantime.
        """
        names = self._names
        keys = dict.fromkeys([names.lock, names.commits, *(str(key) for _, key, *_ in commands)])
        index = {key: at for at, key in enumerate(keys, start=1)}
        flat = [part for name, key, *rest in commands for part in (name, index[str(key)], len(rest), *rest)]
        if not self._server.durably("EVAL", _COMMIT, len(keys), *keys, self.id, self.begun, *flat):
            what = "another writer came before the transaction ended"
            raise ConflictError(what, where=names.base, hint="try again")
        self._held = False

    def end(self) -> None:
        """Release the turn if it is still held. Errors are ignored, because the lock expires."""
        if self._held:
            with suppress(StorageError):
                self._server.ask("EVAL", _END, 1, self._names.lock, self.id)
        _turns.pop(self.id, None)

    def _refuse_or_forget(self, holder: str) -> None:
        """Refuse a turn inside another turn of the same thread, and release a turn that this process failed to end."""
        if _turns.get(holder) == threading.get_ident():
            hint = "use the Writer of the outer transaction"
            raise StorageError("a transaction cannot begin inside another one", where=self._server.where, hint=hint)
        if holder.startswith(f"{_PROCESS}.{os.getpid()}.") and holder not in _turns:
            self._server.ask("EVAL", _END, 1, self._names.lock, holder)


@contextmanager
def turn(server: Server, names: Names, lease: float) -> Iterator[Turn]:
    """Wait for the turn to write, and end it in any case."""
    taken = Turn(server, names, lease)
    try:
        taken.begin()
        yield taken
    finally:
        taken.end()


@dataclass
class _Space:
    """A space as a transaction sees it: its cached reads and its pending writes. None means no value."""

    cleared: bool = False
    read: dict[bytes, bytes | None] = field(default_factory=dict)
    written: dict[bytes, bytes | None] = field(default_factory=dict)

    def commands(self, key: str) -> Iterator[Command]:
        if self.cleared:
            yield "UNLINK", key
        gone = [name for name, value in self.written.items() if value is None and not self.cleared]
        kept = [part for name, value in self.written.items() if value is not None for part in (name, value)]
        for start in range(0, len(gone), ARGUMENTS):
            yield "HDEL", key, *gone[start : start + ARGUMENTS]
        for start in range(0, len(kept), ARGUMENTS):
            yield "HSET", key, *kept[start : start + ARGUMENTS]


@dataclass
class _Log:
    """The pending payloads of a log with their offsets, and its end after them."""

    end: int
    entries: list[tuple[int, bytes]] = field(default_factory=list)


class RedisWriter:
    """The reads and pending writes of one transaction."""

    def __init__(self, server: Server, names: Names, turn: Turn) -> None:
        self._server, self._names, self._turn = server, names, turn
        self._spaces: dict[str, _Space] = {}
        self._logs: dict[str, _Log] = {}

    def prefetch(self, space: str, keys: Iterable[bytes]) -> None:
        seen = self._space(space)
        wanted = [] if seen.cleared else [k for k in keys if k not in seen.written and k not in seen.read]
        if wanted:
            self._turn.renew()
            found = self._server.ask("HMGET", self._names.space(space), *wanted)
            seen.read.update(zip(wanted, found, strict=True))

    def get(self, space: str, key: bytes) -> bytes | None:
        return self.get_many(space, [key])[0]

    def get_many(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self.prefetch(space, keys)
        seen = self._space(space)
        return [seen.written[key] if key in seen.written else seen.read.get(key) for key in keys]

    def put(self, space: str, key: bytes, value: bytes) -> None:
        self._space(space).written[key] = value

    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None:
        self._space(space).written.update(values)

    def delete(self, space: str, key: bytes) -> None:
        self._space(space).written[key] = None

    def clear(self, space: str, limit: int | None = None) -> bool:
        """Clear the whole space at once: the server frees the memory in a background thread."""
        self._spaces[space] = _Space(cleared=True)
        return False

    def append(self, log: str, payloads: Sequence[bytes], sizes: Sequence[int] | None = None) -> int:
        mine = self._logs.setdefault(log, _Log(self._turn.ends.get(log, 0)))
        first = mine.end
        *offsets, mine.end = offsets_of(first, payloads, sizes)
        mine.entries.extend(zip(offsets, payloads, strict=True))
        return first

    def commands(self) -> Iterator[Command]:
        """Yield the commands that apply this transaction."""
        names = self._names
        for name, log in self._logs.items():
            for offset, payload in log.entries:
                yield "XADD", names.log(name), entry_id(offset), "p", payload
            if log.entries:
                yield "HSET", names.ends, name, log.end
        filled = {name for name, seen in self._spaces.items() if any(v is not None for v in seen.written.values())}
        emptied = {name for name, seen in self._spaces.items() if seen.cleared} - filled
        for command, those in (("SADD", sorted(filled)), ("SREM", sorted(emptied))):
            for start in range(0, len(those), ARGUMENTS):
                yield command, names.spaces, *those[start : start + ARGUMENTS]
        for name, seen in self._spaces.items():
            yield from seen.commands(names.space(name))

    def _space(self, name: str) -> _Space:
        return self._spaces.setdefault(name, _Space())


def catalogue(server: Server, names: Names) -> tuple[list[str], list[str]]:
    """Return the spaces and the logs of a store."""
    spaces, logs = server.together([("SMEMBERS", names.spaces), ("HKEYS", names.ends)])
    return sorted(name.decode() for name in spaces), sorted(name.decode() for name in logs)


def entry_id(offset: int) -> str:
    """Return the id of a log's payload in its stream."""
    return f"{offset + 1}-0"


def offset_of(id: bytes) -> int:
    """Return the offset of an entry of a stream."""
    return int(id.partition(b"-")[0]) - 1

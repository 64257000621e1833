"""A Redis server with few retries, readable errors, and a description of its durability."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from mainstem.errors import MissingExtra, SettingsError, StorageError

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)

Argument: TypeAlias = str | bytes | int
Command: TypeAlias = Sequence[Argument]

RETRIES = 5
"""The number of retries of a command after a lost connection. They take about a second together."""

CONNECT_WITHIN, ANSWER_WITHIN = 2.0, 10.0
"""Seconds, unless the URL says `?socket_connect_timeout=` or `?socket_timeout=`."""

ON_DISK_WITHIN = 8_000
"""Milliseconds to wait for the server's disk, if commits wait for it."""


@dataclass(frozen=True)
class Durability:
    """The durability of an acknowledged commit. `waits` means that a commit waits for the disk."""

    text: str
    safe: bool = True
    waits: bool = False


SYNCED = Durability("on disk: the server's appendfsync is always")
WAITED = Durability("on disk: every commit waits for the server's fsync (WAITAOF)", waits=True)

_said: set[tuple[str, str]] = set()


class Server:
    """The server at `url`, and its durability. Its methods raise `StorageError`.

    Raises `SettingsError` for an invalid URL, `MissingExtra` without redis-py.
    """

    def __init__(self, url: str) -> None:
        self.where = redacted(url)
        self._client = _client(url, self.where)
        try:
            self.ask("EXISTS", "mainstem:")
            config = self._config()
            _refuse_eviction(config, self.where)
            self.durability = self._durability(config)
        except BaseException:
            self.close()
            raise
        self._warn()

    def ask(self, *command: Argument) -> Any:
        """Send a command and return the answer."""
        try:
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (_errors().RedisError, OSError) as error:
            raise explain(error, self.where) from error

    def together(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """Send several commands at once and return the answers. `atomic` commands run as one transaction."""
        pipeline = self._client.pipeline(transaction=atomic)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        try:
            # redis-py puts the whole command into an error's text; a command may have megabytes.
            answers = pipeline.execute(raise_on_error=False)
        except (_errors().RedisError, OSError) as error:
            raise explain(error, self.where) from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise explain(answer, self.where) from answer
        return answers

    def durably(self, *command: Argument) -> Any:
        """Send a command that writes, and return the answer once the write is as durable as the server makes it."""
        if not self.durability.waits:
            return self.ask(*command)
        answer, (on_disk, _) = self.together([command, ("WAITAOF", 1, 0, ON_DISK_WITHIN)])
        if not on_disk:
            hint = "the write may still succeed; check the server's disk and its appendfsync"
            raise StorageError("the write did not reach the server's disk in time", where=self.where, hint=hint)
        return answer

    def close(self) -> None:
        self._client.close()

    def _config(self) -> dict[str, str]:
        """Return the relevant settings of the server. Hosted servers often do not report them."""
        found: dict[Any, Any] = {}
        for pattern in ("append*", "maxmemory*", "no-appendfsync-on-rewrite"):
            found |= self._tried("CONFIG GET", pattern) or {}
        return {_text(name): _text(value) for name, value in found.items()}

    def _durability(self, config: Mapping[str, str]) -> Durability:
        policy, paused = config.get("appendfsync"), config.get("no-appendfsync-on-rewrite") == "yes"
        on_disk = config.get("appendonly") == "yes"
        if on_disk and policy == "always" and not paused:
            return SYNCED
        # WAITAOF needs Redis 7.2 and an append-only file. With appendfsync no it does not return.
        if policy != "no" and self._tried("WAITAOF", 1, 0, 1) is not None:
            return WAITED
        if config and not on_disk:
            return Durability("a restart of the server may lose it (appendonly no)", safe=False)
        if config:
            how = f"appendfsync {policy}{', paused while the file is rewritten' if paused else ''}"
            return Durability(f"a crash of its machine may lose the last seconds ({how})", safe=False)
        return Durability("the server does not report whether it is on disk", safe=False)

    def _tried(self, *command: Argument) -> Any:
        """Return the answer to a command; None if the server does not know it or does not allow it."""
        try:
            return self.ask(*command)
        except StorageError as error:
            if isinstance(error.__cause__, _errors().ResponseError):
                return None
            raise

    def _warn(self) -> None:
        said = (self.where, self.durability.text)
        if not self.durability.safe and said not in _said:
            _said.add(said)
            advice = "set appendonly yes and appendfsync always"
            logger.warning("the online store %s may lose acknowledged data: %s; %s", *said, advice)


def redacted(url: str) -> str:
    """Return a URL without its password and options."""
    return re.sub(r"//([^:/@]*)(:.*)?@", r"//\1:***@", url.partition("?")[0])


def explain(error: Exception, where: str) -> StorageError:
    """Return the error for an exception of redis-py."""
    exceptions = _errors()
    what, hint = "the online store cannot be used", None
    match error:
        case exceptions.AuthenticationError():
            what, hint = "the online store refuses the login", "check the user and the password in `online`"
        case exceptions.NoPermissionError():
            what = "the online store's user lacks a permission"
            hint = "it needs +@read +@write +@scripting +@transaction +@connection on ~mainstem:*"
        case exceptions.OutOfMemoryError():
            what, hint = "the online store is full", "raise its maxmemory; the write was rolled back"
        case exceptions.ReadOnlyError():
            what, hint = "the online store is a replica", "`online` must name the primary"
        case exceptions.BusyLoadingError():
            what, hint = "the online store is still loading its data", "try again in a moment"
        case exceptions.ConnectionError() | exceptions.TimeoutError() | OSError():
            what, hint = "the online store cannot be reached", "check the server and the URL in `online`"
    return StorageError(what, where=where, got=str(error), hint=hint)


def _client(url: str, where: str) -> Redis:
    """Return a client that has not connected yet."""
    try:
        from redis import Redis
        from redis.backoff import ExponentialWithJitterBackoff
        from redis.retry import Retry
    except ImportError:
        raise MissingExtra.named("redis", "redis") from None
    again = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), RETRIES)
    try:
        if not re.fullmatch(r"/?\d*", urlsplit(url).path):
            raise ValueError("the database must be a number")
        client = Redis.from_url(url, socket_connect_timeout=CONNECT_WITHIN, socket_timeout=ANSWER_WITHIN, retry=again)
        client.connection_pool.make_connection()
    except (ValueError, TypeError) as error:
        raise SettingsError(
            "the URL of the online store is invalid",
            where=where,
            got=str(error) if isinstance(error, TypeError) else None,  # other messages may quote a part of the password
            expected="redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS",
            hint="write /, @, : and # in a password as %2F, %40, %3A and %23",
        ) from None
    return client


def _refuse_eviction(config: Mapping[str, str], where: str) -> None:
    policy = config.get("maxmemory-policy", "noeviction")
    if policy.startswith("allkeys") and config.get("maxmemory") != "0":
        raise StorageError(
            "the online store may evict acknowledged data",
            where=where,
            got=f"maxmemory-policy {policy}",
            expected="maxmemory-policy noeviction",
        )


def _errors() -> Any:
    """Return the module of redis-py's exceptions. It is already imported if one was raised."""
    from redis import exceptions

    return exceptions


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""A Redis server as a store sees it: asked with few retries, its errors explained, and what it promises of a write."""

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
"""How often a command is sent again when the connection is lost: about a second in all."""

CONNECT_WITHIN, ANSWER_WITHIN = 2.0, 10.0
"""Seconds, unless the URL says `?socket_connect_timeout=` or `?socket_timeout=`."""

ON_DISK_WITHIN = 8_000
"""Milliseconds that the disk may take where it is waited for."""


@dataclass(frozen=True)
class Durability:
    """What is promised of a commit that was answered; `waits` says that the disk has to be waited for."""

    text: str
    safe: bool = True
    waits: bool = False


SYNCED = Durability("on disk: the server's appendfsync is always")
WAITED = Durability("on disk: every commit waits for the server's fsync (WAITAOF)", waits=True)

_said: set[tuple[str, str]] = set()


class Server:
    """The server at `url`, and what it promises. Its methods raise `StorageError`.

    Raises `SettingsError` for a URL that is none, `MissingExtra` without redis-py.
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
        """The answer to a command."""
        try:
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (_errors().RedisError, OSError) as error:
            raise explain(error, self.where) from error

    def together(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """The answers to several commands, sent at once; `atomic` ones see and make one state."""
        pipeline = self._client.pipeline(transaction=atomic)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        try:
            # redis-py would put the whole command into the text of an error; it may have megabytes.
            answers = pipeline.execute(raise_on_error=False)
        except (_errors().RedisError, OSError) as error:
            raise explain(error, self.where) from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise explain(answer, self.where) from answer
        return answers

    def durably(self, *command: Argument) -> Any:
        """The answer to a command that writes, once it is as safe as the server makes it."""
        if not self.durability.waits:
            return self.ask(*command)
        answer, (on_disk, _) = self.together([command, ("WAITAOF", 1, 0, ON_DISK_WITHIN)])
        if not on_disk:
            hint = "it may have been kept; is the server's disk slow, or its appendfsync no?"
            raise StorageError("the write did not reach the server's disk in time", where=self.where, hint=hint)
        return answer

    def close(self) -> None:
        self._client.close()

    def _config(self) -> dict[str, str]:
        """The settings that matter, as far as the server tells: others' servers often do not."""
        found: dict[Any, Any] = {}
        for pattern in ("append*", "maxmemory*", "no-appendfsync-on-rewrite"):
            found |= self._tried("CONFIG GET", pattern) or {}
        return {_text(name): _text(value) for name, value in found.items()}

    def _durability(self, config: Mapping[str, str]) -> Durability:
        policy, paused = config.get("appendfsync"), config.get("no-appendfsync-on-rewrite") == "yes"
        on_disk = config.get("appendonly") == "yes"
        if on_disk and policy == "always" and not paused:
            return SYNCED
        # Servers know it since 7.2, and refuse it without a file to wait for; with appendfsync no it has no end.
        if policy != "no" and self._tried("WAITAOF", 1, 0, 1) is not None:
            return WAITED
        if config and not on_disk:
            return Durability("a restart of the server may lose it (appendonly no)", safe=False)
        if config:
            how = f"appendfsync {policy}{', paused while the file is rewritten' if paused else ''}"
            return Durability(f"a crash of its machine may lose the last seconds ({how})", safe=False)
        return Durability("the server does not report whether it is on disk", safe=False)

    def _tried(self, *command: Argument) -> Any:
        """The answer to a command, None if the server does not know or not allow it."""
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
            advice = "appendonly yes and appendfsync always keep it"
            logger.warning("what the online store %s acknowledges is at risk: %s; %s", *said, advice)


def redacted(url: str) -> str:
    """A URL without its password and options."""
    return re.sub(r"//([^:/@]*)(:.*)?@", r"//\1:***@", url.partition("?")[0])


def explain(error: Exception, where: str) -> StorageError:
    """The error for what redis-py raised."""
    exceptions = _errors()
    what, hint = "the online store cannot be used", None
    match error:
        case exceptions.AuthenticationError():
            what, hint = "the online store refuses the login", "are user and password in `online` right?"
        case exceptions.NoPermissionError():
            what = "the online store's user is not allowed to do this"
            hint = "it needs +@read +@write +@scripting +@transaction +@connection on ~mainstem:*"
        case exceptions.OutOfMemoryError():
            what, hint = "the online store is full", "raise its maxmemory; nothing of this write was kept"
        case exceptions.ReadOnlyError():
            what, hint = "the online store is a replica", "`online` must name the primary"
        case exceptions.BusyLoadingError():
            what, hint = "the online store is still reading its files", "do it again in a moment"
        case exceptions.ConnectionError() | exceptions.TimeoutError() | OSError():
            what, hint = "the online store cannot be reached", "does the server run, and is `online` right?"
    return StorageError(what, where=where, got=str(error), hint=hint)


def _client(url: str, where: str) -> Redis:
    """A client that has connected to nothing yet."""
    try:
        from redis import Redis
        from redis.backoff import ExponentialWithJitterBackoff
        from redis.retry import Retry
    except ImportError:
        raise MissingExtra.named("redis", "redis") from None
    again = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), RETRIES)
    try:
        if not re.fullmatch(r"/?\d*", urlsplit(url).path):
            raise ValueError("a database is a number")
        client = Redis.from_url(url, socket_connect_timeout=CONNECT_WITHIN, socket_timeout=ANSWER_WITHIN, retry=again)
        client.connection_pool.make_connection()
    except (ValueError, TypeError) as error:
        raise SettingsError(
            "the URL of the online store is invalid",
            where=where,
            got=str(error) if isinstance(error, TypeError) else None,  # others may quote a part of the password
            expected="redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS",
            hint="/, @, : and # in a password are written %2F, %40, %3A and %23",
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
    """redis-py's exceptions: what raises them has imported it."""
    from redis import exceptions

    return exceptions


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

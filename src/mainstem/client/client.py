"""The client: one method for each resource of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, overload
from uuid import uuid4

from mainstem.client.transport import Transport

Row = Mapping[str, Any]


class Client:
    """A client of the server at `url`. It is thread-safe: each thread has a connection of its own.

    Parameters: an API `key`; `timeout` in seconds, for each attempt; `retries`, how often a request is sent again when
    the server cannot be reached, does not answer, or answers 503. Values of rows are JSON values, instants with a time
    zone, dates, and numbers of NumPy.

    Methods raise the errors of `mainstem.errors`: `RequestError` for a request that does not fit, `NotFound` for an
    unknown name, `Forbidden` for a key that does not allow it, `StorageError` for a store that is full or away, and
    `Unavailable` for a server that is not ready or cannot be reached.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0, retries: int = 3) -> None:
        self._transport = Transport(url, key=key, timeout=timeout, retries=retries)

    @overload
    def predict(
        self,
        endpoint: str,
        rows: Row,
        *,
        time: datetime | None = None,
        reasons: int = 0,
        backfill: bool = False,
    ) -> dict[str, Any]: ...
    @overload
    def predict(
        self,
        endpoint: str,
        rows: Sequence[Row],
        *,
        time: datetime | None = None,
        reasons: int = 0,
        backfill: bool = False,
    ) -> list[dict[str, Any]]: ...
    def predict(
        self,
        endpoint: str,
        rows: Row | Sequence[Row],
        *,
        time: datetime | None = None,
        reasons: int = 0,
        backfill: bool = False,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the answer to one row, or a list of answers, each with the `version` that gave it.

        `reasons` asks for the inputs that moved each score most. `backfill` is for endpoints that are asked by events.
        A request that is sent again because its answer was lost is logged twice, unless the endpoint is asked by
        events.
        """
        one = isinstance(rows, Mapping)
        asked = {"rows": [rows] if one else list(rows)}
        options = {"time": time, "reasons": reasons, "backfill": backfill}
        told = self._transport.post(f"/predict/{endpoint}", asked | {k: v for k, v in options.items() if v})
        found = [{"version": told["version"], **each} for each in told["predictions"]]
        return found[0] if one else found

    def events(
        self, stream: str, rows: Row | Sequence[Row], *, backfill: bool = False, key: str | None = None
    ) -> dict[str, Any]:
        """Send events of a stream, and return how many were `accepted`, and the `offset` of the first.

        All are taken, or none. They count once, however often the request is sent again: it has the idempotency `key`,
        by default a new one. With a key of your own, also another process can send it again.
        """
        body = {"events": [rows] if isinstance(rows, Mapping) else list(rows), "backfill": backfill}
        return self._transport.post(f"/events/{stream}", body, {"Idempotency-Key": key or uuid4().hex})

    def outcomes(self, endpoint: str, rows: Row | Sequence[Row]) -> dict[str, Any]:
        """Send outcomes of predictions by their `id`, and return how many were `accepted`."""
        found = [rows] if isinstance(rows, Mapping) else list(rows)
        return self._transport.post(f"/outcomes/{endpoint}", {"outcomes": found})

    def features(
        self, views: str | Sequence[str], rows: Sequence[Row], *, time: datetime | None = None
    ) -> list[dict[str, Any]] | dict[str, list[dict[str, Any]]]:
        """Return the rows of a view as it is online now, or as it was at `time`; of several views, by name."""
        asked: dict[str, Any] = {"rows": list(rows), **({"time": time} if time else {})}
        if isinstance(views, str):
            found: list[dict[str, Any]] = self._transport.post(f"/features/{views}", asked)["rows"]
            return found
        told = self._transport.post("/features", {**asked, "views": list(views)})["views"]
        return {name: each["rows"] for name, each in told.items()}

    def ready(self) -> dict[str, Any]:
        """Return what /ready says: whether every endpoint can answer, as `ready`, the release and the versions.

        Raises `Unavailable` if the server cannot be reached.
        """
        return self._transport.get("/ready", accepted=(200, 503))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

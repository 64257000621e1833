"""How many candidates one request may have scored."""

from __future__ import annotations

from mainstem.errors import RequestError

MOST_TOGETHER = 100_000
"""The most candidates of the requests that are answered together: their features are read and scored at once."""


def check_together(count: int) -> None:
    """Refuse requests whose candidates are too many to score together. Raises `RequestError`."""
    if count > MOST_TOGETHER:
        raise RequestError(
            "the rows have too many candidates together",
            got=f"{count:,} or more",
            expected=f"up to {MOST_TOGETHER:,}",
            hint="send fewer rows in a request",
        )

"""Requests that the server refuses before they reach the project, as errors."""

from __future__ import annotations

from mainstem.errors import Forbidden, RequestError


class Unauthorized(Forbidden):
    """There is no key, or it is not known."""


class WrongMethod(RequestError):
    """The path is answered, but not to this method."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} is not answered to {method}", got=method, expected=allowed, hint="see /docs")
        self.allowed = allowed


class WrongType(RequestError):
    """The body is not JSON, or does not say that it is."""


class TooLarge(RequestError):
    """The body has more bytes or rows than the server takes."""

    @classmethod
    def body(cls, got: str, limit: int) -> TooLarge:
        hint = "send fewer rows at a time, or raise max_bytes under [serve] in mainstem.toml"
        return cls("the body is too large", got=got, expected=f"at most {limit} bytes", hint=hint)

    @classmethod
    def rows(cls, got: int, limit: int, where: str) -> TooLarge:
        hint = "send fewer at a time, or raise max_rows under [serve] in mainstem.toml"
        return cls("there are too many rows", where=where, got=f"{got}", expected=f"at most {limit}", hint=hint)


class PathTooLong(RequestError):
    """The path, with its query, has more bytes than the server takes."""

    @classmethod
    def of(cls, got: int, limit: int) -> PathTooLong:
        hint = "raise max_path under [serve] in mainstem.toml"
        return cls("the path is too long", got=f"{got} bytes", expected=f"at most {limit} bytes", hint=hint)


class HeadersTooLarge(RequestError):
    """The headers have more bytes than the server takes."""

    @classmethod
    def of(cls, got: str, limit: int) -> HeadersTooLarge:
        hint = "raise max_headers under [serve] in mainstem.toml"
        return cls("the headers are too large", got=got, expected=f"at most {limit} bytes", hint=hint)


class TooSlow(RequestError):
    """The request did not arrive in time."""

"""Errors for requests that the server refuses before they reach the project."""

from __future__ import annotations

from mainstem.errors import Forbidden, RequestError


class Unauthorized(Forbidden):
    """The API key is missing or unknown."""


class WrongMethod(RequestError):
    """The path does not support this method."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} does not support {method}", got=method, expected=allowed, hint="see /docs")
        self.allowed = allowed


class WrongType(RequestError):
    """The body is not JSON, or its content type is not."""


class TooLarge(RequestError):
    """The body exceeds the limit of bytes or rows."""

    @classmethod
    def body(cls, got: str, limit: int) -> TooLarge:
        hint = "send fewer rows at a time, or raise max_bytes under [serve] in mainstem.toml"
        return cls("the body is too large", got=got, expected=f"at most {limit} bytes", hint=hint)

    @classmethod
    def rows(cls, got: int, limit: int, where: str) -> TooLarge:
        hint = "send fewer at a time, or raise max_rows under [serve] in mainstem.toml"
        return cls("the request has too many rows", where=where, got=f"{got}", expected=f"at most {limit}", hint=hint)


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

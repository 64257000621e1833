"""Verbs for personal data: pseudonyms and masks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import DefinitionError, SettingsError
from mainstem.nodes.verbs.base import TextVerb, Verb

if TYPE_CHECKING:
    import ibis

SHORTEST = 8
"""Characters of the shortest salt."""


class PrivateVerb(TextVerb, frozen=True):
    """A verb that hides values: rows that are set aside hold the hidden ones too."""

    private: ClassVar[bool] = True


class Hash(PrivateVerb, frozen=True, tag="hash"):
    """Replace texts by the SHA-256 of the salt and the text, in hexadecimal digits: equal texts have equal pseudonyms.
    Null stays null. Needs no statistics.

    `salt` is a secret, `${env:NAME}`, read when the table is built. It is kept nowhere. A new salt takes effect when
    the table is built next.
    """

    salt: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}", self.salt):
            raise DefinitionError(
                "the `salt` of 'hash' is not a secret", got="a text in the project", expected='salt="${env:NAME}"'
            )

    @property
    def confined(self) -> str | None:
        return "its salt is read by a run"

    def ready(self) -> Verb:
        from mainstem.settings import expand

        salt = expand(self.salt)
        if len(salt) < SHORTEST:
            raise SettingsError(
                "the salt of 'hash' is too short", got=self.salt, expected=f"at least {SHORTEST} characters"
            )
        return _Salted(self.column, salt)

    def value(self, column: Any) -> ibis.Value:
        """Return texts of the right type: only a run knows the salt."""
        return column.hexdigest("sha256")

    def describe(self) -> str:
        return f"{self.column} as its salted hash"


class _Salted(PrivateVerb, frozen=True, tag="salted"):
    """A hash with its salt, while a run builds a table."""

    salt: str

    def value(self, column: Any) -> ibis.Value:
        import ibis

        return (ibis.literal(self.salt) + column).hexdigest("sha256")

    def describe(self) -> str:
        return f"{self.column} as its salted hash"


class Mask(PrivateVerb, frozen=True, tag="mask"):
    """Replace every character of a text but the last `keep_last` by `*`. A text of at most `keep_last` characters is
    masked as a whole. Null stays null. Needs no statistics."""

    keep_last: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep_last < 0:
            raise DefinitionError("`keep_last` of 'mask' must not be negative", got=str(self.keep_last))

    def value(self, column: Any) -> ibis.Value:
        import ibis

        hidden = ibis.literal("*").repeat(column.length())
        if not self.keep_last:
            return hidden
        shown = column.right(self.keep_last)
        masked = ibis.literal("*").repeat(column.length() - self.keep_last) + shown
        return (column.length() > self.keep_last).ifelse(masked, hidden)

    def describe(self) -> str:
        return f"{self.column} masked" + (f" but its last {self.keep_last}" if self.keep_last else "")

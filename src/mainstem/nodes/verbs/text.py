"""Verbs for texts: spaces, case, regular expressions."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.verbs.base import Invalid, TextVerb, otherwise
from mainstem.nodes.verbs.values import check_new

if TYPE_CHECKING:
    import ibis

SPACE = r"[\s\u00a0\u2007\u202f]"
"""White space, no-break spaces included, as a class of a regular expression."""


def classes(pattern: str) -> str:
    r"""Return a pattern with `\u00a0` and the like as characters: engines differ in how they write these."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), pattern)


class Trim(TextVerb, frozen=True, tag="trim"):
    """Remove the spaces at both ends of a text. Null stays null. Needs no statistics.

    With `inner`, every run of white space (tabs, line breaks and no-break spaces included) becomes one space first.
    `unicode="NFC"` first composes characters, so that é has one form.
    """

    inner: bool = False
    unicode: Literal["NFC"] | None = None

    def value(self, column: Any) -> ibis.Value:
        text = column if self.unicode is None else _nfc()(column)
        if self.inner:
            text = text.re_replace(classes(SPACE + "+"), " ")
        return text.strip()

    def describe(self) -> str:
        more = [*(["with single spaces"] if self.inner else []), *([f"in {self.unicode}"] if self.unicode else [])]
        return ", ".join([f"{self.column} without spaces at its ends", *more])


class Case(TextVerb, frozen=True, tag="case"):
    """Convert a text to `lower`, `upper` or `title` case. Null stays null. Needs no statistics.

    In `title` case every word, up to the next space, begins with a capital and continues in lower case.
    """

    to: Literal["lower", "upper", "title"]

    def value(self, column: Any) -> ibis.Value:
        if self.to == "title":
            return column.split(" ").map(lambda word: word.capitalize()).join(" ")
        return column.lower() if self.to == "lower" else column.upper()

    def describe(self) -> str:
        return f"{self.column} in {self.to} case"


class PatternVerb(TextVerb, frozen=True):
    """A verb with a regular expression."""

    pattern: str

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            groups = re.compile(self.pattern).groups
        except re.error as problem:
            raise DefinitionError(
                f"the pattern of {self.kind!r} is not a regular expression", got=f"{self.pattern!r}: {problem}"
            ) from None
        if not self.pattern or re.search(r"\(\?(?!:|P<|i\))|\\[1-9]", self.pattern):
            raise DefinitionError(
                f"the pattern of {self.kind!r} is unsupported",
                got=repr(self.pattern),
                expected="a regular expression without look-around and back references",
            )
        self._check_groups(groups)

    def _check_groups(self, groups: int) -> None:
        """Refuse a pattern with the wrong number of groups."""


class Replace(PatternVerb, frozen=True, tag="replace"):
    r"""Replace every match of a regular expression. `by` may refer to groups as `\1`. Null stays null. Needs no
    statistics."""

    by: str = ""

    def _check_groups(self, groups: int) -> None:
        wanted = max((int(number) for number in re.findall(r"\\([0-9])", self.by)), default=0)
        if wanted > groups:
            raise DefinitionError(
                "`by` of 'replace' refers to a missing group", got=repr(self.by), expected=f"at most {groups} groups"
            )

    def value(self, column: Any) -> ibis.Value:
        return column.re_replace(self.pattern, self.by)

    def describe(self) -> str:
        return f"{self.column}: /{self.pattern}/ → {self.by!r}"


class Extract(PatternVerb, frozen=True, tag="extract"):
    """Extract a group of a regular expression; 0 is the whole match. A text without a match is `invalid`. Null stays
    null. Needs no statistics.

    `into` names a new column for the result; by default it replaces the text.
    """

    group: int = 0
    into: str = ""
    invalid: Invalid = "fail"

    def _check_groups(self, groups: int) -> None:
        if not 0 <= self.group <= groups:
            raise DefinitionError(
                "`group` of 'extract' is missing in the pattern", got=str(self.group), expected=f"0 to {groups}"
            )

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.into or self.column,)

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        check_new(self.into, table, place)

    def value(self, column: Any) -> ibis.Value:
        import ibis

        found = column.re_extract(self.pattern, self.group)
        return column.re_search(self.pattern).ifelse(found, ibis.null("string"))

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        return {self.into or self.column: self.value(table[self.column])}

    def describe(self) -> str:
        into = f"{self.into} from {self.column}" if self.into else self.column
        return f"{into}: /{self.pattern}/ group {self.group}, {otherwise(self.invalid)}"


class MustMatch(PatternVerb, frozen=True, tag="must_match"):
    """Require that the whole text matches a regular expression. Another text is `invalid`. Null stays null. Needs no
    statistics."""

    invalid: Invalid = "fail"

    def value(self, column: Any) -> ibis.Value:
        import ibis

        return column.re_search(f"^(?:{self.pattern})$").ifelse(column, ibis.null("string"))

    def describe(self) -> str:
        return f"{self.column} matches /{self.pattern}/, {otherwise(self.invalid)}"


@cache
def _nfc() -> Any:
    """Return DuckDB's NFC normalisation. Ibis has none."""
    import ibis

    @ibis.udf.scalar.builtin(signature=(("string",), "string"), name="nfc_normalize")
    def nfc_normalize(text): ...  # type: ignore[no-untyped-def]

    return nfc_normalize

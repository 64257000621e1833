"""Verbs for numbers: scale, limits, ranges, logarithms, and numbers written as texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.verbs.base import Invalid, NumberVerb, TextVerb, holds, otherwise
from mainstem.nodes.verbs.text import SPACE, classes

if TYPE_CHECKING:
    import ibis


class Rescale(NumberVerb, frozen=True, tag="rescale"):
    """Multiply and shift numbers: `column × factor + offset`. Integers are rounded half away from zero. Null stays
    null. Needs no statistics."""

    factor: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor == 0:
            raise DefinitionError("the factor of a rescale must not be 0", got="0", hint="it would erase the column")

    def value(self, column: Any) -> ibis.Value:
        scaled: ibis.Value = column.cast("float64") * self.factor + self.offset
        return scaled.round() if column.type().is_integer() else scaled

    def describe(self) -> str:
        return f"{self.column} × {self.factor:.6g}" + (f" + {self.offset:g}" if self.offset else "")


class Bounded(NumberVerb, frozen=True):
    """A verb with a lowest and a highest number."""

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is None and self.high is None:
            raise DefinitionError(f"the {self.kind} of {self.column!r} has no bound", expected="low=, high= or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            got = f"low={self.low:g}, high={self.high:g}"
            raise DefinitionError(
                f"the bounds of {self.column!r} are in the wrong order", got=got, expected="low <= high"
            )

    @property
    def _range(self) -> str:
        low, high = ("…" if bound is None else f"{bound:g}" for bound in (self.low, self.high))
        return f"{self.column} within {low} and {high}"


class Clip(Bounded, frozen=True, tag="clip"):
    """Limit numbers to the range from `low` to `high`. Null and NaN stay as they are. Needs no statistics."""

    takes: ClassVar[str] = "a type of numbers that holds the bounds"

    def accepts(self, type: Any) -> bool:
        return all(holds(type, bound) for bound in (self.low, self.high) if bound is not None)

    def value(self, column: Any) -> ibis.Value:
        import ibis

        cases = [(column.isnan(), column)] if column.type().is_floating() else []
        cases += [] if self.low is None else [(column < self.low, ibis.literal(self.low).cast(column.type()))]
        cases += [] if self.high is None else [(column > self.high, ibis.literal(self.high).cast(column.type()))]
        return ibis.cases(*cases, else_=column)

    def describe(self) -> str:
        return self._range


class Within(Bounded, frozen=True, tag="within"):
    """Require numbers from `low` to `high`. A number outside, and NaN, is `invalid`. Null stays null. Needs no
    statistics."""

    invalid: Invalid = "fail"

    def value(self, column: Any) -> ibis.Value:
        import ibis

        inside = [] if self.low is None else [column >= self.low]
        inside += [] if self.high is None else [column <= self.high]
        inside += [~column.isnan()] if column.type().is_floating() else []
        return ibis.and_(*inside).ifelse(column, ibis.null(column.type()))

    def describe(self) -> str:
        return f"{self._range}, {otherwise(self.invalid)}"


class Log(NumberVerb, frozen=True, tag="log"):
    """Replace numbers by the natural logarithm of `column + plus`. A sum of 0 or less, and NaN, is `invalid`. Null
    stays null. The result is a float. Needs no statistics."""

    plus: float = 0.0
    invalid: Invalid = "fail"

    keeps_type: ClassVar[bool] = False

    def value(self, column: Any) -> ibis.Value:
        import ibis

        number = column.cast("float64") + self.plus
        return ((number > 0) & ~number.isnan()).ifelse(number, ibis.null("float64")).ln()

    def describe(self) -> str:
        argument = self.column + (f" + {self.plus:g}" if self.plus else "")
        return f"log({argument}), {otherwise(self.invalid)}"


Locale = Literal["ch", "de", "en", "es", "fr", "in", "it", "nl", "pl", "pt", "se"]

_SIGNS: dict[str, tuple[str, str]] = {
    "en": (".", ","),
    "in": (".", ","),
    "ch": (".", "'’"),
    "de": (",", "."),
    "es": (",", "."),
    "it": (",", "."),
    "nl": (",", "."),
    "pt": (",", "."),
    "fr": (",", " \u00a0\u2007\u202f"),
    "pl": (",", " \u00a0\u2007\u202f"),
    "se": (",", " \u00a0\u2007\u202f"),
}
"""The decimal sign and the thousands separators of each locale."""

_CURRENCY = r"(?:[$€£¥₹₽₺₩₪¢]|[A-Z]{3}|kr|zł|Kč|Ft)?"
_EXPONENT = r"(?:[eE][-+]?[0-9]{1,3})?"


class ParseNumber(TextVerb, frozen=True, tag="parse_number"):
    """Read numbers in the formats of one or several `locales`; the first that fits is used. Any other text is
    `invalid`. Null stays null. Needs no statistics.

    A locale has a decimal sign and a thousands separator, which must be between groups of three digits (in `in`, of two
    or three). A currency sign or code, a percent sign (12 % is 0.12) and a minus sign or accountants' parentheses are
    read too. An empty text is `invalid`: map it first. `to` is `float64` or `int64`; a fraction or a percentage is
    `invalid` for `int64`.
    """

    locales: tuple[Locale, ...] = ("en",)
    to: Literal["float64", "int64"] = "float64"
    invalid: Invalid = "fail"

    keeps_type: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.locales or len(set(self.locales)) < len(self.locales):
            raise DefinitionError("'parse_number' needs distinct locales", got=repr(self.locales))

    def value(self, column: Any) -> ibis.Value:
        import ibis

        read = [self._read(column, locale) for locale in self.locales]
        return ibis.coalesce(*read) if len(read) > 1 else read[0]

    def _read(self, text: Any, locale: str) -> Any:
        """Return the number, or null where the text is not one. A text is scanned by one regular expression, and by a
        second one only if it may be negative."""
        import ibis

        decimal, separators = _SIGNS[locale]
        number = _number(decimal, separators, locale == "in", fraction=self.to == "float64")
        found = text.re_extract(_whole(number, percent=self.to == "float64"), 1)
        plain = found.re_replace(f"[{separators}]", "") if len(separators) > 1 else found.replace(separators, "")
        plain = plain if decimal == "." else plain.replace(decimal, ".")
        size = plain.try_cast(self.to)
        size = text.contains("%").ifelse(size / 100, size) if self.to == "float64" else size
        signed = text.contains("-") | text.contains("−") | text.contains("(")
        number = signed.ifelse(text.re_search(r"^[^0-9]*[-−(]").ifelse(-size, size), size)
        paired = text.contains("(") == text.contains(")")
        return paired.ifelse(number, ibis.null(self.to))

    def describe(self) -> str:
        return f"{self.column} read as {self.to} ({', '.join(self.locales)}), {otherwise(self.invalid)}"


def _number(decimal: str, separators: str, indian: bool, *, fraction: bool) -> str:
    """Return the pattern of digits, separators and decimal sign."""
    point, group = re.escape(decimal), f"[{separators}]"
    grouped = (
        rf"[0-9]{{1,3}}(?:{group}[0-9]{{2}})*{group}[0-9]{{3}}" if indian else rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+"
    )
    digits = rf"(?:{grouped}|[0-9]+)"
    return rf"(?:{digits}(?:{point}[0-9]+)?|{point}[0-9]+){_EXPONENT}" if fraction else digits


def _whole(number: str, *, percent: bool) -> str:
    """Return the pattern of a whole text: signs, currency and percent sign around a number."""
    space = classes(SPACE) + "*"
    sign = rf"(?:[-+−]{space}{_CURRENCY}|{_CURRENCY}{space}[-+−]?)"
    after = rf"{space}%?{space}{_CURRENCY}" if percent else rf"{space}{_CURRENCY}"
    return rf"^{space}(?:\({space}{_CURRENCY}|{sign}){space}({number}){after}{space}\)?{space}$"

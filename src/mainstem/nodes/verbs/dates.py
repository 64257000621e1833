"""Verbs for dates and instants that are written as texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from mainstem.errors import DefinitionError
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.verbs.base import Invalid, TextVerb, otherwise

if TYPE_CHECKING:
    import ibis

Language = Literal["de", "en", "es", "fr", "it", "nl", "pt"]

_MONTHS: dict[str, str] = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_SHORT: dict[str, str] = {
    "en": "jan feb mar apr may jun jul aug sep oct nov dec sept:9",
    "de": "jan feb mär apr mai jun jul aug sep okt nov dez jän:1 mrz:3 sept:9",
    "fr": "janv févr mars avr mai juin juil août sept oct nov déc fév:2",
    "es": "ene feb mar abr may jun jul ago sep oct nov dic sept:9",
    "it": "gen feb mar apr mag giu lug ago set ott nov dic",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "pt": "jan fev mar abr mai jun jul ago set out nov dez",
}

_PARTS: dict[str, str] = {
    "d": r"([0-9]{1,2})",
    "m": r"([0-9]{1,2})",
    "Y": r"([0-9]{4})",
    "y": r"([0-9]{2})",
    "b": r"(\pL+)\.?",
    "B": r"(\pL+)\.?",
    "H": r"([0-9]{1,2})",
    "I": r"([0-9]{1,2})",
    "M": r"([0-9]{2})",
    "S": r"([0-9]{2})",
    "f": r"([0-9]{1,6})",
    "p": r"([AaPp][Mm])",
    "z": r"(Z|[-+][0-9]{2}:?[0-9]{2})",
}
"""The pattern of each part of a format."""

_TIME = frozenset("HIMSfpz")
_PLAIN = frozenset("dmYy")
"""Directives that DuckDB reads by the same rules, many times faster than regular expressions do."""


class ParseDate(TextVerb, frozen=True, tag="parse_date"):
    """Read dates or instants in one or several `formats`; the first that fits is used. Any other text, and a day that
    does not exist, is `invalid`. Null stays null. Needs no statistics.

    Formats have the directives `%d %m %Y %y %b %B %H %I %M %S %f %p %z`. Names of months are in the `language`, in
    full or abbreviated. A year `%y` below 69 is of this century. The result is a date, or an instant if a format has a
    time; an instant without `%z` is of the time `zone`, such as `Europe/Berlin`.
    """

    formats: tuple[str, ...] = ("%Y-%m-%d",)
    language: Language = "en"
    zone: str = "UTC"
    invalid: Invalid = "fail"

    keeps_type: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.formats:
            raise DefinitionError("'parse_date' needs a format", expected='such as "%d.%m.%Y"')
        for format in self.formats:
            _check(format)
        try:
            ZoneInfo(self.zone)
        except Exception:  # zoneinfo raises several kinds for a text that is not a key
            raise DefinitionError(
                f"unknown time zone {self.zone!r}", expected="an IANA name, such as Europe/Berlin"
            ) from None

    @property
    def timed(self) -> bool:
        """Whether the result is an instant."""
        return any(_TIME & set(_directives(format)) for format in self.formats)

    def value(self, column: Any) -> ibis.Value:
        import ibis

        read = [self._read(column, format) for format in self.formats]
        found = ibis.coalesce(*read) if len(read) > 1 else read[0]
        return found.cast(INSTANT) if self.timed else found

    def _read(self, text: Any, format: str) -> Any:
        import ibis

        names = _directives(format)
        pattern = _pattern(format)
        if _PLAIN.issuperset(names) and not self.timed:
            # The engine's %Y takes fewer than four digits, and it takes words such as "epoch".
            read = _strptime()(text.strip(), format)
            return text.re_search(pattern).ifelse(read, ibis.null("timestamp")).cast("date")
        iso = self._iso(text, pattern, {name: number for number, name in enumerate(names, 1)})
        fits = text.re_search(pattern).ifelse(iso, ibis.null("string"))
        if not self.timed:
            return fits.try_cast("date")
        if "z" in names:
            return fits.try_cast(INSTANT)
        local = fits.try_cast("timestamp")
        return local.cast(INSTANT) if self.zone == "UTC" else _in_zone()(self.zone, local)

    def _iso(self, text: Any, pattern: str, place: dict[str, int]) -> Any:
        """Return the text in ISO 8601, by one replacement where no part must be translated."""
        if not {"y", "b", "B", "I", "p"} & place.keys():
            day = rf"\{place['Y']}-\{place['m']}-\{place['d']}"
            clock = rf" \{place['H']}:\{place['M']}" if "H" in place else ""
            clock += rf":\{place['S']}" if "S" in place else ":00" if clock else ""
            clock += rf".\{place['f']}" if "f" in place else ""
            return text.re_replace(pattern, day + clock + (rf"\{place['z']}" if "z" in place else ""))
        return reduce(add, self._pieces(lambda name: text.re_extract(pattern, place[name]), place))

    def _pieces(self, part: Any, place: dict[str, int]) -> Iterator[Any]:
        yield part("Y") if "Y" in place else (part("y") < "69").ifelse("20", "19") + part("y")
        yield "-"
        yield part("m") if "m" in place else self._month(part("b" if "b" in place else "B"))
        yield "-"
        yield part("d")
        if "H" in place or "I" in place:
            yield " "
            yield part("H") if "H" in place else _hour(part("I"), part("p"))
            yield ":"
            yield part("M")
            yield from (":", part("S")) if "S" in place else (":00",)
            yield from (".", part("f")) if "f" in place else ()
            yield from (part("z"),) if "z" in place else ()

    def _month(self, name: Any) -> Any:
        import ibis

        months = {name: f"{number:02d}" for number, name in enumerate(_MONTHS[self.language].split(), 1)}
        for number, short in enumerate(_SHORT[self.language].split(), 1):
            word, _, stated = short.partition(":")
            months[word] = f"{int(stated or number):02d}"
        lower = name.lower()
        return ibis.cases(*((lower == word, month) for word, month in months.items()), else_=ibis.null("string"))

    def describe(self) -> str:
        zone = f", {self.zone}" if self.timed and self.zone != "UTC" else ""
        return f"{self.column} read as {' or '.join(self.formats)}{zone}, {otherwise(self.invalid)}"


def _hour(hour: Any, half: Any) -> Any:
    """Return an hour of 24 for an hour of 12: `12 AM` is 0."""
    import ibis

    number = hour.try_cast("int64")
    later = half.lower() == "pm"
    of_day = (number % 12) + later.ifelse(12, 0)
    return number.between(1, 12).ifelse(of_day.cast("string"), ibis.null("string"))


def _directives(format: str) -> list[str]:
    return re.findall(r"%(.)", format)


def _pattern(format: str) -> str:
    parts = re.split(r"%(.)", format)
    literals, names = parts[::2], parts[1::2]
    escaped = [re.escape(literal).replace(r"\ ", " ") for literal in literals]
    inner = "".join(literal + _PARTS[name] for literal, name in zip(escaped, names, strict=False)) + escaped[-1]
    return rf"^\s*{inner}\s*$"


def _check(format: str) -> None:
    names = _directives(format)
    unknown = [name for name in names if name not in _PARTS]
    expected = " ".join(f"%{name}" for name in _PARTS)
    if unknown or len(set(names)) < len(names):
        raise DefinitionError(f"the format {format!r} is unsupported", expected=f"each once of {expected}")
    year, month = {"Y", "y"} & set(names), {"m", "b", "B"} & set(names)
    hour = {"H", "I"} & set(names)
    clock = set(names) & _TIME
    if "d" not in names or len(year) != 1 or len(month) != 1 or len(hour) > 1:
        raise DefinitionError(f"the format {format!r} is not of a day", expected="one day, one month and one year")
    if clock and (
        not hour or "M" not in names or ("I" in names) != ("p" in names) or ("f" in names and "S" not in names)
    ):
        raise DefinitionError(f"the format {format!r} is not of a time", expected="%H:%M, %I:%M %p or more")


@cache
def _strptime() -> Any:
    """Return DuckDB's function that reads a time in a format, or null. Ibis' own fails for a text that does not fit."""
    import ibis

    @ibis.udf.scalar.builtin(signature=(("string", "string"), "timestamp"), name="try_strptime")
    def try_strptime(text, format): ...  # type: ignore[no-untyped-def]

    return try_strptime


@cache
def _in_zone() -> Any:
    """Return DuckDB's function that reads a local time in a time zone. Ibis has none."""
    import ibis

    @ibis.udf.scalar.builtin(signature=(("string", "timestamp"), INSTANT), name="timezone")
    def timezone(zone, local): ...  # type: ignore[no-untyped-def]

    return timezone

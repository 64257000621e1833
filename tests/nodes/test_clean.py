"""Verbs for messy texts on DuckDB against plain Python oracles: patterns, numbers and dates of several locales."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.verbs import Verb
from mainstem.tables.corrections import transformed

clean = ms.clean


def applied(verb: Verb, values: list[Any], kind: pa.DataType | None = None, column: str = "x") -> list[Any]:
    """A column after the verb, in the order of the rows."""
    rows = pa.table({"n": pa.array(range(len(values)), pa.int64()), "x": pa.array(values, kind or pa.string())})
    found: list[Any] = transformed(ibis.memtable(rows), verb).order_by("n").to_pyarrow()[column].to_pylist()
    return found


def texts(alphabet: str) -> Any:
    return st.lists(st.text(alphabet, max_size=8) | st.none(), min_size=1, max_size=8)


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────


@given(texts("ab \t\n\u00a0\u202f"))
@settings(deadline=None, max_examples=40)
def test_trim_of_inner_space(values: list[Any]) -> None:
    def of(text: str) -> str:
        return re.sub(r"[ \t\n\u00a0\u202f]+", " ", text).strip(" ")

    assert applied(clean.trim("x", inner=True), values) == [None if v is None else of(v) for v in values]


@given(texts("eE\u0301a\u030a c"))
@settings(deadline=None, max_examples=40)
def test_trim_composes_characters(values: list[Any]) -> None:
    wanted = [None if v is None else unicodedata.normalize("NFC", v).strip(" ") for v in values]
    assert applied(clean.trim("x", unicode="NFC"), values) == wanted


@given(texts("aB éZ-"))
@settings(deadline=None, max_examples=40)
def test_title_case(values: list[Any]) -> None:
    wanted = [None if v is None else " ".join(word.capitalize() for word in v.split(" ")) for v in values]
    assert applied(clean.case("x", "title"), values) == wanted


@given(texts("ab1-2"))
@settings(deadline=None, max_examples=40)
def test_regular_expressions(values: list[Any]) -> None:
    def over(of: Any) -> list[Any]:
        return [None if v is None else of(v) for v in values]

    pattern = "([ab])([0-9]+)"
    found = over(lambda text: re.search(pattern, text))
    assert applied(clean.replace("x", pattern, r"\2-\1"), values) == over(lambda t: re.sub(pattern, r"\2-\1", t))
    assert applied(clean.extract("x", pattern, 2), values) == [m and m[2] for m in found]
    assert applied(clean.extract("x", pattern, into="y"), values, column="y") == [m and m[0] for m in found]
    assert applied(clean.must_match("x", "[ab]+|1"), values) == over(
        lambda t: t if re.fullmatch("[ab]+|1", t) else None
    )


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────────

SEPARATORS = {"en": (",", "."), "de": (".", ","), "fr": ("\u202f", ","), "ch": ("'", "."), "pl": (" ", ",")}


@given(
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 3)), min_size=1, max_size=6),
    st.sampled_from(sorted(SEPARATORS)),
    st.booleans(),
    st.sampled_from(["{}", "{} €", "$ {}", "USD{}", " {} kr"]),
)
@settings(deadline=None, max_examples=80)
def test_numbers_of_a_locale(numbers: list[tuple[int, int]], locale: Any, grouped: bool, around: str) -> None:
    group, point = SEPARATORS[locale]
    values, wanted = [], []
    for number, digits in numbers:
        written = f"{number / 10**digits:{',' if grouped else ''}.{digits}f}"
        wanted.append(float(written.replace(",", "")))
        values.append(around.format(written.replace(",", "\0").replace(".", point).replace("\0", group)))
    assert applied(clean.parse_number("x", locale), values) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "locales", "number"),
    [
        ("12,5 %", ("de",), 0.125),
        ("(1,200.50)", ("en",), -1200.5),
        ("−3", ("en",), -3.0),
        ("$-3", ("en",), -3.0),
        ("- € 3", ("en",), -3.0),
        ("1.5e-3", ("en",), 0.0015),
        (".5", ("en",), 0.5),
        ("12,34,567.5", ("in",), 1234567.5),
        ("1.234", ("de", "en"), 1234.0),
        ("1.5", ("de", "en"), 1.5),
        ("1,2,3", ("en", "de"), None),
        ("1,23", ("en",), None),
        ("12 34", ("fr",), None),
        ("(5", ("en",), None),
        ("", ("en",), None),
        ("n/a", ("en",), None),
        ("5 apples", ("en",), None),
    ],
)
def test_a_number_is_read_or_invalid(text: str, locales: Any, number: float | None) -> None:
    (found,) = applied(clean.parse_number("x", locales), [text])
    assert found == (None if number is None else pytest.approx(number))


def test_whole_numbers_are_exact_and_never_rounded() -> None:
    values = ["9,007,199,254,740,993", "-5", "1.5", "5 %", "99999999999999999999"]
    assert applied(clean.parse_number("x", to="int64"), values) == [9007199254740993, -5, None, None, None]
    assert applied(clean.cast("x", "int64"), ["3", " -4 ", "3.5", "x", None]) == [3, -4, None, None, None]
    assert applied(clean.cast("x", "int64"), [3.0, 3.5, float("nan"), None], pa.float64()) == [3, None, None, None]


def test_a_cast_changes_no_value() -> None:
    noon, midnight = datetime(2024, 1, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    cent, day = Decimal("1.24"), date(2024, 1, 1)
    assert applied(clean.cast("x", "decimal(10, 2)"), ["1.239", "1.24", " -3 ", "1.2400", "x", ".5"]) == [
        *(None, cent, Decimal(-3), cent, None, Decimal("0.5")),
    ]
    assert applied(clean.cast("x", "decimal(10, 2)"), [1.239, 1.24, float("nan")], pa.float64()) == [None, cent, None]
    assert applied(clean.cast("x", "decimal(10, 2)"), [Decimal("1.239"), cent], pa.decimal128(9, 3)) == [None, cent]
    assert applied(clean.cast("x", "date"), [noon, midnight, None], pa.timestamp("us", "UTC")) == [None, day, None]
    assert applied(clean.cast("x", "date"), ["2024-01-01 10:30:00", "2024-01-01", "soon"]) == [None, day, None]
    assert applied(clean.cast("x", "float64"), [2**53 + 1, 2**53, 2**63 - 1], pa.int64()) == [None, 2.0**53, None]
    assert applied(clean.cast("x", "boolean"), [5, 1, 0], pa.int64()) == [None, True, False]


@given(st.lists(st.floats(-5, 5) | st.none() | st.just(float("nan")), min_size=1, max_size=8))
@settings(deadline=None, max_examples=40)
def test_ranges_and_logarithms(values: list[Any]) -> None:
    import math

    inside = [v if v is not None and -1 <= v <= 2 else None for v in values]
    assert applied(clean.within("x", -1, 2), values, pa.float64()) == inside
    logs = [None if v is None or not v + 1 > 0 else math.log(v + 1) for v in values]
    found = applied(clean.log("x", plus=1), values, pa.float64())
    assert found == [None if v is None else pytest.approx(v, abs=1e-12) for v in logs]


# ── dates ─────────────────────────────────────────────────────────────────────────────────────────────

FORMATS = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%d %B %Y", "%b %d, %Y", "%Y%m%d"]


@given(st.lists(st.dates(date(1969, 1, 1), date(2068, 12, 31)), min_size=1, max_size=6), st.sampled_from(FORMATS))
@settings(deadline=None, max_examples=60)
def test_dates_of_a_format(days: list[date], format: str) -> None:
    values = [day.strftime(format) for day in days]
    format = format if format != "%Y%m%d" else "%Y-%m-%d"
    values = [v if "-" in v or not v.isdigit() else f"{v[:4]}-{v[4:6]}-{v[6:]}" for v in values]
    assert applied(clean.parse_date("x", format), [*values, None, "soon"]) == [*days, None, None]


@given(
    st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1)), min_size=1, max_size=6),
    st.sampled_from(["%Y-%m-%d %H:%M:%S.%f", "%d/%m/%Y %I:%M %p", "%d.%m.%Y %H:%M"]),
)
@settings(deadline=None, max_examples=60)
def test_times_of_a_format(instants: list[datetime], format: str) -> None:
    values = [instant.strftime(format) for instant in instants]
    wanted = [datetime.strptime(value, format).replace(tzinfo=UTC) for value in values]
    assert applied(clean.parse_date("x", format), values) == wanted


@pytest.mark.parametrize(
    ("text", "settings_", "day"),
    [
        ("3. März 2024", {"formats": "%d. %B %Y", "language": "de"}, date(2024, 3, 3)),
        ("3 févr. 2024", {"formats": "%d %b %Y", "language": "fr"}, date(2024, 2, 3)),
        ("29.02.2024", {"formats": "%d.%m.%Y"}, date(2024, 2, 29)),
        ("29.02.2023", {"formats": "%d.%m.%Y"}, None),
        ("2024-05-06", {"formats": ["%d.%m.%Y", "%Y-%m-%d"]}, date(2024, 5, 6)),
        ("3 Smarch 2024", {"formats": "%d %B %Y"}, None),
        ("1 Sept. 2024", {"formats": "%d %b %Y"}, date(2024, 9, 1)),
    ],
)
def test_a_date_is_read_or_invalid(text: str, settings_: dict[str, Any], day: date | None) -> None:
    assert applied(clean.parse_date("x", **settings_), [text]) == [day]


def test_a_year_of_two_digits_is_not_one_of_four() -> None:
    texts = ["01.02.24", "01.02.2024", "epoch", "infinity"]
    day = date(2024, 2, 1)
    assert applied(clean.parse_date("x", "%d.%m.%Y"), texts) == [None, day, None, None]
    assert applied(clean.parse_date("x", ["%d.%m.%Y", "%d.%m.%y"]), texts) == [day, day, None, None]


def test_a_local_time_is_of_its_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    values = ["01.07.2024 12:00", "01.01.2024 12:00"]
    wanted = [datetime(2024, month, 1, 12, tzinfo=berlin).astimezone(UTC) for month in (7, 1)]
    assert applied(clean.parse_date("x", "%d.%m.%Y %H:%M", zone="Europe/Berlin"), values) == wanted
    offset = applied(clean.parse_date("x", "%Y-%m-%dT%H:%M:%S%z"), ["2024-07-01T12:00:00+02:00"])
    assert offset == [datetime(2024, 7, 1, 10, tzinfo=UTC)]
    assert offset[0].utcoffset() == timedelta(0)


# ── piping ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_verb_is_piped() -> None:
    table = ibis.memtable(pa.table({"carrier": [" UA", None], "x": ["1,5", "y"]}))
    found = table.pipe(clean.trim("carrier")).pipe(clean.parse_number("x", "de", invalid="null")).order_by("carrier")
    assert found.to_pyarrow().to_pylist() == [{"carrier": "UA", "x": 1.5}, {"carrier": None, "x": None}]


@pytest.mark.parametrize("invalid", ["quarantine", "fail"])
def test_a_verb_that_needs_a_run_is_not_piped(invalid: Any) -> None:
    with pytest.raises(DefinitionError, match="'must_match' cannot be piped") as caught:
        ibis.table({"x": "string"}, name="t").pipe(clean.must_match("x", "a", invalid=invalid))
    assert "test_clean.py" in str(caught.value.where) and 'invalid="null"' in str(caught.value.hint)


def test_a_piped_verb_names_a_wrong_column() -> None:
    table = ibis.table({"carrier": "string", "n": "int64"}, name="t")
    with pytest.raises(UnknownName, match="carier") as caught:
        table.pipe(clean.trim("carier"))
    assert "carrier" in str(caught.value.hint) and "test_clean.py" in str(caught.value.where)
    with pytest.raises(SchemaError, match="'trim' cannot change 'n'"):
        table.pipe(clean.trim("n"))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: clean.replace("x", "(a"), "not a regular expression"),
        (lambda: clean.replace("x", "(?=a)"), "unsupported"),
        (lambda: clean.replace("x", "a", r"\1"), "missing group"),
        (lambda: clean.extract("x", "a", 1), "missing in the pattern"),
        (lambda: clean.parse_date("x", "%d.%m"), "not of a day"),
        (lambda: clean.parse_date("x", "%Q"), "unsupported"),
        (lambda: clean.parse_date("x", "%d.%m.%Y %I:%M"), "not of a time"),
        (lambda: clean.parse_date("x", zone="Mars"), "unknown time zone"),
        (lambda: clean.parse_number("x", ()), "distinct locales"),
        (lambda: clean.within("x"), "no bound"),
    ],
)
def test_what_means_nothing_is_refused(make: Any, what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        make()

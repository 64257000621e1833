import pytest

from mainstem.errors import DefinitionError
from mainstem.nodes.durations import microseconds


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1us", 1),
        ("2ms", 2_000),
        ("90s", 90_000_000),
        ("5min", 300_000_000),
        ("1.5h", 5_400_000_000),
        ("1d", 86_400_000_000),
    ],
)
def test_durations(text, micros):
    assert microseconds(text) == micros


@pytest.mark.parametrize("text", ["10000001d", "9" * 400 + "d"])
def test_longer_than_time(text):
    with pytest.raises(DefinitionError, match="is too long"):
        microseconds(text)


@pytest.mark.parametrize("text", ["", "h", "3", "-1h", "3 parsecs", "1h30min", 3600, None])
def test_what_is_none(text):
    with pytest.raises(DefinitionError, match="is not a duration"):
        microseconds(text)


@pytest.mark.parametrize("text", ["1mo", "1M", "3 months", "1Y", "2years"])
def test_months_and_years_have_no_length(text):
    with pytest.raises(DefinitionError, match="is not a duration") as error:
        microseconds(text)
    assert error.value.hint == 'months and years differ in length: "30d" or "365d". "1m" is a minute'
    assert microseconds("1m") == 60_000_000

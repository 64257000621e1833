"""A project of sources and tables: its commands speak of data only, and an error of a model does not stop them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.cli.app import run
from mainstem.errors import UnknownName

SHOP = """
import ibis
import mainstem as ms
from ibis import _

orders = ms.files("orders.csv", key="order_id", time="ordered_at")
customers = ms.files("customers.csv", key="customer_id")


@ms.table(
    key="order_id",
    time="ordered_at",
    clean=[ms.clean.trim("country"), ms.clean.impute("amount", using="mean", fit=(None, "2025-01-07"))],
    checks=[ms.between("amount", 0, 10_000, severity="quarantine"), ms.not_null("country", severity="warn")],
)
def sales(orders, customers):
    "One row per order, with the country of its customer."
    return ms.join(orders, customers, on="customer_id", expect="many_to_one", coverage=0.5)
"""

DAILY = """-- key: day
SELECT CAST(ordered_at AS DATE) AS day, count(*) AS orders, sum(amount) AS revenue FROM sales GROUP BY ALL
"""

MODELS = """

lost = ms.feature_view(sales, key="customer_id", windows="30d", spent=_.amont.sum())
churn = ms.model(examples=sales, prediction_time=_.ordered_at, target=_.amount > 20, features=["country", lost])
leaky = ms.model(examples=sales, prediction_time=_.ordered_at, target=_.amount > 20, features=["cuntry"])
live = ms.endpoint(churn)
"""

TRAINED = """

asked_at = _.ordered_at + ibis.interval(hours=1)
large = ms.model(examples=sales, prediction_time=asked_at, target=_.amount > 20, features=["customer_id"])
"""

WORDS = re.compile(r"leak|point.in.time|\bknown\b|prediction|redis|model", re.I)

COMMANDS = [
    "plan",
    "run",
    "run",
    "plan",
    "status",
    "status --json",
    "show orders",
    "show sales",
    "show sales --json",
    "show daily",
    "show quarantine.sales",
    "describe sales",
    "suggest sales",
    "check",
    "check --files",
    "query select.*.from.orders",
    "rollback --list",
    "gc",
]

Command = Callable[[str], tuple[int, str]]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["only_shop"]\n')
    (tmp_path / "only_shop.py").write_text(SHOP)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "daily.sql").write_text(DAILY)
    (tmp_path / "customers.csv").write_text("customer_id,country\nann, DE\nbob,FR\n")
    (tmp_path / "orders.csv").write_text(
        "order_id,customer_id,ordered_at,amount\n"
        "o1,ann,2025-01-05T09:00:00Z,20.0\no2,bob,2025-01-05T10:30:00Z,\n"
        "o3,ann,2025-01-06T08:15:00Z,-4.0\no4,cy,2025-01-06T11:45:00Z,12.5\n"
    )
    return tmp_path


@pytest.fixture
def command(shop: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def call(line: str) -> tuple[int, str]:
        name, *rest = (word.replace(".", " ") if "select" in word else word for word in line.split())
        code = run([name, *rest, "-C", str(shop)])
        said = capfd.readouterr()
        return code, said.out + said.err

    return call


def test_no_command_speaks_of_models_or_of_when_values_become_known(command: Command) -> None:
    for line in COMMANDS:
        code, said = command(line)
        assert code == 0, said
        assert not WORDS.search(said), f"{line}: {said}"


def test_with_a_model_show_says_when_columns_become_known(shop: Path, command: Command) -> None:
    with (shop / "only_shop.py").open("a") as file:
        file.write(TRAINED)
    assert "known" in command("show sales")[1]


def test_a_query_hides_the_order_of_arrival_unless_it_names_it(command: Command) -> None:
    command("run")
    assert "_seq" not in command("query select.*.from.orders")[1]
    assert command("query select._seq.from.orders")[1].startswith("_seq")
    assert "4" in command("query select.count(*).as.n.from.orders")[1]


def test_errors_of_models_are_told_and_the_data_is_published(shop: Path, command: Command) -> None:
    with (shop / "only_shop.py").open("a") as file:
        file.write(MODELS)
    code, said = command("plan")
    assert code == 1 and "build     sales" in said and "'amont'" in said and "'cuntry'" in said
    code, said = command("run")
    assert code == 1 and "published in" in said and "'amont'" in said
    for line in ("run -s sales", "show sales", "describe sales", "suggest sales", "check", "query select.*.from.daily"):
        assert command(line)[0] == 0
    code, said = command("status")
    assert code == 0 and re.search(r"live +endpoint +failed", said) and re.search(r"sales +table +fresh", said)
    assert command("run -s churn")[0] != 0


def test_a_run_in_python_raises_the_error_of_a_model_after_the_data_is_published(shop: Path) -> None:
    with (shop / "only_shop.py").open("a") as file:
        file.write(MODELS)
    with ms.load(shop) as project:
        with pytest.raises(UnknownName) as error:
            project.run()
        assert error.value.run.status == "published"
        assert project.table("sales").to_pyarrow().num_rows == 3
        with pytest.raises(UnknownName):
            project.show("live")


BLOCKED = """
import sys
for name in ("sklearn", "lightgbm", "onnx", "onnxruntime"):
    sys.modules[name] = None
from mainstem.cli.app import run
for line in ("plan", "run -s sales+", "query|select * from daily", "show sales", "check", "describe sales", "status"):
    words = line.split("|") if "|" in line else line.split()
    assert run([*words, "-C", sys.argv[1]]) == 0, line
"""


def test_a_missing_library_of_models_does_not_stop_the_data(shop: Path) -> None:
    with (shop / "only_shop.py").open("a") as file:
        file.write(TRAINED)
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED.replace("sales+", "+daily"), str(shop)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


def test_objects_are_short_in_a_notebook_and_their_html_is_escaped(shop: Path) -> None:
    hostile = "<script>alert(1)</script>"
    with (shop / "only_shop.py").open("a") as file:
        file.write(
            "\n\n@ms.table\ndef odd(orders):\n"
            f"    return orders.mutate(**{{{hostile!r}: _.amount, 'b': ibis.literal('<img src=x>')}})\n"
        )
    with ms.load(shop) as project:
        record = project.run()
        objects = [project, project.table("sales"), project.table("odd"), record, project.describe("odd")]
        objects += [*project.nodes.values()]
        for each in objects:
            assert len(repr(each)) < 250 and "\n" not in repr(each)
            made = each._repr_html_()
            assert len(made) < 8_000
            assert Tags(made).found <= {"div", "b", "span", "table", "tr", "td", "th"}, made
        assert "sales" in repr(project.table("sales")) and "3 rows" in repr(project.table("sales"))
        assert "&lt;script&gt;" in project.table("odd")._repr_html_()


DAYS = """
import ibis
import mainstem as ms
from ibis import _

weather = ms.files("weather.csv", key="day", time="day")


@ms.table(key="day", time="day", clean=[ms.clean.impute("wind", using="mean", fit=("2025-01-02", "2025-01-04"))])
def windy(weather):
    return weather.select("day", "wind")
"""

ASKED = """

forecast = ms.model(
    examples=windy, prediction_time=_.day.cast("timestamp('UTC', 6)"), target=_.wind > 4, features=["day"]
)
"""


def test_a_date_is_a_time_and_starts_its_day(tmp_path: Path) -> None:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "days"\nmodules = ["only_days"]\n')
    (tmp_path / "only_days.py").write_text(DAYS)
    (tmp_path / "weather.csv").write_text(
        "day,wind\n2025-01-01,50\n2025-01-02,2\n2025-01-03,4\n2025-01-04,90\n2025-01-05,\n"
    )
    with ms.load(tmp_path) as project:
        project.run()
        rows = {row["day"].day: row["wind"] for row in project.table("windy").to_pyarrow().to_pylist()}
        assert rows[5] == 3.0  # the mean of 2 and 4: the window ends when 4 January begins
    (tmp_path / "only_days.py").write_text(DAYS + ASKED)
    with ms.load(tmp_path) as project, pytest.raises(ms.errors.LeakError) as error:
        project.run()
    assert "'day' is a date" in str(error.value)

"""`@ms.table(clean=[…])` in a project: what is published, set aside, refused, shown and known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, RunFailed, SchemaError, UnknownName
from mainstem.nodes.base import Origin
from mainstem.nodes.tables import sql
from mainstem.nodes.verbs import Verb
from mainstem.project.resolve import resolve
from mainstem.tables.sql_files import parse_file

SCHEMA = {"id": "int64", "amount": "string", "day": "string", "carrier": "string"}
ROWS = [
    {"id": 1, "amount": "1.234,50 €", "day": "3.2.2024", "carrier": " ua\t x "},
    {"id": 2, "amount": "-4", "day": "3.3.2024", "carrier": "Aa"},
    {"id": 3, "amount": "1,2,3", "day": "31.02.2024", "carrier": None},
    {"id": 4, "amount": None, "day": None, "carrier": "é"},
]


def declared(*verbs: Verb, **settings: Any) -> dict[str, Any]:
    raw = ms.files("raw.csv", key="id", schema=SCHEMA, known="always")
    return {"raw": raw, "sales": ms.table(lambda raw: raw, name="sales", key="id", clean=verbs, **settings)}


def built(*verbs: Verb, rows: Any = ROWS, **settings: Any) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
    """The step that builds the table, the published rows, and the rows set aside."""
    with ms.testing.project(declared(*verbs, **settings), {"raw": rows}) as project:
        step = project.run().steps[-1]
        published = project.table("sales").to_pyarrow().to_pylist()
        held = "quarantine.sales" in project.release.tables
        aside = project.table("quarantine.sales").to_pyarrow().to_pylist() if held else []
        return step, sorted(published, key=lambda r: r["id"]), sorted(aside, key=lambda r: r["id"])


NUMBER = ms.clean.parse_number("amount", "de", invalid="quarantine")
POSITIVE = ms.clean.within("amount", 0, invalid="quarantine")
DAY = ms.clean.parse_date("day", "%d.%m.%Y", invalid="null")


def test_verbs_are_applied_in_order() -> None:
    step, rows, aside = built(ms.clean.trim("carrier", inner=True), ms.clean.case("carrier", "upper"))
    assert [row["carrier"] for row in rows] == ["UA X", "AA", None, "É"]
    assert (step.rows_in, step.published, step.quarantined, aside) == (4, 4, 0, [])


def test_invalid_rows_are_set_aside_with_their_original_values() -> None:
    step, rows, aside = built(NUMBER, POSITIVE, DAY, ms.clean.case("carrier", "upper"))
    assert (step.rows_in, step.published, step.quarantined) == (4, 2, 2)
    assert rows == [
        {"id": 1, "amount": 1234.5, "day": date(2024, 2, 3), "carrier": " UA\t X "},
        {"id": 4, "amount": None, "day": None, "carrier": "É"},
    ]
    assert [(row["id"], row["amount"], row["day"], row["carrier"], row["_check"]) for row in aside] == [
        (2, "-4", "3.3.2024", "Aa", "within(amount)"),
        (3, "1,2,3", "31.02.2024", None, "parse_number(amount)"),
    ]
    assert aside[0]["_run"].startswith("run-") and isinstance(aside[0]["_at"], datetime)
    told = {(c.label, c.severity): c.violations for c in step.checks if c.violations}
    assert told == {
        ("parse_number(amount)", "quarantine"): 1,
        ("within(amount)", "quarantine"): 1,
        ("parse_date(day)", "warn"): 1,
    }


def test_checks_test_the_cleaned_rows_and_set_aside_beside_the_verbs() -> None:
    step, rows, aside = built(NUMBER, checks=[ms.between("amount", 0, severity="quarantine"), ms.not_null("id")])
    assert (step.rows_in, step.published, step.quarantined) == (4, 2, 2)
    assert [(row["id"], row["amount"], row["_check"]) for row in aside] == [
        (2, "-4.0", "between(amount, 0, None)"),
        (3, "1,2,3", "parse_number(amount)"),
    ]
    assert [row["id"] for row in rows] == [1, 4]


def test_a_row_names_every_verb_that_refuses_it() -> None:
    day = ms.clean.parse_date("day", "%d.%m.%Y", invalid="quarantine")
    *_, aside = built(NUMBER, day)
    assert [(row["id"], row["_check"]) for row in aside] == [(3, "parse_number(amount); parse_date(day)")]


def test_invalid_rows_do_not_win_over_valid_ones() -> None:
    rows = [{"id": 1, "amount": "x", "day": "a", "carrier": "k"}, {"id": 2, "amount": "5", "day": "b", "carrier": "k"}]
    step, published, aside = built(NUMBER, ms.clean.deduplicate("carrier", "day"), POSITIVE, rows=rows)
    assert [row["id"] for row in published] == [2] and [row["id"] for row in aside] == [1]
    assert (step.rows_in, step.published, step.quarantined) == (2, 1, 1)


def test_fail_stops_the_run_with_values_and_counts() -> None:
    rows = [*ROWS, {"id": 5, "amount": "1,2,3", "day": None, "carrier": None}]
    with pytest.raises(RunFailed) as caught:
        built(ms.clean.parse_number("amount", "de"), rows=rows)
    (cause,) = caught.value.causes
    assert "parse_number(amount) finds 2 invalid of 5 values" in cause.what
    assert cause.got == "amount='1,2,3' (2 rows)" and "quarantine" in str(cause.hint)


def test_quarantine_is_emptied_when_the_rows_are_valid_again() -> None:
    with ms.testing.project(declared(NUMBER), {"raw": ROWS}) as project:
        project.run()
        assert project.table("quarantine.sales").to_pyarrow().num_rows == 1
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = pa.schema([("id", pa.int64()), *((c, pa.string()) for c in ("amount", "day", "carrier"))])
        pq.write_table(pa.Table.from_pylist(ROWS[:2], schema=kinds), project.settings.root / "raw.parquet")
        project.run()
        assert project.table("quarantine.sales").to_pyarrow().num_rows == 0


@pytest.mark.parametrize(
    ("verb", "error", "what"),
    [
        (ms.clean.trim("carier"), UnknownName, "unknown column 'carier'"),
        (ms.clean.trim("id"), SchemaError, "'trim' cannot change 'id'"),
        (ms.clean.impute("carrier", "?", indicator="day"), DefinitionError, "cannot add the column 'day'"),
        (ms.clean.cast("day", "timestamp"), SchemaError, "naive timestamp"),
    ],
)
def test_a_verb_that_does_not_fit_is_an_error_when_the_project_loads(verb: Verb, error: Any, what: str) -> None:
    with pytest.raises(error, match=what) as caught:
        resolve(declared(verb), {})
    assert "sales (test_cleaning.py:" in str(caught.value.where)


def test_a_check_may_read_what_a_verb_adds() -> None:
    nodes = declared(ms.clean.impute("carrier", "?", indicator="was_missing"), checks=[ms.not_null("was_missing")])
    schema = resolve(nodes, {})["sales"].schema
    assert schema == {**SCHEMA, "was_missing": "boolean"}


def test_cleaning_changes_the_fingerprint_by_its_meaning() -> None:
    def of(*verbs: Verb) -> str:
        return resolve(declared(*verbs), {})["sales"].fingerprint

    assert of(ms.clean.clip("id", 0, 5)) == of(ms.clean.clip(column="id", high=5.0, low=0))
    kinds = [of(), of(ms.clean.trim("day")), of(ms.clean.trim("day"), ms.clean.trim("carrier"))]
    kinds += [of(ms.clean.trim("carrier"), ms.clean.trim("day")), of(DAY)]
    assert len(set(kinds)) == 5


def test_plan_and_show_list_the_verbs() -> None:
    with ms.testing.project(declared(NUMBER, DAY), {"raw": ROWS}) as project:
        (step,) = [step for step in project.plan().steps if step.node == "sales"]
        assert step.details == (NUMBER.describe(), DAY.describe())
        project.run()
        shown: Any = project.show("sales")
        assert shown.cleaning == [NUMBER.describe(), DAY.describe()]


def test_a_sql_table_is_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "sales.sql"
    file.write_text(
        '-- key: id\n-- clean: trim(carrier, inner=True)\n-- clean: parse_number("amount", ["de"], invalid="null")\n'
        "SELECT * FROM raw\n"
    )
    table = parse_file(file)
    assert table.clean == (
        ms.clean.trim("carrier", inner=True),
        ms.clean.parse_number("amount", ["de"], invalid="null"),  # type: ignore[list-item]
    )
    with ms.testing.project({**declared(), "sales": table}, {"raw": ROWS}) as project:
        project.run()
        found = project.table("sales").to_pyarrow().sort_by("id")
        assert found["amount"].to_pylist() == [1234.5, -4, None, None]
        assert found["carrier"].to_pylist()[0] == "ua x"


@pytest.mark.parametrize("bad", ["trimm(carrier)", "trim(carrier, inn=1)", "trim(", "trim(carrier, inner=open('x'))"])
def test_a_bad_verb_of_a_sql_table_is_refused_at_its_line(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "sales.sql"
    file.write_text(f"-- key: id\n-- clean: {bad}\nSELECT * FROM raw\n")
    with pytest.raises(DefinitionError) as caught:
        parse_file(file)
    assert "sales.sql:2" in str(caught.value.where)


def test_a_naive_declaration_in_sql_keeps_working() -> None:
    node = sql("sales", "SELECT * FROM raw", origin=Origin("sales.sql", 1), clean=[ms.clean.trim("carrier")])
    assert resolve({**declared(), "sales": node}, {})["sales"].schema == SCHEMA


def test_when_cleaned_columns_become_known() -> None:
    """A row-wise verb keeps what is known of its column. The first row by its own time does not look ahead."""
    at = "timestamp('UTC', 6)"
    schema = {"id": "int64", "at": at, "came": at, "x": "float64"}
    raw = ms.files("raw.csv", key="id", time="at", schema=schema, known={"*": "at", "x": "came"})

    def known(*verbs: Verb) -> dict[str, str]:
        table = ms.table(lambda raw: raw, name="t", key="id", time="at", clean=verbs)
        return {name: str(known) for name, known in resolve({"raw": raw, "t": table}, {})["t"].known.items()}

    plain = known()
    assert plain == {"id": "at", "at": "at", "came": "came", "x": "came"}
    assert known(ms.clean.clip("x", 0), ms.clean.impute("x", 0.0, indicator="gone"))["gone"] == "came"
    assert known(ms.clean.deduplicate("id", "at")) == {
        **plain,
        "came": "the latest of at, came",
        "x": "the latest of at, came",
    }
    assert "a deduplication reads other rows" in known(ms.clean.deduplicate("id", "at", "last"))["x"]
    assert "a deduplication reads other rows" in known(ms.clean.deduplicate("id", ["-at"]))["x"]


def test_the_table_computed_for_a_replay_is_cleaned() -> None:
    from mainstem.nodes.findings import Rule
    from mainstem.nodes.verbs import MapValues

    with ms.testing.project(declared(NUMBER, POSITIVE), {"raw": ROWS}) as project:
        project.run()
        rule = Rule("raw", MapValues("amount", (("1,2,3", "7,5"),)), "TRUE", "count(*) > 0")
        context = project.context("read", project.release, project.with_rules([rule]))
        rows = context.graph["sales"].read
        with context.session(["raw"]) as session:
            found = session.fetch(rows.filter(_.id > 1)).sort_by("id").to_pylist()  # type: ignore[union-attr]
        assert [(row["id"], row["amount"]) for row in found] == [(3, 7.5), (4, None)]


def test_times_can_be_made_of_texts() -> None:
    raw = ms.files("raw.csv", key="id", schema={"id": "int64", "at": "string"}, known="always")
    verb = ms.clean.parse_date("at", "%d.%m.%Y %H:%M", zone="Europe/Berlin", invalid="quarantine")
    table = ms.table(lambda raw: raw, name="t", key="id", time="at", clean=[verb])
    rows = [{"id": 1, "at": "1.7.2024 12:00"}, {"id": 2, "at": "?"}]
    with ms.testing.project({"raw": raw, "t": table}, {"raw": rows}) as project:
        project.run()
        assert project.table("t").to_pyarrow()["at"].to_pylist() == [datetime(2024, 7, 1, 10, tzinfo=UTC)]
        assert project.table("quarantine.t").to_pyarrow()["at"].to_pylist() == ["?"]


@pytest.mark.parametrize(
    ("verb", "appended"), [(DAY, True), (ms.clean.deduplicate("id", "day"), False)], ids=["rowwise", "compares rows"]
)
def test_new_rows_are_cleaned_and_appended_if_no_verb_compares_rows(verb: Verb, appended: bool, tmp_path: Path) -> None:
    from mainstem.project.project import Project
    from mainstem.settings import Profile, ProjectSettings, Serve, Settings

    raw = ms.files("*.csv", key="id", schema=SCHEMA, known="always")
    table = ms.table(lambda raw: raw, name="sales", key="id", clean=[NUMBER, verb])
    header = "id,amount,day,carrier\n"
    (tmp_path / "a.csv").write_text(header + '1,"5,5",3.2.2024,a\n2,x,3.2.2024,a\n')
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with Project(settings, {"raw": raw, "sales": table}) as project:
        project.run()
        (tmp_path / "b.csv").write_text(header + "3,7,4.2.2024,b\n4,y,3.2.2024,a\n")
        step = project.run().steps[-1]
        counted = (step.rows_in, step.published, step.quarantined)
        assert counted == ((2, 1, 1) if appended else (4, 2, 2))
        amounts = project.table("sales").to_pyarrow().sort_by("id")["amount"].to_pylist()
        aside = project.table("quarantine.sales").to_pyarrow().sort_by("id")["amount"].to_pylist()
        assert (amounts, aside) == ([5.5, 7.0], ["x", "y"])

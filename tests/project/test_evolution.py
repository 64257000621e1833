"""A source whose schema changes, from the run that meets it to the lock: tables, branches, availability."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, LeakError, MainstemError, NotFound, UnknownName

TOML = '[project]\nname = "shop"\nmodules = ["shop"]\n'
ORDERS = 'orders = ms.files("data/*.csv", key="id", time="at")\n'
BIG = '@ms.table(key="id")\ndef big(orders):\n    return orders.mutate(double=orders.x * 2)\n'
LOCKED = '[orders]\nid = "int64"\nat = "timestamp(\'UTC\', 6)"\nx = "int64"\n'


def write(root: Path, text: str) -> None:
    (root / "mainstem.toml").write_text(TOML)
    (root / "shop.py").write_text(f"import mainstem as ms\n\n{text}")


def put(root: Path, name: str, text: str) -> Path:
    path = root / "data" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write(tmp_path, ORDERS + "\n\n" + BIG)
    put(tmp_path, "1", "id,at,x\n1,2025-01-01T00:00:00Z,1\n2,2025-01-01T00:00:00Z,2\n")
    with ms.load(tmp_path) as project:
        project.run()
    return tmp_path


def widen(shop: Path) -> None:
    put(shop, "2", "id,at,x,note\n3,2025-01-02T00:00:00Z,1.5,hello\n")


def test_tables_of_the_same_run_see_the_new_schema(shop: Path) -> None:
    widen(shop)
    with ms.load(shop) as project:
        record = project.run()
        assert [(step.kind, step.node, step.status) for step in record.steps] == [
            ("collect", "orders", "done"),
            ("build", "big", "done"),
        ]
        assert "x: int64 → float64" in record.steps[0].message
        rows = project.table("big").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["x"], row["note"], row["double"]) for row in rows] == [
            (1, None, 2),
            (2, None, 4),
            (1.5, "hello", 3),
        ]
        assert dict(project.graph["big"].schema or {})["double"] == "float64"
        assert not project.plan()
    with ms.load(shop) as project:
        assert not project.plan(), "another process sees the same schema"


def test_the_lock_stays_until_it_is_written(shop: Path) -> None:
    before = (shop / "schemas.lock").read_text()
    widen(shop)
    with ms.load(shop) as project:
        project.run()
        assert (shop / "schemas.lock").read_text() == before
        assert project.lock() == {"orders": {"x": ("int64", "float64"), "note": (None, "string")}}
        assert project.lock() == {}
        steps = project.plan().steps
        assert [step.reason for step in steps] == ["orders changed (definition)"], "note is known from now on"
    after = (shop / "schemas.lock").read_text()
    assert after.endswith(LOCKED.replace('x = "int64"\n', 'x = "float64"\nnote = "string"\n'))


def test_another_branch_has_its_own_schema(shop: Path) -> None:
    with ms.load(shop) as project:
        project.create_branch("dev")
    widen(shop)
    with ms.load(shop, branch="dev") as dev:
        dev.run()
        assert "note" in (dev.graph["orders"].schema or {})
    with ms.load(shop) as project:
        assert "note" not in (project.graph["orders"].schema or {})
        assert project.table("orders").to_pyarrow()["x"].to_pylist() == [1, 2]


def test_a_rollback_takes_the_schema_back(shop: Path) -> None:
    widen(shop)
    with ms.load(shop) as project:
        project.run()
        project.rollback()
        assert (project.graph["orders"].schema or {})["x"] == "int64"
        assert project.table("big").to_pyarrow()["double"].to_pylist() == [2, 4]


def test_a_table_that_does_not_fit_fails_the_run_at_its_line(shop: Path) -> None:
    write(shop, ORDERS + "\n\n" + BIG.replace("orders.x * 2", "orders.x.sqrt()"))
    with ms.load(shop) as project:
        project.run()
    put(shop, "2", "id,at,x\n3,2025-01-02T00:00:00Z,soon\n")
    with ms.load(shop) as project:
        release = project.release.id
        with pytest.raises(MainstemError) as error:
            project.run()
        assert isinstance(error.value, DefinitionError)
        assert "shop.py" in str(error.value) and "orders" in str(error.value)
        assert project.release.id == release and project.plan()


def test_an_edited_lock_keeps_rows_whose_file_is_gone(shop: Path) -> None:
    (shop / "data" / "1.csv").unlink()
    put(shop, "2", "id,at,x\n3,2025-01-02T00:00:00Z,3\n")
    lock = shop / "schemas.lock"
    lock.write_text(lock.read_text().replace('x = "int64"', 'x = "float64"\nlater = "string"'))
    with ms.load(shop) as project:
        project.run()
        found = project.table("orders").to_pyarrow().sort_by("id")
        assert (found["x"].to_pylist(), found["later"].to_pylist()) == ([1.0, 2.0, 3.0], [None] * 3)
        assert str(found["x"].type) == "double"
        assert not project.plan()


def test_a_wider_line_that_is_corrected_by_hand_counts(shop: Path) -> None:
    widen(shop)
    with ms.load(shop) as project:
        project.run()
    lock = shop / "schemas.lock"
    lock.write_text(lock.read_text().replace('x = "int64"', 'x = "string"'))
    write(shop, ORDERS)
    with ms.load(shop) as project:
        project.run()
        assert project.table("orders").to_pyarrow().sort_by("id")["x"].to_pylist() == ["1.0", "2.0", "1.5"]


MODEL = """

@ms.table(key="id")
def examples(orders):
    return orders.mutate(y=orders.x > 1)

late = ms.model(examples=examples, prediction_time=_.at + ibis.interval(hours=1), target=_.y, features=["id"FEATURE])
"""


@pytest.mark.parametrize("known", ["", ', known="at"', ', known={"*": "at"}'])
def test_when_a_new_column_becomes_known_is_unknown(shop: Path, known: str) -> None:
    head = "import ibis\nfrom ibis import _\n\n"

    def declare(feature: str, known: str) -> None:
        orders = ORDERS.replace(', time="at"', ', time="at"' + known)
        write(shop, head + orders + MODEL.replace("FEATURE", feature))

    declare("", known)
    widen(shop)
    with ms.load(shop) as project:
        project.run("+examples")
        assert project.release.tables["orders"].rows == 3
        told = json.loads(project.release.tables["orders"].properties["mainstem.evolved"])
        assert told == {"x": ["int64", "float64"], "note": [None, "string"]}
        said = {column: str(when) for column, when in project.sound["orders"].known.items()}
        assert "the column is new" in said["note"] and "new" not in said["x"]
    declare(', "note"', known)
    with ms.load(shop) as project, pytest.raises(LeakError, match=r"^'note'"):
        _ = project.graph
    declare(', "note"', ', known={"*": "at", "note": "at"}')
    with ms.load(shop) as project:
        assert "late" in project.graph
    declare(', "note"', known)
    with ms.load(shop) as project:
        project.lock()
    with ms.load(shop) as project:
        assert "late" in project.graph


# ── rows that are set aside ───────────────────────────────────────────────────────────────────────────


def aside(project: ms.Project) -> list[dict[str, str]]:
    return [dict(row) for row in project.show("orders", quarantine=True).sample]


@pytest.mark.parametrize("is_gone", [False, True])
def test_rows_come_in_again_under_another_contract(shop: Path, is_gone: bool) -> None:
    strict = ORDERS.replace(")", ', contract="quarantine")')
    write(shop, strict + "\n\n" + BIG)
    widen(shop)
    put(shop, "3", "id,at,x\n4,2025-01-02T00:00:00Z,4\n5,2025-01-02T00:00:00Z,5.5\n")
    with ms.load(shop) as project:
        project.run()
        assert project.table("orders").to_pyarrow()["id"].to_pylist() == [1, 2, 4]
        assert {(row["reason"], row["from"], json.loads(row["row"])["id"]) for row in aside(project)} == {
            ("unknown column note", "data/2.csv", "3"),
            ("x=5.5 is not int64", "data/3.csv", "5"),
        }
    if is_gone:
        (shop / "data" / "2.csv").unlink()
    write(shop, ORDERS + "\n\n" + BIG)
    with ms.load(shop) as project:
        record = project.reingest("orders")
        assert [step.node for step in record.steps] == ["orders", "big"]
        rows = project.table("big").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["id"], row["double"], row["note"]) for row in rows] == [
            (1, 2, None),
            (2, 4, None),
            (3, 3, "hello"),
            (4, 8, None),
            (5, 11, None),
        ]
        assert project.release.tables["quarantine.orders"].rows == 0
        assert not project.plan()
        with pytest.raises(NotFound, match="no row of 'orders' is set aside"):
            project.reingest("orders")


def test_rows_with_other_columns_come_in_again_with_all_of_them(tmp_path: Path) -> None:
    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    strict = 'orders = ms.database("sqlite:///shop.db", table="o", key="id", cursor="id", contract="quarantine")\n'
    write(tmp_path, strict)
    execute("CREATE TABLE o (id INTEGER, x INTEGER)", "INSERT INTO o VALUES (1, 1)")
    for column, row in (("note", "(2, 2, 'n')"), ("late", "(3, 3, 'n', 'z')")):
        with ms.load(tmp_path) as project:
            project.run()
        execute(f"ALTER TABLE o ADD COLUMN {column} TEXT", f"INSERT INTO o VALUES {row}")
    with ms.load(tmp_path) as project:
        project.run()
        assert len(aside(project)) == 2
    write(tmp_path, strict.replace("quarantine", "evolve"))
    with ms.load(tmp_path) as project:
        project.reingest("orders")
        rows = project.table("orders").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["id"], row["note"], row["late"]) for row in rows] == [
            (1, None, None),
            (2, "n", None),
            (3, "n", "z"),
        ]


def test_texts_come_in_again_as_a_file_is_read(tmp_path: Path) -> None:
    strict = 'orders = ms.files("data/*.csv", key="id", contract="quarantine")\n'
    write(tmp_path, strict)
    put(tmp_path, "1", "id,x,b\n1,20,true\n")
    with ms.load(tmp_path) as project:
        project.run()
    gone = put(tmp_path, "2", "id,x,b,y\n2,007,true,\n3,3,1,\n4,4,false,12.5\n5,5,true,\n")
    with ms.load(tmp_path) as project:
        project.run()
        assert len(aside(project)) == 3
    gone.unlink()
    write(tmp_path, strict.replace('"quarantine"', '{"x": "quarantine", "b": "quarantine"}'))
    with ms.load(tmp_path) as project:
        project.reingest("orders")
        rows = project.table("orders").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["id"], row["x"], row["b"], row["y"]) for row in rows] == [
            (1, 20, True, None),
            (4, 4, False, 12.5),
            (5, 5, True, None),
        ]
        assert {(row["reason"], row["from"]) for row in aside(project)} == {
            ("x=007 is not int64", "data/2.csv"),
            ("b=1 is not boolean", "data/2.csv"),
        }
    write(tmp_path, strict.replace("quarantine", "evolve"))
    with ms.load(tmp_path) as project:
        project.reingest("orders")
        rows = project.table("orders").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["x"], row["b"]) for row in rows] == [
            ("20", "true"),
            ("007", "true"),
            ("3", "1"),
            ("4", "false"),
            ("5", "true"),
        ]


def test_rows_that_a_check_set_aside_come_in_again(shop: Path) -> None:
    checked = ORDERS.replace(")", ', checks=[ms.between("x", 0, 1, severity="quarantine")])')
    write(shop, checked)
    with ms.load(shop) as project:
        project.run()
        assert [(row["reason"], json.loads(row["row"])["id"]) for row in aside(project)] == [("between(x, 0, 1)", 2)]
    (shop / "data" / "1.csv").unlink()
    write(shop, checked.replace("0, 1,", "0, 2,"))
    with ms.load(shop) as project:
        project.reingest("orders")
        assert sorted(project.table("orders").to_pyarrow()["id"].to_pylist()) == [1, 2]


def test_what_can_come_in_again(shop: Path) -> None:
    with ms.load(shop) as project:
        with pytest.raises(UnknownName):
            project.reingest("big")
        with pytest.raises(NotFound):
            project.reingest("orders")
        with pytest.raises(NotFound):
            project.show("orders", quarantine=True)


def test_a_file_is_replaced_after_its_rows_were_merged_with_others(shop: Path) -> None:
    put(shop, "2", "id,at,x\n3,2025-01-02T00:00:00Z,3\n")
    with ms.load(shop) as project:
        project.run()
        assert [(each.before, each.after) for each in project.compact("orders")] == [(2, 1)]
        put(shop, "1", "id,at,x\n1,2025-01-01T00:00:00Z,10\n")
        project.run()
        rows = project.table("orders").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["id"], row["x"]) for row in rows] == [(1, 10), (3, 3)]


@pytest.mark.parametrize("value", ["42", 'o"\\b.*', "ü x"])
def test_an_erasure_finds_a_key_in_rows_that_were_set_aside_as_they_came(tmp_path: Path, value: str) -> None:
    write(tmp_path, 'orders = ms.files("data/*.json", key="id", contract="quarantine")\n')
    (tmp_path / "data").mkdir()

    def put_json(name: str, *rows: dict[str, object]) -> None:
        (tmp_path / "data" / f"{name}.json").write_text("\n".join(map(json.dumps, rows)) + "\n")

    put_json("1", {"id": 1, "who": "a", "x": 1}, {"id": 2, "who": value, "x": 2})
    with ms.load(tmp_path) as project:
        project.run()
    kept = {"id": 5, "who": f"{value}0", "x": "many"}
    put_json("2", {"id": 3, "who": value, "x": "many"}, {"id": 4, "who": value, "x": 4}, kept)
    with ms.load(tmp_path) as project:
        project.run()
        assert project.table("quarantine.orders").to_pyarrow().num_rows == 2
        found = project.erase("who", value)
        assert found.rows == {"main: orders": 2, "main: quarantine.orders": 1}
        (left,) = project.table("quarantine.orders").to_pyarrow().to_pylist()
        assert json.loads(left["_raw"]) == kept
        assert project.table("orders").to_pyarrow()["who"].to_pylist() == ["a"]


ORDERS_AT = 'orders = ms.files("data/*.{format}", key="id"{more})\n'


@pytest.mark.parametrize(
    ("format", "first", "second"),
    [
        ("csv", "id,coupon,x\n1,,5\n", "id,coupon,x\n2,7,6\n3,,7\n"),
        ("json", '{"id": 1, "coupon": null, "x": 5}\n', '{"id": 2, "coupon": 7, "x": 6}\n{"id": 3, "x": 7}\n'),
    ],
)
def test_a_column_without_a_value_gets_the_type_of_its_first_one(
    tmp_path: Path, format: str, first: str, second: str
) -> None:
    write(tmp_path, ORDERS_AT.format(format=format, more=""))
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / f"data/1.{format}").write_text(first)
    with ms.load(tmp_path) as project:
        [step] = project.run().steps
        assert "no value yet in coupon: text until one comes" in step.message
        assert str(project.table("orders").to_pyarrow().schema.field("coupon").type) in ("string", "large_string")
    (tmp_path / f"data/2.{format}").write_text(second)
    with ms.load(tmp_path) as project:
        [step] = project.run().steps
        assert f"coupon: no value → int64, since data/2.{format}" in step.message
        rows = project.table("orders").to_pyarrow().sort_by("id").to_pylist()
        assert [(row["id"], row["coupon"], row["x"]) for row in rows] == [(1, None, 5), (2, 7, 6), (3, None, 7)]
        assert list(rows[0]) == ["id", "coupon", "x"] and not project.plan()


def test_a_column_without_a_value_stays_as_it_is_while_none_comes(tmp_path: Path) -> None:
    write(tmp_path, ORDERS_AT.format(format="csv", more=""))
    put(tmp_path, "1", "id,coupon\n1,\n")
    with ms.load(tmp_path) as project:
        project.run()
        before = project.release.tables["orders"]
    put(tmp_path, "2", "id,coupon\n2,\n")
    with ms.load(tmp_path) as project:
        [step] = project.run().steps
        after = project.release.tables["orders"]
        assert "coupon" not in step.message and after.physical == before.physical and after.rows == 2
    put(tmp_path, "3", "id,coupon\n3,SPRING\n")
    with ms.load(tmp_path) as project:
        [step] = project.run().steps
        assert "coupon" not in step.message and project.release.tables["orders"].physical == before.physical


@pytest.mark.parametrize("more", [', contract="freeze"', ', contract="quarantine"', ', schema={"coupon": "string"}'])
def test_a_column_whose_type_is_fixed_stays_text_without_a_value(tmp_path: Path, more: str) -> None:
    write(tmp_path, ORDERS_AT.format(format="csv", more=more))
    put(tmp_path, "1", "id,coupon\n1,\n")
    with ms.load(tmp_path) as project:
        assert "no value" not in project.run().steps[0].message
    put(tmp_path, "2", "id,coupon\n2,7\n")
    with ms.load(tmp_path) as project:
        project.run()
        assert project.table("orders").to_pyarrow().sort_by("id")["coupon"].to_pylist() == [None, "7"]


def test_a_column_of_a_database_without_a_value_keeps_its_type(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE o (id INTEGER, coupon TEXT)")
        connection.execute("INSERT INTO o VALUES (1, NULL)")
    write(tmp_path, 'orders = ms.database("sqlite:///shop.db", table="o", key="id", cursor="id")\n')
    with ms.load(tmp_path) as project:
        project.run()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("INSERT INTO o VALUES (2, NULL)")
    with ms.load(tmp_path) as project:
        assert "coupon" not in project.run().steps[0].message
        assert project.release.tables["orders"].rows == 2

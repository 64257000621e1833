import ibis
import pytest
from ibis import _

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.tables import table
from mainstem.tables.resolve import resolve_table

INPUTS = {
    "legs": ibis.table(
        {"id": "int64", "origin": "string", "delay": "float64", "at": "timestamp('UTC', 6)", "limit": "int64"},
        name="legs",
    ),
    "airports": ibis.table({"origin": "int64", "name": "string"}, name="airports"),
}


def resolve(function, name="t"):
    node = table(function)
    return resolve_table(node, name, {p: INPUTS[p] for p in node.parameters})


def test_a_table_is_typed_before_any_data():
    found = resolve(lambda legs: legs.group_by("origin").agg(late=(_.delay > 15).mean()))
    assert {name: str(type) for name, type in found.schema().items()} == {"origin": "string", "late": "float64"}


def test_an_error_quotes_the_line_and_names_the_near_column():
    def legs_by_origin(legs):
        busy = legs.filter(_.delay > 0)
        return busy.group_by("orgin").agg(n=_.count())

    with pytest.raises(UnknownName) as error:
        resolve(legs_by_origin)
    assert error.value.what == "unknown column 'orgin'"
    assert error.value.hint == "did you mean 'origin'?"
    assert error.value.where.startswith("test_resolve.py:")
    assert error.value.where.endswith('return busy.group_by("orgin").agg(n=_.count())')


@pytest.mark.parametrize(
    "function",
    [
        lambda legs: legs.orgin,
        lambda legs: legs.filter(_.orgin == "JFK"),
        lambda legs: legs["orgin"],
        lambda legs: legs.select("orgin"),
    ],
)
def test_an_unknown_column_however_it_is_read(function):
    with pytest.raises(UnknownName, match="unknown column 'orgin'"):
        resolve(function)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda legs, airports: legs.join(airports, "origin"), "origin:string and origin:int64 are not comparable"),
        (lambda legs, airports: legs.join(airports, legs.id == airports.origin, rname="{name}"), "origin"),
        (lambda legs: None, "the return statement may be missing"),
        (lambda legs: legs.delay.mean(), "FloatingScalar"),
        (lambda legs: legs.mutate(local=_.at.cast("timestamp")), "timestamp"),
        (lambda legs: legs.filter(_.limit > 3), "'method'"),
    ],
)
def test_what_the_schemas_do_not_allow(function, got):
    with pytest.raises(SchemaError) as error:
        resolve(function)
    assert got in error.value.got
    assert "test_resolve.py:" in error.value.where


def test_an_unknown_method_names_the_near_one():
    with pytest.raises(SchemaError) as error:
        resolve(lambda legs: legs.mutate(x=_.delay.roudn()))
    assert error.value.hint.startswith("did you mean 'round'")


def test_hidden_names_are_not_for_users():
    with pytest.raises(SchemaError, match="'_x' is a reserved name"):
        resolve(lambda legs: legs.mutate(_x=1))


def test_the_users_own_exception():
    with pytest.raises(DefinitionError) as error:
        resolve(lambda legs: legs.limit(1 // 0))
    assert error.value.got.startswith("ZeroDivisionError")

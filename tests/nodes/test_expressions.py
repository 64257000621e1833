import ibis
import pytest
from ibis import _

from mainstem.errors import SchemaError, UnknownName
from mainstem.nodes.expressions import names_in, resolve_boolean, resolve_column

flights = ibis.table({"origin": "string", "delay": "float64", "limit": "int64", "count": "int64"}, name="flights")


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("delay", "float64"),
        (_.delay, "float64"),
        (_.delay > 15, "boolean"),
        (_["limit"] + 1, "int64"),
        (_.count(), "int64"),
        ((_.delay > 15).mean(), "float64"),
        (ibis.ifelse(_.origin == "JFK", _.delay, 0.0), "float64"),
        (lambda t: t.delay * 2, "float64"),
        (flights.delay, "float64"),
        (1, "int8"),
    ],
)
def test_resolves_to_a_value(value, type):
    assert str(resolve_column(flights, value).type()) == type


@pytest.mark.parametrize("value", [_.limit, _.limit > 3, _.limit.mean(), ibis.ifelse(_.delay > 1, _.limit, 0)])
def test_a_column_hidden_by_a_method_is_refused_with_the_way_to_write_it(value):
    with pytest.raises(SchemaError) as error:
        resolve_column(flights, value, "flights.py:3")
    assert error.value.hint == '_["limit"] reads the column'
    assert error.value.where == "flights.py:3"


def test_a_method_that_is_no_column_is_refused():
    with pytest.raises(SchemaError, match=r"_\.schema is a method of Ibis tables"):
        resolve_column(flights, _.schema)


@pytest.mark.parametrize("value", ["dalay", _.dalay, _["dalay"], (_.origin == "JFK") & (_.dalay > 1)])
def test_an_unknown_column_names_the_near_ones(value):
    with pytest.raises(UnknownName) as error:
        resolve_column(flights, value, "flights.py:3")
    assert error.value.what == "unknown column 'dalay'"
    assert error.value.hint == "did you mean 'delay'?"


@pytest.mark.parametrize("value", [_.origin.mean(), _.delay.foo(), _.delay + _.origin, _.head(), lambda t: t])
def test_what_is_no_column_expression_is_refused(value):
    with pytest.raises(SchemaError, match="does not resolve to a column"):
        resolve_column(flights, value)


def test_a_condition_must_be_boolean():
    assert resolve_boolean(flights, _.delay > 1).type().is_boolean()
    with pytest.raises(SchemaError) as error:
        resolve_boolean(flights, _.delay + 1)
    assert error.value.got == "float64"


def test_names_in_an_expression():
    assert names_in(((_.delay > 15) & _["limit"].isnull()).mean(where=_.origin == "JFK")) == {
        "delay",
        "limit",
        "origin",
    }
    assert names_in("delay") == {"delay"}
    assert names_in(_.count()) == frozenset()

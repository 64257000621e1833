"""Order, reach and cycles of the graph; and what a selection text means."""

import pytest

from mainstem.errors import CycleError, UnknownName
from mainstem.graph.dag import Dag
from mainstem.graph.selection import select

DAG = Dag({"flights": (), "planes": (), "legs": ("flights", "planes"), "leg": ("legs",), "late": ("legs", "leg")})


def test_order_puts_inputs_first() -> None:
    place = {name: i for i, name in enumerate(DAG.order)}
    assert all(place[needed] < place[name] for name, inputs in DAG.needs.items() for needed in inputs)


def test_reach() -> None:
    assert DAG.upstream("leg") == {"legs", "flights", "planes"}
    assert DAG.downstream("planes") == {"legs", "leg", "late"}
    assert DAG.users("legs") == ("leg", "late")


def test_a_cycle_is_named() -> None:
    with pytest.raises(CycleError) as error:
        Dag({"a": ("b",), "b": ("c",), "c": ("a",)})
    assert {"a", "b", "c"} <= set(str(error.value.got).replace("→", " ").split())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, set(DAG.order)),
        ("legs", {"legs"}),
        ("+legs", {"legs", "flights", "planes"}),
        ("legs+", {"legs", "leg", "late"}),
        ("+leg+", {"leg", "legs", "flights", "planes", "late"}),
        ("l*", {"legs", "leg", "late"}),
        ("flights, planes", {"flights", "planes"}),
    ],
)
def test_selection(text: str | None, names: set[str]) -> None:
    assert select(DAG, text) == names


def test_an_unknown_selection_suggests() -> None:
    with pytest.raises(UnknownName, match="legz") as error:
        select(DAG, "legz+")
    assert "'legs'" in str(error.value.hint)

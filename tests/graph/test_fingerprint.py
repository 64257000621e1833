"""A fingerprint changes with the meaning and with nothing else."""

import os
import subprocess
import sys
from typing import Any

import ibis
import pytest
from ibis import _

from mainstem.graph import fingerprint
from mainstem.graph.fingerprint import canonical, digest, of_expression, of_function

t = ibis.table({"key": "string", "x": "float64"}, name="t")


def test_formatting_and_names_of_variables_do_not_count() -> None:
    table = t
    assert of_expression(t.filter(_.x > 1).mutate(y=_.x * 2)) == of_expression(
        table.filter(table["x"] > 1).mutate(y=ibis._.x * 2)
    )


def test_what_is_computed_counts() -> None:
    prints = {
        of_expression(e)
        for e in (
            t,
            t.filter(_.x > 1),
            t.filter(_.x > 2),
            t.filter(_.x >= 1),
            t.rename(z="x"),
            t.mutate(y=_.x),
            t.group_by("key").agg(n=_.count()),
            t.group_by("key").agg(n=_.x.count()),
        )
    }
    assert len(prints) == 8


def test_a_self_join_is_the_same_at_every_load() -> None:
    def load() -> str:
        other = t.view()
        return of_expression(t.join(other, t.key == other.key))

    assert load() == load()


def test_the_table_below_many_expressions_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ibis.table({f"c{n}": "float64" for n in range(200)}, name="wide")
    written: list[str] = []
    described = fingerprint.operation_text
    monkeypatch.setattr(
        fingerprint, "operation_text", lambda node, visit: written.append(node) or described(node, visit)
    )
    prints = {of_expression(wide[name] + number) for name in wide.columns for number in (1, 2)}
    assert len(prints) == 400
    assert [type(node).__name__ for node in written].count("UnboundTable") == 1


def test_an_expression_has_one_fingerprint_wherever_its_table_stands() -> None:
    table = ibis.table({"x": "int64"}, name="t")
    assert of_expression(ibis.literal(1) + table.x) == "9b72e2957fd7"
    assert of_expression(table.x + ibis.literal(1)) == "d243f0d2e42d"
    assert of_expression(table) == "de156acd654a"


def test_the_body_of_a_function_counts() -> None:
    def made(body: object) -> str:
        function = ibis.udf.scalar.python(body, name="f", signature=((float,), float))  # type: ignore[call-overload]
        return of_expression(t.mutate(y=function(t.x)))

    assert made(lambda x: x + 1) != made(lambda x: x + 2)


def test_the_hash_of_a_function_has_what_it_reads() -> None:
    def made(code: str) -> str:
        space: dict[str, Any] = {"__name__": "shop"}
        exec(code, space)
        return of_function(space["f"])

    base = "K = 1\ndef g(x):\n    return x + 1\ndef f(x, z=3):\n    return [g(y) + K for y in x]\n"
    assert made(base) == made(f"# a comment\n{base}")
    changes = (("K = 1", "K = 2"), ("x + 1", "x + 2"), ("z=3", "z=4"), ("z=3", "*, z=3"), ("z=3", "*, z=4"))
    assert len({made(base), *(made(base.replace(*each)) for each in changes)}) == 6
    dated = "import datetime\nK = datetime.date(2024, 1, 1)\ndef f(x):\n    return x > K\n"
    assert made(dated) != made(dated.replace("2024", "2025"))


def test_the_hash_of_a_function_has_the_values_of_its_closure() -> None:
    def made(limit: float) -> Any:
        def above(x: Any) -> Any:
            return above if x is None else x > limit

        return above

    assert of_function(made(1.0)) == of_function(made(1.0)) != of_function(made(2.0))


def test_borders_and_order_count_in_digests() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert canonical({"b": 1, "a": (1, 2)}) == canonical({"a": [1, 2], "b": 1})
    assert canonical({None: 1, "a": 2}) == canonical({"a": 2, None: 1})


def test_every_process_finds_the_same() -> None:
    program = """
import ibis
from mainstem.graph.fingerprint import canonical, of_expression, of_function
KINDS = {"a", "b", "c", "d", "e"}
def is_known(kind):
    return kind in KINDS
print(of_function(is_known))
t = ibis.table({name: "string" for name in "abcdefgh"}, name="t")
print(of_expression(t.filter(ibis._.a.isin(KINDS))))
import mainstem as ms
print(canonical(~ibis._.a.isin(KINDS) | ibis._.b.isin(frozenset(KINDS)).fill_null(False)))
print(ms.accepted("a", KINDS).values, ms.by(ibis._.a, KINDS, ibis._.b.count()).levels)
print(of_expression(t.left_join(t.view(), "a").drop("b", "c", "d", "e").filter(ibis._.f.isin(["x", "y", "z"]))))
"""

    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert run("1") == run("2") == run("3")

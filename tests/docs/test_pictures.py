"""The pictures of docs/decisions.md are those that their script draws, of the rule that the page has."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.serving.decisions.policy import Policy, compile_values

DOCS = Path(__file__).parents[2] / "docs"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("cost_curves", DOCS / "pictures" / "cost_curves.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("amount", "top"), [(20.0, 10.0), (400.0, 30.0)])
def test_a_picture_is_what_its_script_draws(amount: float, top: float) -> None:
    assert (DOCS / "pictures" / f"cost-curves-{amount:.0f}.svg").read_text() == script().draw(amount, top)


@pytest.mark.parametrize(("amount", "borders"), [(20.0, (0.13, 0.38)), (400.0, (0.01, 0.26))])
def test_the_curves_are_those_of_the_rule(amount: float, borders: tuple[float, float]) -> None:
    rule = ms.cheapest(
        allow=_.score * (_.amount + 15),
        review=4 + 0.1 * _.score * (_.amount + 15),
        block=(1 - _.score) * (0.03 * _.amount + 8),
    )
    text = " ".join((DOCS / "decisions.md").read_text().split())
    for cost in (
        "_.score * (_.amount + 15)",
        "4 + 0.1 * _.score * (_.amount + 15)",
        "(1 - _.score) * (0.03 * _.amount + 8)",
    ):
        assert cost in text
    policy = Policy(rule, compile_values(rule.options, {"amount": "float64", "score": "float64"}, "here"), "")
    scores = [n / 1_000 for n in range(1_001)]
    values = policy.values({"amount": [amount] * len(scores)}, scores, [{}] * len(scores))
    drawn = script().costs(amount)
    for score, found in zip(scores, values, strict=True):
        assert found == pytest.approx({name: cost(score) for name, cost in drawn.items()})
    chosen = [policy.choose(each, {}).decision for each in values]
    changes = [scores[n] for n in range(1, len(scores)) if chosen[n] != chosen[n - 1]]
    assert [chosen[0], chosen[-1]] == ["allow", "block"] and [round(each, 2) for each in changes] == [*borders]

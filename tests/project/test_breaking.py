"""A version whose requests have other fields is not promoted unless it is told to be."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import RequestError
from mainstem.models.versions.registry import breaking
from mainstem.nodes.records import ModelVersion


def rows():
    draw = random.Random(0)
    found = []
    for n in range(150):
        area, rooms = draw.uniform(20, 200), draw.randint(1, 6)
        found.append({"id": n, "area": area, "rooms": rooms, "city": draw.choice("ab"), "price": area * 3 + rooms})
    return found


def version(request):
    usual = {"model": "m", "number": 1, "run": "", "fingerprint": "", "artifact": "", "task": "regression"}
    return ModelVersion("m-1", **usual, algorithm="linear", metric="rmse", inputs=(), request=request)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": "int64"}, {"a": "int64"}, ()),
        ({"a": "int64", "b": "string"}, {"a": "int64"}, ()),
        ({"a": "int64"}, {"a": "float64"}, ()),
        ({"a": "float64"}, {"a": "int64"}, ("'a' is int64, and was float64",)),
        ({"a": "string"}, {"a": "int64"}, ("'a' is int64, and was string",)),
        ({"a": "int64"}, {"a": "string"}, ("'a' is string, and was int64",)),
        ({}, {"a": "string"}, ("'a' (string) is new",)),
        (None, {"a": "string"}, ()),
        ({"a": "string"}, None, ()),
    ],
)
def test_what_breaks_callers(old, new, found):
    assert breaking(version(old), version(new)) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (("binary", ("false", "true")), ("binary", ("false", "true")), ()),
        (("binary", ("false", "true")), ("regression", ()), ("the answer is of task regression, and was of binary",)),
        (("multiclass", ("a", "b")), ("multiclass", ("a", "b", "c")), ("new in the answer: 'c'",)),
        (("multiclass", ("a", "b", "c")), ("multiclass", ("a",)), ("gone in the answer: 'b', 'c'",)),
        (("quantile", ("q10", "q90")), ("quantile", ("q90", "q10")), ()),
    ],
)
@pytest.mark.parametrize("fields", [{"a": "int64"}, None])
def test_what_changes_the_answer(old, new, found, fields):
    first, second = (replace(version(fields), task=task, classes=classes) for task, classes in (old, new))
    assert breaking(first, second) == found


def nodes(features, target="price", **options):
    homes = ms.files("homes.parquet", key="id", schema={
        "id": "int64", "area": "float64", "rooms": "int64", "city": "string", "price": "float64",
    })  # fmt: skip
    price = ms.model(homes, target=target, features=features, candidates=["linear"], folds=2)
    return {"homes": homes, "price": price, "offers": ms.endpoint(price, **options)}


def changed(project, features, **options):
    """The same project with other features."""
    return ms.Project(project.settings, nodes(features, **options))


def test_a_new_field_is_refused_unless_told():
    with mainstem.testing.project(nodes(["area"]), data={"homes": rows()}) as project:
        project.run()
        project.promote("price")
        with changed(project, ["area", "city"]) as later:
            later.run()
            with pytest.raises(RequestError, match="price-2 would break the callers of 'offers'") as error:
                later.promote("price")
            assert error.value.got == "'city' (string) is new" and "--breaking" in str(error.value.hint)
            assert later.release.champion("offers") == "price-1"
            later.promote("price", breaking=True)
            assert later.release.champion("offers") == "price-2"
        with changed(project, ["city"]) as least:
            least.run()
            least.promote("price")  # a field that is not sent any more breaks no caller
            assert least.release.champion("offers") == "price-3"


def test_another_answer_is_refused_unless_told():
    with mainstem.testing.project(nodes(["area"], "city"), data={"homes": rows()}) as project:
        project.run()
        project.promote("price")
        with changed(project, ["area"], target=(_.rooms > 3).ifelse("c", _.city)) as later:
            later.run()
            with pytest.raises(RequestError, match="price-2 would break the callers of 'offers'") as error:
                later.promote("price")
            assert error.value.got == "new in the answer: 'c'"
            assert error.value.expected == "requests and answers as those of price-1: area; multiclass, a, b"
            later.promote("price", breaking=True)
            assert later.release.champion("offers") == "price-2"
        with changed(project, ["area"], target="rooms") as number:
            number.run()
            with pytest.raises(RequestError) as error:
                number.promote("offers")
            assert error.value.got == "the answer is of task regression, and was of multiclass"
            number.demote("price")
            assert number.release.champion("offers") == "price-1"


def test_the_gate_keeps_the_champion():
    with mainstem.testing.project(nodes(["rooms"], promote="gate"), data={"homes": rows()}) as project:
        project.run()
        with changed(project, ["rooms", "area"], promote="gate") as later:
            record = later.run()
            (said,) = [step.message for step in record.steps if step.kind == "promote"]
            assert said == "price-1 stays: price-2 would break callers: 'area' (float64) is new"


def test_the_gate_judges_a_version_without_an_input_of_the_champion():
    with mainstem.testing.project(nodes(["rooms", "area"], promote="gate"), data={"homes": rows()}) as project:
        project.run()
        with changed(project, ["area"], promote="gate") as later:
            record = later.run()
            (step,) = (each for each in record.steps if each.kind == "promote")
            found = later.compare("price-1", "price-2")
            assert found.gain.rows == 150 and found.verdict == "worse"
            assert step.message.startswith("price-1 stays: rmse ") and "on 150 rows" in step.message

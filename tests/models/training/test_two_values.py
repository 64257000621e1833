"""Targets of two values, and tasks that a target does not have."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import ModelError, RunFailed, SchemaError
from mainstem.models.data.two import check_binary, compared, told_of_two
from mainstem.models.versions import registry


def project_of(target, values, kind, task=None):
    draw = random.Random(1)
    rows = [{"id": f"r{n}", "x": draw.random(), "my y": draw.choice(values)} for n in range(80)]
    source = ms.files("data/rows.csv", key="id", schema={"id": "string", "x": "float64", "my y": kind})
    model = ms.model(source, target=target, task=task, features=["x"], candidates=["linear"], folds=2)
    return ms.testing.project({"source": source, "model": model}, {"source": rows})


@pytest.mark.parametrize(
    ("values", "kind", "task", "said"),
    [
        ([0, 1], "int64", "regression", 'the target has only the values 0 and 1: target=_["my y"] == 1 is binary'),
        (["no", "yes"], "string", "multiclass", 'only the values no and yes: target=_["my y"] == "yes" is binary'),
    ],
)
def test_a_target_of_two_values_is_told_in_the_run_and_on_the_card(values, kind, task, said):
    with project_of("my y", values, kind) as project:
        run = project.run()
        assert registry.versions(project.adapters.state, "model")[-1].task == task
        (step,) = [step for step in run.steps if step.kind == "train"]
        assert said in step.message
        assert said in project.show("model").card["evaluation"]["rows of two kinds"]
    with project_of("my y", values, kind, task) as project:
        run = project.run()
        assert all("only the values" not in step.message for step in run.steps), "the task is declared"


def test_other_targets_are_not_told():
    assert told_of_two(pa.chunked_array([[1, 2, 3]]), "y", "regression") is None
    assert told_of_two(pa.chunked_array([[True, False]]), "y", "binary") is None
    assert told_of_two(pa.chunked_array([[0.5, None, float("nan")]]), "y", "regression") is None
    assert told_of_two(pa.chunked_array([[0.5, 2.0, float("nan")]]), _.y, "regression") == (
        "the target has only the values 0.5 and 2: target=_.y == 2 is binary, with a threshold"
    )


@pytest.mark.parametrize(
    ("values", "kind", "hint"),
    [
        (["yes", "no"], "string", 'target=_["my y"] == "yes"'),
        ([1, 2], "int64", 'target=_["my y"] == 1'),
        ([3.5, 4.5], "float64", 'target=_["my y"] == 4.5'),
    ],
)
def test_a_binary_task_without_truth_values_names_the_column_and_a_value(values, kind, hint):
    with project_of("my y", values, kind, "binary") as project:
        with pytest.raises(RunFailed, match="a binary target must be true or false") as error:
            project.run()
        assert f"compare it with a value: {hint}" in str(error.value)


def test_truth_values_of_every_kind_are_binary():
    for values in ([True, False], [0, 1], [0.0, 1.0], ["true", "false"], ["0", "1"], [1, None]):
        check_binary(pa.chunked_array([values]), "y")
    with pytest.raises(ModelError, match="must be true or false"):
        check_binary(pa.chunked_array([["late", None, "early"]]), _.status)
    assert compared(_.status, '"late"') == 'target=_.status == "late"'


@pytest.mark.parametrize("values", [["a", "b", "c"], ["1", "2", "3"]])
def test_a_regression_of_texts_is_refused_when_the_project_loads(values):
    with project_of("my y", values, "string", "regression") as project:
        with pytest.raises(SchemaError, match="the task 'regression' requires a target that is a number") as error:
            project.run()
        assert error.value.got == "string" and "model" in str(error.value.where)
        assert error.value.hint == '.cast("float64") of the target, if its texts are numbers'


def test_the_plan_names_the_binary_task():
    for kind, values, told in (
        ("int64", [0, 1], 'a comparison such as target=_["my y"] == 1 is binary; task="multiclass" learns classes'),
        ("string", ["a", "b"], "multiclass, from the type of the target (string); a comparison such as"),
    ):
        with project_of("my y", values, kind) as project:
            (step,) = (step for step in project.plan().steps if step.kind == "train")
            assert told in step.details[0]

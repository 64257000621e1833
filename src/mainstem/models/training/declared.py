"""What a model declares about its algorithms, checked when the project loads."""

from __future__ import annotations

from typing import Any

from mainstem.errors import DefinitionError, ModelError, SchemaError, UnknownName
from mainstem.models.algorithms import candidate, check, libraries, usual
from mainstem.models.algorithms.candidates import is_beyond
from mainstem.models.algorithms.onnx_model import OnnxModel
from mainstem.models.algorithms.registry import PLACED
from mainstem.models.data.columns import split_inputs
from mainstem.models.engineering.calendar import check_place
from mainstem.models.search.calibration import OF_TASK
from mainstem.models.training.blueprint import inputs_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.engineering import Engineer, GroupStatistics, Holidays, Selection
from mainstem.nodes.models import CLASSES, Model, Task
from mainstem.nodes.prepare import WORDS, Target

_NAMES = "a number whose values are names: cast it to string in a table"


def check_candidates(model: Model, task: Task) -> None:
    """Refuse a candidate that is unknown, or does not learn what is declared. Raises `DefinitionError`."""
    if model.tune is not None:
        libraries.check("optuna", "optuna", "tune")
    if model.calibrate not in ("auto", "none", *OF_TASK[task]):
        raise DefinitionError(
            f"`calibrate` has no kind {model.calibrate!r} for a {task} model",
            got=f"calibrate={model.calibrate!r}",
            expected=" or ".join(map(repr, OF_TASK[task])) or "a model of classes",
        )
    for each in model.candidates or usual(0, 0, monotone=bool(model.monotone)):
        check_candidate(each, model, task)


def check_candidate(each: Any, model: Model, task: Task) -> None:
    """Refuse a candidate that does not learn what is declared. Raises `DefinitionError`."""
    sampling = model.sampling
    weighing = {"weight": model.weight, "class_weight": sampling.class_weight, "half_life": sampling.half_life}
    weighed = next((name for name, value in weighing.items() if value is not None), None)
    check(each, task, monotone=bool(model.monotone), prepared=bool(model.prepare), weighed=weighed)
    if model.tune is None and (spaces := dict(getattr(each, "within", ()))):
        first, where = next(iter(spaces.items()))
        raise DefinitionError(
            "a candidate has a space, and the model has no search",
            got=f"{first}={where} of {candidate(each).name}",
            expected="tune= of the model, or a value for the setting",
            hint='tune=50 tries 50 settings, tune="10min" as many as there is time for',
        )


def check_onnx(graph: Graph, name: str) -> None:
    """Refuse an ONNX model that cannot be a part of the artifact. Raises `DefinitionError` and `UnknownName`."""
    from mainstem.features.dataset import retrieval_of

    model = graph[name].node
    given = [each for each in (getattr(model, "candidates", None) or ()) if isinstance(each, OnnxModel)]
    if not given:
        return
    inputs = inputs_of(retrieval_of(graph, name).columns, {})
    for each in given:
        try:
            each.bound(*split_inputs(inputs))
        except ModelError as problem:
            at = f"{problem.where}: " if problem.where else ""
            raise DefinitionError(
                problem.what, got=f"{at}{problem.got or ''}", expected=problem.expected, hint=problem.hint
            ) from None


def check_monotone(graph: Graph, name: str) -> None:
    """Refuse a monotone constraint of something that is not a number among the inputs. Raises `DefinitionError`."""
    from mainstem.features.dataset import retrieval_of

    model = graph[name].node
    if not isinstance(model, Model) or not model.monotone:
        return
    inputs = {column.name: column.type for column in inputs_of(retrieval_of(graph, name).columns, {})}
    numbers = [column for column, kind in inputs.items() if kind == "float"]
    for column in model.monotone:
        if column not in inputs:
            raise UnknownName.among("input", column, numbers, of="`monotone`")
        if column not in numbers:
            raise DefinitionError(
                f"`monotone` requires a number, and {column!r} is a text", expected=f"one of {', '.join(numbers)}"
            )


def check_prepare(graph: Graph, name: str) -> None:
    """Refuse a step of something that is not an input, or of an input of another type. Raises `DefinitionError`."""
    from mainstem.features.dataset import retrieval_of

    model = graph[name].node
    if not isinstance(model, Model) or not model.prepare:
        return
    inputs = {column.name: column.type for column in inputs_of(retrieval_of(graph, name).columns, {})}
    for column, step in model.prepare.items():
        if column not in inputs:
            raise UnknownName.among("input", column, inputs, of="`prepare`")
        kind = "text" if inputs[column] == "string" else "number"
        if step.kind != kind:
            fitting = [word for word, each in WORDS.items() if each.kind == kind]
            raise DefinitionError(
                f"`prepare` gives {column!r} a step for a {step.kind}",
                got=f"a {kind}, and {step}",
                expected=", ".join(fitting),
                hint=_NAMES if kind == "number" else None,
            )


def check_engineer(graph: Graph, name: str) -> None:
    """Refuse features of something that is not an input, or of an input of another type. Raises `DefinitionError`."""
    from mainstem.features.dataset import retrieval_of

    model = graph[name].node
    if not isinstance(model, Model) or not model.engineer:
        return
    inputs = {column.name: column.type for column in inputs_of(retrieval_of(graph, name).columns, {})}
    for each in model.engineer:
        _refuse_constrained(each, model)
        if isinstance(each, Holidays):
            wanted = [f"{each.column}__{part}" for part in ("year", "month", "day")]
            if any(part not in inputs for part in wanted):
                dates = sorted({found.rpartition("__")[0] for found in inputs if found.endswith("__year")})
                raise UnknownName.among("date among the inputs", each.column, dates, of="`ms.holidays`")
            check_place(each)
            continue
        texts = each.by if isinstance(each, GroupStatistics) else ()
        numbers = each.of if isinstance(each, GroupStatistics) else each.columns
        for column, kind in [*((text, "string") for text in texts), *((number, "float") for number in numbers)]:
            if column not in inputs:
                raise UnknownName.among("input", column, inputs, of=f"`engineer` ({each.word})")
            if inputs[column] != kind:
                what = "a text" if kind == "string" else "a number"
                raise DefinitionError(
                    f"`engineer` ({each.word}) requires {what}, and {column!r} is not",
                    got=f"{column!r} is {'a number' if kind == 'string' else 'a text'}",
                    expected=", ".join(sorted(found for found, own in inputs.items() if own == kind)) or what,
                    hint=_NAMES if kind == "string" else None,
                )


def _refuse_constrained(each: Engineer, model: Model) -> None:
    """Refuse features of an input with a monotone constraint, which they would not keep. Raises `DefinitionError`."""
    if isinstance(each, Holidays):
        of: tuple[str, ...] = tuple(f"{each.column}__{part}" for part in ("year", "month", "day"))
    else:
        of = each.of if isinstance(each, GroupStatistics) else each.columns
    constrained = [column for column in of if column in model.monotone]
    if constrained:
        raise DefinitionError(
            f"`engineer` ({each.word}) uses {constrained[0]!r}, which has a monotone constraint",
            got=f"monotone={{{constrained[0]!r}: {model.monotone[constrained[0]]}}}",
            expected="features of inputs without a constraint: scores follow what is made of an input, too",
            hint=f"leave {constrained[0]!r} out of `engineer` or of `monotone`",
        )


def check_beyond(graph: Graph, name: str) -> None:
    """Refuse what an algorithm that is fitted by Spark cannot keep. Raises `DefinitionError`."""
    model: Any = graph[name].node
    if not is_spread(model):
        return
    refused = {
        "horizons": bool(model.horizons),
        "window": model.window is not None,
        "resample": model.sampling.resample is not None,
        "max_rows": model.sampling.max_rows is not None,
        "prepare": any(isinstance(each, Target) for each in model.prepare.values()),
    }
    for setting, given in refused.items():
        if given:
            raise DefinitionError(
                f"xgboost@spark learns from all rows, which `{setting}` does not allow",
                got="the mean target of a text, which needs rows out of fold"
                if setting == "prepare"
                else f"`{setting}`",
                expected="a model without it, or a candidate that is fitted in this process",
                hint="class_weight= and weight= are kept" if setting in ("resample", "max_rows") else None,
            )
    examples: Any = graph[graph.name_of(model.examples)].node
    apart = (model.prediction_time, model.groups, model.split, getattr(examples, "key", None) or None)
    if all(each is None for each in apart):
        raise DefinitionError(
            "xgboost@spark cannot tell which rows are in the test",
            got="examples without `prediction_time` and `key`",
            expected="prediction_time=, groups= or split= of the model, or key= of the examples",
        )


def check_effects(model: Model) -> None:
    """Refuse a setting that changes nothing beside the others. Raises `DefinitionError`."""
    if model.tune is None:
        hint = 'tune="10min", or a number of trials, makes a search'
        _refuse_idle("jobs", "`tune`", model.jobs > 1, f"jobs={model.jobs}", hint)
        _refuse_idle("ensemble", "`tune`", not model.ensemble, "ensemble=False", hint)
    if model.prediction_time is None:
        select = model.select
        of_drift = isinstance(select, Selection) and not select.shadows and select.correlated is None
        _refuse_idle(
            "select", "`prediction_time`", of_drift, "ms.select with `drift` alone", "drift tells early from late rows"
        )
    if model.split is not None and model.test is not None:
        raise DefinitionError(
            "`test` does nothing beside `split`",
            got=f"test={model.test!r}",
            expected="one of them: `split` says which rows are tested",
        )
    if model.candidates and all(isinstance(each, OnnxModel) for each in model.candidates):
        _refuse_unlearned(model)


def _refuse_idle(setting: str, without: str, given: bool, got: str, hint: str) -> None:
    if given:
        raise DefinitionError(
            f"`{setting}` does nothing without {without}", got=got, expected=f"{without}, or no `{setting}`", hint=hint
        )


def _refuse_unlearned(model: Model) -> None:
    """Refuse settings of fits: no candidate is fitted."""
    fits = {
        "weight": model.weight is not None,
        **{name: value is not None for name, value in vars(model.sampling).items()},
        "tune": model.tune is not None,
        "engineer": bool(model.engineer),
        "select": isinstance(model.select, Selection),
    }
    for setting in (name for name, given in fits.items() if given):
        raise DefinitionError(
            f"`{setting}` does nothing: no candidate is fitted",
            got="candidates that are fitted ONNX models",
            expected="a candidate that learns from rows",
            hint=f"leave out `{setting}`",
        )


def is_spread(model: Model) -> bool:
    """Return whether a candidate of a model is fitted by the engine."""
    return any(is_beyond(PLACED.get(each) if isinstance(each, str) else each) for each in model.candidates or ())


def check_weight(graph: Graph, name: str) -> None:
    """Refuse a weight that is not a number. Raises `SchemaError`."""
    import ibis

    from mainstem.nodes.expressions import resolve_column

    model: Any = graph[name].node
    if model.weight is None:
        return
    examples = graph[graph.name_of(model.examples)]
    table = ibis.table(dict(examples.schema or {}), name=examples.name)
    kind = resolve_column(table, model.weight, graph[name].where).type()
    if not (kind.is_numeric() or kind.is_boolean()):
        raise SchemaError("`weight` is not a number", got=str(kind), expected="a number of at least 0")


def check_sampling(model: Model, task: Task) -> None:
    """Refuse a sampling that the task or the examples do not have. Raises `DefinitionError`."""
    sampling = model.sampling
    if sampling.of_classes and task not in CLASSES:
        name = "class_weight" if sampling.class_weight else "resample"
        raise DefinitionError(
            f"`{name}` requires classes", got=f"a {task} model", expected=" or ".join(CLASSES), hint="weight= of rows"
        )
    if sampling.class_weight and sampling.resample:
        raise DefinitionError("`class_weight` and `resample` do the same", got="both", expected="one of them")
    if sampling.half_life and model.prediction_time is None:
        raise DefinitionError("`half_life` requires `prediction_time`", got=f"half_life={sampling.half_life!r}")
    wrong = [name for name in sampling.named if task == "binary" and name not in ("true", "false", "0", "1")]
    if wrong:
        raise UnknownName.among("class", wrong[0], ["true", "false"], of="`class_weight`")

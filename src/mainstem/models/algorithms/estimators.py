"""Estimators and pipelines of scikit-learn as candidates. skl2onnx converts them, and the gate checks the result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import DefinitionError, UnknownName
from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, shares, usable
from mainstem.models.algorithms.settings import Choice, Range, Space, Within, labelled
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import ML, ML_OPSET, OPSET, Builder
from mainstem.models.preprocessing import BY_NAME, LINEAR, TREES, Fitted, Numbers, fit
from mainstem.nodes.base import Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import mapping, optional, word
from mainstem.nodes.models import CLASSES, Task

Inputs = Literal["scaled", "codes", "columns"]
"""What an estimator gets: the matrix of linear models, the matrix of trees, or a data frame of the inputs by name."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What an estimator gets of rows: a matrix, or a data frame."""

    names: tuple[str, ...]
    matrix: Fitted | None = None
    bounded: Numbers | None = None

    @classmethod
    def fit(cls, examples: Examples, inputs: Inputs) -> tuple[Prepared, Any]:
        """Return what was fitted, and what the estimator learns from."""
        if inputs == "columns":
            made = cls(examples.names, bounded=Numbers.fit(examples.rows.floats, BY_NAME))
            return made, made.of(examples.rows)
        fitted, matrix = fit(examples, LINEAR if inputs == "scaled" else TREES)
        return cls(examples.names, matrix=fitted), _wide(usable(matrix))

    def of(self, rows: Rows) -> Any:
        """Return float64 numbers, which every scikit-learn estimator takes, or a data frame of them and of texts."""
        if self.matrix is not None:
            return _wide(self.matrix.transform(rows.floats, rows.strings))
        assert self.bounded is not None
        floats = self.bounded.transform(rows.floats).astype(np.float64)
        columns: list[NDArray[Any]] = [*floats.T, *rows.strings.T]
        return libraries.pandas().DataFrame(dict(zip(self.names, columns, strict=True)))

    def onnx(self, builder: Builder, double: bool) -> tuple[list[tuple[str, Any]], dict[str, str]]:
        """Add the same to a graph. Return the types that a converter asks for, and the tensors, by name."""
        types = libraries.skl2onnx(".common.data_types")
        number = types.DoubleTensorType if double else types.FloatTensorType
        to = "DOUBLE" if double else "FLOAT"
        if self.matrix is not None:
            matrix = builder.cast(self.matrix.onnx(builder, builder.floats, builder.strings), to)
            return [("matrix", number([None, len(self.matrix.origins)]))], {"matrix": matrix}
        assert self.bounded is not None
        wide = self.bounded.width
        floats = builder.cast(self.bounded.onnx(builder, builder.floats), to) if wide else ""
        asked, tensors = [], {}
        for place, name in enumerate(self.names):
            block, column = (floats, place) if place < wide else (builder.strings, place - wide)
            asked.append((name, number([None, 1]) if place < wide else types.StringTensorType([None, 1])))
            tensors[name] = builder.add("Gather", block, builder.constant(np.array([column], np.int64)), axis=1)
        return asked, tensors


_LARGEST = float(np.finfo(np.float32).max)


def _wide(matrix: Matrix) -> NDArray[np.float64]:
    return np.clip(matrix.astype(np.float64), -_LARGEST, _LARGEST)


@dataclass(frozen=True, eq=False)
class EstimatorScore:
    """A fitted estimator. `places` are its classes, of `classes`. `double` says in which numbers it is converted."""

    task: Task
    prepared: Prepared
    model: Any
    places: NDArray[np.int64]
    classes: int
    double: bool = True
    settings: Settings = field(default_factory=dict)

    @property
    def conversions(self) -> Sequence[EstimatorScore]:
        """The estimator, to be converted in float64 and in float32: not all converters know both."""
        return self, replace(self, double=False)

    def scores(self, rows: Rows) -> Scores:
        given = self.prepared.of(rows)
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")
            if self.task not in CLASSES:
                return np.asarray(self.model.predict(given), float).reshape(-1)
            found = np.asarray(self.model.predict_proba(given), float)
        if self.task == "binary":
            return found[:, 1]
        full = np.zeros((len(found), self.classes))
        full[:, self.places] = found
        return full

    def onnx(self, builder: Builder) -> str:
        asked, tensors = self.prepared.onnx(builder, self.double)
        options = None if self.task not in CLASSES else {id(self.model): {"zipmap": False}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = libraries.skl2onnx().convert_sklearn(
                self.model, initial_types=asked, options=options, target_opset={"": OPSET, ML: ML_OPSET}
            )
        outputs = builder.include(converted, tensors)
        found = builder.cast(outputs[-1], "DOUBLE")
        if self.task == "multiclass":
            if len(self.places) == self.classes:
                return found
            return builder.add("MatMul", found, builder.constant(np.eye(self.classes)[self.places]))
        if self.task == "binary":
            found = builder.add("Gather", found, builder.constant(np.array([1], np.int64)), axis=1)
        return builder.add("Reshape", found, builder.constant(np.array([-1], np.int64)))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        """Return what the estimator says of the columns of its matrix; zeros if it says nothing."""
        last = self.model[-1] if hasattr(self.model, "steps") else self.model
        found = getattr(last, "feature_importances_", None)
        if found is None and getattr(last, "coef_", None) is not None:
            found = np.abs(np.atleast_2d(np.asarray(last.coef_))).max(0)
        origins = self.prepared.matrix.origins if self.prepared.matrix is not None else ()
        if found is None or len(found) != len(origins):
            return np.zeros(inputs)
        return shares(found, origins, inputs)


@dataclass(frozen=True, eq=False)
class SklearnEstimator:
    """An estimator or pipeline of scikit-learn. Each fit clones it; a `random_state` of None becomes the seed.

    `within` are the spaces of its parameters, and `given` the values that a search gave them."""

    estimator: Any
    inputs: Inputs
    within: Within = field(default=(), metadata={"aside": True})
    given: tuple[tuple[str, Any], ...] = field(default=(), metadata={"aside": True})

    @property
    def label(self) -> str:
        steps = getattr(self.estimator, "steps", None)
        name = type(self.estimator).__name__
        if steps:
            name = f"{name}({', '.join(type(step).__name__ for _, step in steps)})"
        return labelled(name, {}, dict(self.within))

    @property
    def searched(self) -> Space:
        """Where a search looks, by parameter."""
        return dict(self.within)

    @property
    def chosen(self) -> dict[str, Any]:
        """The parameters that a search set."""
        return dict(self.given)

    def value_of(self, parameter: str) -> Any:
        """Return the value of a parameter."""
        return self.estimator.get_params()[parameter]

    def with_settings(self, **values: Any) -> SklearnEstimator:
        """Return the same with other parameters. Raises `DefinitionError` for an unknown one."""
        _parameters(self.estimator, values)
        made = libraries.sklearn("base").clone(self.estimator).set_params(**values)
        return replace(self, estimator=made, given=tuple({**dict(self.given), **values}.items()))

    @property
    def prepares(self) -> bool:
        """Whether declared steps of inputs reach it: columns by name are prepared by the pipeline itself."""
        return self.inputs != "columns"

    def fit(self, examples: Examples, settings: Settings | None = None) -> EstimatorScore:
        model = libraries.sklearn("base").clone(self.estimator)
        loose = [name for name, value in model.get_params().items() if name.endswith("random_state") and value is None]
        model.set_params(**dict.fromkeys(loose, examples.seed))
        prepared, given = Prepared.fit(examples, self.inputs)
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")
            model.fit(given, examples.y, **_weighed(model, examples))
        places = np.asarray(getattr(model, "classes_", [0]), np.int64)
        return EstimatorScore(examples.task, prepared, model, places, examples.classes)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def check(self, task: Task) -> None:
        """Refuse an estimator that does not learn the task. Raises `DefinitionError`."""
        if task == "quantile":
            raise DefinitionError(
                f"{self.label} does not learn the task 'quantile'",
                expected='an algorithm that learns all quantiles, such as "lightgbm"',
            )
        base = libraries.sklearn("base")
        fits = base.is_classifier(self.estimator) if task in CLASSES else base.is_regressor(self.estimator)
        if not fits:
            kind = "classifier" if task in CLASSES else "regressor"
            raise DefinitionError(f"{self.label} does not learn the task {task!r}", expected=f"a {kind}")
        if task in CLASSES and not hasattr(self.estimator, "predict_proba"):
            raise DefinitionError(
                f"{self.label} gives no probabilities",
                got="an estimator without `predict_proba`",
                hint=f"CalibratedClassifierCV({self.label}()), or another classifier",
            )

    def check_weights(self, setting: str) -> None:
        """Refuse an estimator whose last step takes no weights of rows, which a setting of the model gives. Raises
        `DefinitionError`."""
        *_, (_, last) = _path(self.estimator)
        takes = libraries.sklearn("utils.validation").has_fit_parameter(last, "sample_weight")
        # An estimator that hands on what its `fit` gets, such as a search, may have parts that take weights.
        more = any(each.kind is each.VAR_KEYWORD for each in signature(last.fit).parameters.values())
        if not takes and not more:
            raise DefinitionError(
                f"{self.label} takes no weights of rows",
                got=f"`{setting}`, and a `fit` of {type(last).__name__} without `sample_weight`",
                expected="candidates that learn from weighted rows",
                hint='resample="under" or "over" needs no weights'
                if setting == "class_weight"
                else f"leave out `{setting}`",
            )


def _path(estimator: Any) -> list[tuple[str, Any]]:
    """Return an estimator, and the last steps of pipelines inside each other with their names."""
    found = [("", estimator)]
    while steps := getattr(found[-1][1], "steps", None):
        found.append(steps[-1])
    return found


def _weighed(model: Any, examples: Examples) -> Mapping[str, Any]:
    """Return the weights as the estimator takes them: a pipeline hands them to its last step."""
    if examples.weights is None:
        return {}
    return {"__".join([*(name for name, _ in _path(model)[1:]), "sample_weight"]): examples.weights}


def is_estimator(value: Any) -> bool:
    """Return whether a value has the methods of scikit-learn's estimators."""
    return all(callable(getattr(type(value), part, None)) for part in ("fit", "predict", "get_params", "set_params"))


def _estimator(name: str, value: Any) -> None:
    """Require an estimator, not its class."""
    if isinstance(value, type) or not is_estimator(value):
        named = value.__name__ if isinstance(value, type) else type(value).__name__
        raise refused(
            f"`{name}` is not an estimator of scikit-learn",
            value,
            "an object with fit, predict, get_params and set_params",
            f"an object, not its class: {named}()" if isinstance(value, type) else None,
        )


def _parameters(estimator: Any, given: Mapping[str, Any]) -> None:
    """Require parameters that the estimator has."""
    own = estimator.get_params()
    for each in given:
        if each not in own:
            raise UnknownName.among("parameter", each, own, of=type(estimator).__name__, where=str(Origin.of_caller()))


def _space(name: str, value: Any) -> None:
    """Require a mapping from parameters to spaces."""
    mapping(_where, at_least=1)(name, value)


def _where(name: str, value: Any) -> None:
    if not isinstance(value, (Range, Choice)):
        raise refused(f"`{name}` has an invalid value", value, "a space, such as ms.among(0.1, 10.0, log=True)")


@declared(estimator=_estimator, inputs=optional(word(*get_args(Inputs))), space=optional(_space))
def sklearn(
    estimator: Any, *, inputs: Inputs | None = None, space: Mapping[str, Any] | None = None
) -> SklearnEstimator:
    """Return an estimator or a pipeline of scikit-learn as a candidate.

    `inputs` is what it gets: `"scaled"`, the matrix of linear models (standardised numbers, indicators of texts, no
    missing value); `"codes"`, the matrix of trees (numbers as they are, codes of texts); or `"columns"`, a data frame
    of the model's inputs by name. By default a pipeline that begins with a `ColumnTransformer` gets columns, else the
    estimator gets the scaled matrix.

    `space` is where a search looks for parameters: `space={"alpha": ms.among(0.01, 100.0, log=True)}`, of a step of a
    pipeline `"ridge__alpha"`. A parameter starts with the value of `estimator` if that is in its space, else in the
    middle or with the first value. Raises `DefinitionError` for another object and `UnknownName` for a parameter that
    the estimator has not.
    """
    made = SklearnEstimator(estimator, inputs or _usual(estimator))
    if space is None:
        return made
    _parameters(estimator, space)
    within = {each: _fitting(where, made.value_of(each)) for each, where in space.items()}
    moved = {each: where.middle for each, where in within.items() if not where.has(made.value_of(each))}
    return replace(made.with_settings(**moved) if moved else made, within=tuple(within.items()))


def _fitting(where: Range | Choice, value: Any) -> Range | Choice:
    """Return a space of numbers with fractions, for a parameter whose value is such a number."""
    return replace(where, whole=False) if isinstance(where, Range) and isinstance(value, float) else where


def _usual(estimator: Any) -> Inputs:
    steps = getattr(estimator, "steps", None)
    first = steps[0][1] if steps else estimator
    return "columns" if type(first).__name__ == "ColumnTransformer" else "scaled"

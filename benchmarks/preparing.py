"""How much the steps of inputs change the error of a linear model, on public tables of installed packages.

    python benchmarks/preparing.py

Each line is a table and a target: the error with one-hot texts and standardised numbers, and how much it changes with
the mean target of the texts in which one-hot loses a fifth of the rows; with that of the texts of more than 50 levels;
and with logarithms of skewed positive numbers. Errors are means of four folds: log loss, of values the root mean
squared error. Needs the extra `demo` and plotly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from _flights import data
from mainstem.models.algorithms import algorithm
from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.models.metrics import METRICS
from mainstem.models.preprocessing.levels import fewest, frequent
from mainstem.models.preprocessing.plan import LOST
from mainstem.nodes.models import Task
from mainstem.nodes.prepare import Number, OneHot, Target

FOLDS = 4


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"{'table':<24}{'rows':>7}{'error':>12}{'losing texts':>14}{'large texts':>13}{'logarithms':>12}")
    for name, examples in tables():
        plain = error(examples, *_steps(examples))
        losing, large, skewed = (
            f"{error(examples, *steps) / plain - 1:+.2%}" if steps != _steps(examples) else "–"
            for steps in (
                _steps(examples, texts=[_loses(column) for column in examples.rows.strings.T]),
                _steps(examples, texts=[len(set(column)) > 50 for column in examples.rows.strings.T]),
                _steps(examples, numbers=[_is_skewed(column) for column in examples.rows.floats.T]),
            )
        )
        print(f"{name:<24}{len(examples):>7,}{plain:>12.4f}{losing:>14}{large:>13}{skewed:>12}", flush=True)


def error(examples: Examples, *steps: Any) -> float:
    fold = np.random.default_rng(0).permutation(len(examples)) % FOLDS
    found = []
    for each in range(FOLDS):
        past, future = (examples.take(np.flatnonzero(rows)) for rows in (fold != each, fold == each))
        scores = algorithm("linear").fit(replace(past, prepare=steps)).scores(future.rows)
        found.append(METRICS["rmse" if examples.task == "regression" else "log_loss"].value(future.y, scores))
    return float(np.mean(found))


def _steps(examples: Examples, texts: Sequence[bool] = (), numbers: Sequence[bool] = ()) -> tuple[Any, ...]:
    floats, strings = examples.rows.floats.shape[1], examples.rows.strings.shape[1]
    logs = [Number(scale="log") if skewed else None for skewed in numbers or [False] * floats]
    return (*logs, *(Target() if chosen else OneHot() for chosen in texts or [False] * strings))


def _loses(column: Any) -> bool:
    return bool(frequent(column, 100, fewest(len(column))).counts[-1] > LOST * len(column))


def _is_skewed(column: Any) -> bool:
    known = column[np.isfinite(column)].astype(float)
    if len(np.unique(known)) < 10 or known.min() < 0:
        return False
    return bool(((known - known.mean()) ** 3).mean() > 2 * known.std() ** 3)


def tables() -> Iterator[tuple[str, Examples]]:
    import pandas as pd
    from sklearn import datasets

    tasks: dict[str, Task] = {"breast_cancer": "binary", "wine": "multiclass", "iris": "multiclass"}
    for name, task in {**tasks, "diabetes": "regression"}.items():
        found = getattr(datasets, f"load_{name}")(as_frame=True)
        yield name, _examples(found.data, found.target, task)  # type: ignore[arg-type]
    of_plotly = {name: pd.read_csv(_home("plotly", f"package_data/datasets/{name}.csv.gz")) for name in PLOTLY}
    for name, target in PLOTLY.items():
        table = of_plotly[name]
        yield name, _examples(table.drop(columns=[target, *DROPPED.get(name, ())]), table[target], "regression")
    gapminder = of_plotly["gapminder"].drop(columns=["iso_alpha", "iso_num"])
    yield "gapminder, gdp", _examples(gapminder.drop(columns="gdpPercap"), gapminder.gdpPercap, "regression")
    planes = pd.read_csv(data() / "planes.csv").drop(columns=["tailnum", "speed"])
    yield "planes", _examples(planes.drop(columns="seats"), planes.seats, "regression")
    weather = pd.read_csv(data() / "weather.csv").sample(6_000, random_state=0)
    unseen = weather.drop(columns=["visib", "time_hour", "year", "day"])
    yield "weather, low visibility", _examples(unseen, weather.visib < 9, "binary")
    flights = pd.read_csv(data() / "flights.csv.zip").dropna(subset=["arr_delay"])
    flights = flights.sample(20_000, random_state=0)
    inputs = flights[["month", "day", "sched_dep_time", "distance", "carrier", "origin", "dest", "tailnum"]]
    yield "flights, late", _examples(inputs, flights.arr_delay > 15, "binary")
    yield "flights, delay", _examples(inputs, flights.arr_delay.clip(-60, 180), "regression")
    yield "3,000 flights, late", _examples(inputs[:3_000], flights.arr_delay[:3_000] > 15, "binary")
    few = inputs[:6_000]
    yield "flights, origin", _examples(few.drop(columns="origin"), pd.factorize(few.origin)[0], "multiclass")


PLOTLY = {"gapminder": "lifeExp", "tips": "tip", "carshare": "car_hours"}
DROPPED = {"gapminder": ("iso_alpha", "iso_num")}


def _home(package: str, file: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is not installed")
    return Path(found.origin).parent / file


def _examples(table: Any, target: Any, task: Task) -> Examples:
    numbers = table.select_dtypes(["number", "bool"])
    texts = table.drop(columns=numbers.columns).astype(object)
    strings = texts.where(texts.notna(), NULL).to_numpy(object)
    y = np.asarray(target, float if task == "regression" else np.int64)
    classes = int(y.max()) + 1 if task == "multiclass" else 0
    return Examples(Rows(numbers.to_numpy(np.float32), strings), y, np.zeros(len(y), np.int64), task, classes)


if __name__ == "__main__":
    main()

"""The peers' side of `quality.py`, run by a Python that has them. Nothing of Mainstem is imported here.

Reads a split as JSON from standard input and a method's name from the command line. Writes JSON: the seconds that
fitting took, and for each held-out row a number, or the probability of each class.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
CORES = len(os.sched_getaffinity(0))


def frames(order: dict[str, Any]) -> tuple[pd.DataFrame, Any, pd.DataFrame]:
    train = pd.DataFrame(order["train"])[[*order["inputs"], order["target"]]]
    test = pd.DataFrame(order["test"])[order["inputs"]]
    for name in order["inputs"]:
        if name in order["numbers"]:
            train[name], test[name] = (pd.to_numeric(f[name], errors="coerce") for f in (train, test))
        else:
            levels = sorted(train[name].unique())
            train[name], test[name] = (pd.Categorical(f[name], categories=levels) for f in (train, test))
    y = pd.to_numeric(train.pop(order["target"])) if order["task"] == "regression" else train.pop(order["target"])
    return train, y, test


def linear(x: pd.DataFrame, order: dict[str, Any]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name in x.columns if name in order["numbers"]]
    levels = [name for name in x.columns if name not in order["numbers"]]
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("levels", OneHotEncoder(handle_unknown="ignore"), levels),
        ]
    )
    regression = order["task"] == "regression"
    return make_pipeline(prepared, RidgeCV(np.logspace(-3, 3, 13)) if regression else LogisticRegression(max_iter=2000))


def lightgbm(x: pd.DataFrame, order: dict[str, Any]) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if order["task"] == "regression" else LGBMClassifier
    return kind(random_state=order["seed"], verbosity=-1, n_jobs=CORES)


def hist(x: pd.DataFrame, order: dict[str, Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if order["task"] == "regression" else HistGradientBoostingClassifier
    few = [name for name in x.columns if name not in order["numbers"] and len(x[name].cat.categories) < 255]
    return kind(random_state=order["seed"], categorical_features=few)


def catboost(x: pd.DataFrame, order: dict[str, Any]) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if order["task"] == "regression" else CatBoostClassifier
    levels = [name for name in x.columns if name not in order["numbers"]]
    return kind(
        random_seed=order["seed"], verbose=False, cat_features=levels, allow_writing_files=False, thread_count=CORES
    )


def flaml(x: pd.DataFrame, y: Any, order: dict[str, Any]) -> Any:
    from flaml import AutoML

    searched = AutoML()
    more: dict[str, Any] = {}
    if order["kind"] == "time":
        more = {"split_type": "time"}
    elif order["kind"] == "grouped":
        more = {"split_type": "group", "groups": np.array(order["groups"])}
    searched.fit(
        X_train=x,
        y_train=y,
        task="regression" if order["task"] == "regression" else "classification",
        metric="rmse" if order["task"] == "regression" else "log_loss",
        time_budget=order["seconds"],
        seed=order["seed"],
        n_jobs=CORES,
        verbose=0,
        **more,
    )
    return searched


METHODS = {"linear": linear, "LightGBM": lightgbm, "HistGB": hist, "CatBoost": catboost}


def main() -> None:
    method, order = sys.argv[1], json.load(sys.stdin)
    x, y, test = frames(order)
    if method == "CatBoost":  # takes texts, and none that is missing
        for name in x.columns:
            if name not in order["numbers"]:
                x[name], test[name] = (f[name].astype(object).fillna("?").astype(str) for f in (x, test))
    began = time.perf_counter()
    if method == "FLAML":
        fitted = flaml(x, y, order)
    elif method == "HistGB":
        wide = [n for n in x.columns if n not in order["numbers"] and len(x[n].cat.categories) >= 255]
        for name in wide:
            x[name], test[name] = x[name].cat.codes, test[name].cat.codes
        fitted = hist(x.assign(), {**order, "numbers": [*order["numbers"], *wide]}).fit(x, y)
    else:
        fitted = METHODS[method](x, order).fit(x, y)
    seconds = time.perf_counter() - began
    if order["task"] == "regression":
        answers: list[Any] = [float(value) for value in np.ravel(fitted.predict(test))]
    else:
        classes = [str(each) for each in fitted.classes_]
        answers = [dict(zip(classes, map(float, row), strict=True)) for row in fitted.predict_proba(test)]
    json.dump({"seconds": seconds, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()

"""Predictions for rows of texts: what a CSV file or a command line holds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError, SourceError, meant_as
from mainstem.nodes.explanations import figure
from mainstem.nodes.files import Files
from mainstem.sources.texts import EXACT, MISSING

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.project.branch import Branch
    from mainstem.serving.answer import Answer
    from mainstem.serving.predictor import Predictor

BLANK = frozenset({""})
"""The texts of a missing value that is a text itself, unless its source says more."""


def predict_texts(branch: Branch, name: str, rows: Sequence[Mapping[str, str]], reasons: int = 0) -> pa.Table:
    """Return the rows with their scores. Columns that the model does not read are kept.

    A row is repeated for each horizon of a forecast.
    """
    import pyarrow as pa

    from mainstem.project.live import predictor_of
    from mainstem.serving.forecasting import ForecastingPredictor, rows_of

    predictor = predictor_of(branch, name)
    asked = _typed(branch, predictor, rows)
    if isinstance(predictor, ForecastingPredictor):
        forecasts = predictor.forecasts(asked)
        rows, answers = rows_of(rows, forecasts), [item for each in forecasts for item in each.items]
    else:
        answers = predictor.predict(asked)
    found: dict[str, list[Any]] = {field: [row.get(field) for row in rows] for field in rows[0]} if rows else {}
    made: dict[str, list[Any]] = {"score": [answer.score for answer in answers]}
    for column in ("label", "decision"):
        values = [getattr(answer, column) for answer in answers]
        if any(value is not None for value in values):
            made[column] = values
    for label in answers[0].scores if answers else ():
        made[f"score {label}"] = [answer.scores[label] for answer in answers]
    if reasons:
        made["reasons"] = _reasons(branch, predictor, answers, reasons)
    return pa.table({**found, **{_free(name, found): values for name, values in made.items()}})


def _reasons(branch: Branch, predictor: Predictor, answers: Sequence[Answer], count: int) -> list[str]:
    """Return the reasons of each answer as one text, the largest first."""
    from mainstem.project.background import background
    from mainstem.serving.reasons import Reasons, counted

    giving = Reasons(lambda version: background(branch, version))
    told = giving.now({predictor.version.id: predictor}, answers, counted(count, "predict"))
    return ["; ".join(f"{r['input']}={r['value']} {figure(r['effect'], '+')}" for r in told[a.id]) for a in answers]


def typed(branch: Branch, name: str, rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return rows of texts as the request to an endpoint or a model."""
    from mainstem.project.live import predictor_of

    return _typed(branch, predictor_of(branch, name), rows)


def _typed(branch: Branch, predictor: Predictor, rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    types = {**predictor.schema.optional, **predictor.schema.columns}
    _known(predictor.schema.columns, rows)
    nulls = {field: _nulls(branch, predictor.retrieval.examples, field, kind) for field, kind in types.items()}
    return [
        {field: _value(row[field], kind, nulls[field]) for field, kind in types.items() if field in row} for row in rows
    ]


def read_rows(branch: Branch, name: str, file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that is written as the source of the model's examples is.

    Raises `RequestError` for a file that cannot be read, and for a row with other columns than the header.
    """
    from mainstem.project.live import predictor_of
    from mainstem.sources.formats.header import header

    options = dict(_options(branch, predictor_of(branch, name).retrieval.examples))
    try:
        names = header(file, options)
        with file.open(newline="", encoding=str(options.get("encoding", "utf-8-sig"))) as stream:
            quote, delimiter = str(options.get("quote", '"')), str(options.get("delim", options.get("sep", ",")))
            lines = [row for row in csv.reader(stream, delimiter=delimiter, quotechar=quote) if row]
    except (OSError, UnicodeDecodeError, SourceError) as problem:
        hint = "save the file in UTF-8" if isinstance(problem, UnicodeDecodeError) else None
        raise RequestError("the rows cannot be read", where=str(file), got=str(problem), hint=hint) from problem
    for number, row in enumerate(lines[1:], start=1):
        if len(row) != len(names):
            raise RequestError(
                "a row has other columns than the header",
                where=f"{file}, row {number}",
                got=f"{len(row)} columns",
                expected=f"{len(names)}, divided by {delimiter!r}",
            )
    return [dict(zip(names, row, strict=True)) for row in lines[1:]]


def _free(name: str, taken: Collection[str]) -> str:
    """Return a column's name that the rows do not have."""
    names = chain((name, f"predicted {name}"), (f"predicted {name} {n}" for n in count(2)))
    return next(each for each in names if each not in taken)


def _nulls(branch: Branch, examples: str, field: str, kind: str) -> Collection[str]:
    """Return the texts of a field that mean a missing value, as its source reads them."""
    options = _options(branch, examples)
    said = options.get("nullstr", ())
    own = {*([said] if isinstance(said, str) else said), *options.get("nulls", {}).get(field, ())}
    return BLANK | own


def _options(branch: Branch, examples: str) -> Mapping[str, Any]:
    """Return how the files are written that the examples come from, also through tables of one input."""
    definition = branch.graph[examples]
    while not isinstance(definition.node, Files):
        if len(definition.inputs) != 1:
            return {}
        definition = branch.graph[definition.inputs[0]]
    return definition.node.options


def _known(fields: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> None:
    """Refuse rows in which no column has the name of a field that the model reads. Raises `RequestError`."""
    for row in rows[:1]:
        for field in fields:
            if field not in row:
                unknown = [name for name in row if name not in fields]
                raise RequestError(
                    f"the field {field!r} is missing",
                    got=", ".join(row) or "no field",
                    expected=", ".join(f"{name} ({kind})" for name, kind in fields.items()),
                    hint=meant_as(field, unknown) or f"{field}= says that it is not known",
                )


def _value(text: str | None, kind: str, nulls: Collection[str]) -> Any:
    """Return the value of a text; the text itself if it is not of the type, so that the request is refused by name."""
    if text is None or text in nulls or (kind != "string" and text.strip().lower() in MISSING):
        return None
    convert = next((each for start, each in _CONVERTERS.items() if kind.startswith(start)), str)
    try:
        return convert(text)
    except ValueError:
        return text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer() or abs(number) > EXACT:
        return int(text)
    return int(number)


def _instant(text: str) -> str:
    """Return an instant with its time zone: one without is in UTC, as the reader of files takes it."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "int": _whole,
    "float": float,
    "boolean": _truth,
    "timestamp('UTC'": _instant,
}

"""Predictions for rows of texts: what a CSV file or a command line holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError, close_matches

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.project.branch import Branch

MISSING = frozenset({"", "NA", "N/A", "n/a", "null", "NULL", "-"})
"""Texts of a missing value, unless the field is a text itself: of a text, only the blank one is missing."""


def predict_texts(branch: Branch, name: str, rows: Sequence[Mapping[str, str]]) -> pa.Table:
    """Return the rows with their scores. Columns that the model does not read are kept."""
    import pyarrow as pa

    from mainstem.project.live import predictor_of

    predictor = predictor_of(branch, name)
    types = {**predictor.schema.optional, **predictor.schema.columns}
    _known(predictor.schema.columns, rows)
    asked = [{field: _value(row[field], kind) for field, kind in types.items() if field in row} for row in rows]
    answers = predictor.predict(asked)
    found: dict[str, list[Any]] = {field: [row.get(field) for row in rows] for field in rows[0]} if rows else {}
    found["score"] = [answer.score for answer in answers]
    for column in ("label", "decision"):
        values = [getattr(answer, column) for answer in answers]
        if any(value is not None for value in values):
            found[column] = values
    for label in answers[0].scores if answers else ():
        found[f"score {label}"] = [answer.scores[label] for answer in answers]
    return pa.table(found)


def _known(fields: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> None:
    """Refuse rows in which no column has the name of a field that the model reads. Raises `RequestError`."""
    for row in rows[:1]:
        for field in fields:
            if field not in row:
                raise RequestError(
                    f"the field {field!r} is missing",
                    got=", ".join(row) or "no field",
                    expected=", ".join(f"{name} ({kind})" for name, kind in fields.items()),
                    hint=close_matches(field, list(row)) or f"{field}= says that it is not known",
                )


def _value(text: str | None, kind: str) -> Any:
    """Return the value of a text; the text itself if it is not of the type, so that the request is refused by name."""
    if text is None or (text in MISSING if kind != "string" else text == ""):
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


_CONVERTERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "boolean": _truth}

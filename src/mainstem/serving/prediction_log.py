"""Predictions are logged before they are answered: an answer that somebody acted on can always be found again."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.logs import records as logs
from mainstem.logs.records import Prediction, encode, predictions_of
from mainstem.ports import Writer


def append(writer: Writer, endpoint: str, predictions: Sequence[Prediction], floor: int = 0) -> int:
    """Append predictions to the endpoint's log, which had `floor` of them at least; the offset of the first.

    Raises `StorageError` if it has fewer now.
    """
    return logs.append(writer, predictions_of(endpoint), [encode(prediction) for prediction in predictions], floor)

"""Log predictions before they are answered, so that every answer can be found later."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.logs import records as logs
from mainstem.logs.records import Prediction, encode, predictions_of
from mainstem.ports import Writer


def append(writer: Writer, endpoint: str, predictions: Sequence[Prediction], floor: int = 0) -> int:
    """Append predictions to the endpoint's log and return the first offset. The log must hold at least `floor` entries.

    Raises `StorageError` if it holds fewer now.
    """
    return logs.append(writer, predictions_of(endpoint), [encode(prediction) for prediction in predictions], floor)

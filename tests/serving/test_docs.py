"""docs/serving.md says what the server does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mainstem import errors
from mainstem.serving.gauges import GAUGES
from mainstem.serving.http.errors import STATUS, status_of
from mainstem.serving.metrics import Metrics

PAGE = (Path(__file__).parent.parent.parent / "docs" / "serving.md").read_text()


def test_every_status_is_documented() -> None:
    answered = {status for _, status in STATUS} | {500, 507}
    assert {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGE, re.M)} == answered


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RequestError("x"), 400),
        (errors.NotFound("x"), 404),
        (errors.UnknownName("x"), 404),
        (errors.Forbidden("x"), 403),
        (errors.Unavailable("x"), 503),
        (errors.StorageError("the disk is full"), 507),
        (errors.StorageError("the online store is closed"), 503),
        (errors.ModelError("x"), 500),
        (ValueError("x"), 500),
    ],
)
def test_errors_have_their_status(error: Exception, status: int) -> None:
    assert status_of(error) == status


def test_every_metric_is_documented() -> None:
    families: Any = Metrics().registry.collect()
    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    own = {name for name in names if name.startswith("mainstem_")}
    assert set(re.findall(r"`(mainstem_\w+)`", PAGE)) == own | set(GAUGES)
    assert set(re.findall(r"`(process_\w+)`", PAGE)) <= names

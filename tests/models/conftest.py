"""Small worlds to learn from: floats with gaps and extremes, texts with nulls, rare levels and odd letters."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mainstem.testing import learning


@pytest.fixture(params=["binary", "multiclass", "regression"])
def task(request):
    return request.param


@pytest.fixture(params=["naive", "linear", "lightgbm"])
def name(request):
    return request.param


@pytest.fixture
def worlds():
    """The makers of rows and examples, for tests to call."""
    return SimpleNamespace(rows=learning.rows, examples=learning.examples)

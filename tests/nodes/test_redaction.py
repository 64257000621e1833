"""Passwords and tokens are not shown, wherever they stand."""

import pytest

from mainstem.nodes.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3cret@db/x", "postgresql://me:…@db/x"),
        ('database("postgresql://me:p@ss/word@db/x", table="t")', 'database("postgresql://me:…@db/x", table="t")'),
        ("postgresql+psycopg://me:s3cret@db/x failed", "postgresql+psycopg://me:…@db/x failed"),
        ("http://me:s3cret@host/path", "http://me:…@host/path"),
        ("http://host:8111/users/@me", "http://host:8111/users/@me"),
        ("http://host/x?api_key=abc&page=2", "http://host/x?api_key=…&page=2"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown

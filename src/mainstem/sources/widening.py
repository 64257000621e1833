"""The least type that holds the values of two types. Types widen, and never narrow."""

from __future__ import annotations

from functools import lru_cache

import ibis
import ibis.expr.datatypes as dt

DIGITS = 38
"""The maximum number of digits of a decimal."""


@lru_cache(maxsize=1024)
def wider(one: str, other: str) -> str:
    """Return the narrowest Ibis type that holds the values of both types; text if no other does.

    An integer and a float give a float. Whether it holds every digit depends on the values: a cast has to refuse
    integers beyond 2^53.
    """
    a, b = ibis.dtype(one).copy(nullable=True), ibis.dtype(other).copy(nullable=True)
    return str(a if a == b else _wider(a, b) or _wider(b, a) or dt.string)


def _wider(a: dt.DataType, b: dt.DataType) -> dt.DataType | None:
    """Return the wider type, if the pair is known in this order."""
    match a, b:
        case dt.Null(), _:
            return b
        case dt.Integer(), dt.Integer():
            return max(a, b, key=lambda each: each.nbytes)
        case dt.Integer(), dt.Floating():
            return dt.float64
        case dt.Floating(), dt.Floating():
            return dt.float64
        case dt.Integer(), dt.Decimal():
            return _decimal(_DIGITS_OF[a.nbytes], 0, *_digits(b))
        case dt.Decimal(), dt.Decimal():
            return _decimal(*_digits(a), *_digits(b))
        case dt.Date(), dt.Timestamp():
            return b
        case dt.Timestamp(), dt.Timestamp() if a.timezone or not b.timezone:
            return a
    return None


_DIGITS_OF = {1: 3, 2: 5, 4: 10, 8: 19}


def _digits(type: dt.Decimal) -> tuple[int, int]:
    """Return the digits before and after the point."""
    precision, scale = type.precision or DIGITS, type.scale or 0
    return precision - scale, scale


def _decimal(before: int, after: int, others: int, behind: int) -> dt.DataType | None:
    whole, scale = max(before, others), max(after, behind)
    return dt.Decimal(whole + scale, scale) if whole + scale <= DIGITS else None

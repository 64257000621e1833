"""What a parameter of a declaration takes: kinds that refuse any other value, at the user's line.

A kind is a function of a parameter's name and value. It raises `DefinitionError`, and returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isnan
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from mainstem.nodes.base import Node, Origin, refused, several
from mainstem.nodes.durations import microseconds

Kind = Callable[[str, Any], None]


def anything(name: str, value: Any) -> None:
    """Accept any value: the function itself checks it."""


def optional(kind: Kind) -> Kind:
    """Allow None, or what `kind` takes."""

    def check(name: str, value: Any) -> None:
        if value is not None:
            kind(name, value)

    return check


def text(name: str, value: Any) -> None:
    """Require a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise refused(f"`{name}` must be a text", value, "a text that is not empty")


def words(name: str, value: Any) -> None:
    """Require a text, which may be empty."""
    if not isinstance(value, str):
        raise refused(f"`{name}` must be a text", value, "a text")


def column(name: str, value: Any) -> None:
    """Require the name of one column."""
    if not isinstance(value, str) or not value.strip():
        raise refused("a column must be given by name", value, f'one text: {name}="scheduled_at"')


def columns(*, at_least: int = 0, of: str = "columns") -> Kind:
    """Require one name or several without repeats; a text alone is one name. None is for no name."""

    def check(name: str, value: Any) -> None:
        found: tuple[Any, ...] | None = () if value is None else several(value)
        for each in (value,) if found is None else found:
            if not isinstance(each, str) or not each.strip():
                raise refused(f"{of} must be given by name", each, 'a text, as in "origin", or several')
        if found is not None and len(found) < at_least:
            raise refused(f"`{name}` is empty", value, "at least one name")
        if found is not None:
            distinct(name, found)

    return check


def distinct(name: str, values: tuple[Any, ...]) -> None:
    """Refuse values that repeat; `1`, `1.0` and `True` are different values. Raises `DefinitionError`."""
    seen: list[tuple[type, Any]] = []
    for value in values:
        if (type(value), value) in seen:
            raise refused(f"`{name}` repeats {value!r}", values, "each value once")
        seen.append((type(value), value))


def word(*words: str) -> Kind:
    """Require one of some words."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in words:
            raise refused(f"`{name}` has an invalid value", value, " or ".join(f'"{each}"' for each in words))

    return check


def boolean(name: str, value: Any) -> None:
    """Require True or False."""
    if not isinstance(value, bool):
        raise refused(f"`{name}` must be True or False", value, "True or False")


def integer(low: int, high: int | None = None) -> Kind:
    """Require a whole number, at least `low` and at most `high`. True and 1.0 are none."""
    expected = f"at least {low}" if high is None else f"from {low} to {high}"
    most = float("inf") if high is None else high

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= most:
            raise refused(f"`{name}` has an invalid value", value, f"a whole number, {expected}")

    return check


def number(above: float | None = None, below: float | None = None) -> Kind:
    """Require a finite number between two bounds that are excluded. True is none."""
    bounds = [f"above {above:g}"] if above is not None else []
    bounds += [f"below {below:g}"] if below is not None else []
    expected = " ".join(["a finite number", *([" and ".join(bounds)] if bounds else [])])

    def check(name: str, value: Any) -> None:
        fits = is_number(value) and (above is None or value > above) and (below is None or value < below)
        if not fits or abs(value) == float("inf"):
            raise refused(f"`{name}` has an invalid value", value, expected)

    return check


def column_type(name: str, value: Any) -> None:
    """Require the name of an Ibis type."""
    import ibis

    try:
        if not isinstance(value, str):
            raise TypeError
        ibis.dtype(value)
    except Exception:
        raise refused(f"`{name}` is not a type", value, 'an Ibis type, such as "int64"') from None


def fraction(name: str, value: Any) -> None:
    """Require a number above 0, at most 1."""
    if not is_number(value) or not 0 < value <= 1:
        raise refused(f"`{name}` has an invalid value", value, "a number above 0, at most 1")


def is_number(value: Any) -> bool:
    """Return whether a value is a number other than NaN. True is none."""
    real = isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
    return real and not isnan(value)


def duration(name: str, value: Any) -> None:
    """Require a duration as users write it."""
    microseconds(value, str(Origin.of_caller()))


def positive_duration(name: str, value: Any) -> None:
    """Require a duration above zero."""
    if microseconds(value, str(Origin.of_caller())) == 0:
        raise refused(f"`{name}` must be positive", value, f'{name}="1h"')


def durations(*, at_least: int = 0) -> Kind:
    """Require one duration or several without repeats."""

    def check(name: str, value: Any) -> None:
        found = several(value)
        for each in (value,) if found is None else found:
            positive_duration(name, each)
        if found is not None and len(found) < at_least:
            raise refused(f"`{name}` is empty", value, 'at least one duration, such as "1h"')
        distinct(name, found or ())

    return check


def constant(name: str, value: Any) -> None:
    """Require a constant that a column can be compared with, or None. NaN is none: it is neither less nor greater."""
    own = value.item() if hasattr(type(value), "item") else value  # numpy's numbers
    plain = isinstance(own, (str, bool, date, datetime, type(None))) or is_number(own)
    if not plain:
        raise refused(f"`{name}` must be a constant", value, "a number, a text, a truth value, a date or an instant")


def constants(name: str, value: Any) -> None:
    """Require a list of constants without repeats, at least one of them not None."""
    found = several(value)
    if found is None or isinstance(value, (Mapping, bytes)):
        raise refused(f"`{name}` must be a list", value, f'a list of constants: {name}=["UA", "AA"]')
    for each in found:
        constant(name, each)
    if not [each for each in found if each is not None]:
        raise refused(f"`{name}` is empty", value, "at least one constant beside None")
    distinct(name, found)


def mapping(values: Kind, *, at_least: int = 0) -> Kind:
    """Require a mapping from texts to what `values` takes."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise refused(f"`{name}` must be a mapping", value, f'{name}={{"…": …}}')
        for key, each in value.items():
            text(f"a key of {name}", key)
            values(f"{name}[{key!r}]", each)
        if len(value) < at_least:
            raise refused(f"`{name}` is empty", value, f'{name}={{"…": …}}')

    return check


def directory(name: str, value: Any) -> None:
    """Require the path of a directory."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise refused(f"`{name}` must be a path", value, f'{name}="flights"')


def node(name: str, value: Any) -> None:
    """Require a node, or the name of one."""
    if not isinstance(value, Node) and not (isinstance(value, str) and value.strip()):
        hint = "@ms.table above a function makes a table of it" if callable(value) else None
        raise refused(f"`{name}` must be a node", value, "a source, a stream or a table, or the name of one", hint)


def a(type: type, expected: str) -> Kind:
    """Require an object of a type."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, type):
            raise refused(f"`{name}` has an invalid value", value, expected)

    return check


def values_of(*types: type, expected: str) -> Kind:
    """Require a list of objects of some types."""

    def check(name: str, value: Any) -> None:
        found = several(value)
        if found is None or isinstance(value, (Mapping, bytes)):
            raise refused(f"`{name}` must be a list", value, f"{name}=[{expected}]")
        for each in found:
            if not isinstance(each, types):
                raise refused(f"`{name}` has an invalid value", each, f"{name}=[{expected}]")

    return check


def expression(*also: type) -> Kind:
    """Require an expression: written with `_`, a column's name, a function of the table, or one of `also`."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, str) and value.strip():
            return
        if isinstance(value, also) or is_expression(value):
            return
        raise refused(f"`{name}` must be an expression", value, f'{name}=_.distance, or {name}="distance"')

    return check


def calculation(*also: type) -> Kind:
    """Require an expression other than a column's name."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, str) or not (isinstance(value, also) or is_expression(value)):
            raise refused(f"`{name}` must be an expression", value, f"{name}=_.distance > 100, or the like")

    return check


def is_expression(value: Any) -> bool:
    """Return whether a value is an Ibis expression, bound or not, or a function that makes one from a table."""
    module = type(value).__module__
    return module.startswith("ibis.") or (callable(value) and not isinstance(value, (type, Node)))


def known(name: str, value: Any) -> None:
    """Require when columns become known: a column, an expression, or a mapping from columns to these."""
    each = optional(expression())
    (mapping(each, at_least=1) if isinstance(value, Mapping) else each)(name, value)

"""The candidates of a model: names of algorithms, and objects that are fitted."""

from __future__ import annotations

from typing import Any

from mainstem.nodes.base import refused, several

EXPECTED = 'a name, as in "lightgbm", an algorithm, as in ms.lightgbm(num_leaves=63), or an estimator of scikit-learn'


def candidates_of(value: Any) -> tuple[Any, ...] | None:
    """Return the candidates of one or several; None for the usual ones."""
    if value is None:
        return None
    # A pipeline is one candidate, although it has items.
    found = (value,) if callable(getattr(value, "fit", None)) else several(value)
    return (value,) if found is None else found


def some_candidates(name: str, value: Any) -> None:
    """Require one candidate or several. A name may not repeat."""
    found = candidates_of(value) or ()
    if not found:
        raise refused(f"`{name}` is empty", value, "at least one name")
    for each in found:
        named = isinstance(each, str) and bool(each.strip())
        if isinstance(each, type):
            raise refused("a candidate is an object, not a class", each, f"{each.__name__}()")
        if not named and not callable(getattr(each, "fit", None)):
            raise refused("unsupported kind of candidate", each, EXPECTED)
    words = [each for each in found if isinstance(each, str)]
    for word in words:
        if words.count(word) > 1:
            raise refused(f"`{name}` repeats {word!r}", value, "each name once")

"""The algebra: every aggregation as a partial (a tuple), one merge and a finalizer.

lift       the events of one range of time → a partial
merge      the partials of two ranges → the partial of both; associative and commutative
finalize   a partial and the query's span → the feature's value

The offline query, the stream's state and the online read call these three methods and know no aggregation by name. To
add an aggregation, write a class with these methods and `register` it.
"""

from mainstem.features.algebra import clock, lists, moments, selection, sums
from mainstem.features.algebra.core import AGGREGATIONS, Aggregation, Partial, Span, aggregation, register

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "Partial",
    "Span",
    "aggregation",
    "clock",
    "lists",
    "moments",
    "register",
    "selection",
    "sums",
]

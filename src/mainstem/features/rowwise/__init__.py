"""Ibis' row-level operations as Python closures over one row, with DuckDB's semantics.

A closure takes a row (column → value, instants as int µs) and returns a value or None. `register` adds an operation. An
unregistered one raises `Unsupported` at compilation.
"""

from mainstem.features.rowwise import arithmetic, casts, comparisons, lists, logic, text, time
from mainstem.features.rowwise.core import COMPILERS, Compute, Row, Unsupported, compile_value, kind, register

__all__ = [
    "COMPILERS",
    "Compute",
    "Row",
    "Unsupported",
    "arithmetic",
    "casts",
    "comparisons",
    "compile_value",
    "kind",
    "lists",
    "logic",
    "register",
    "text",
    "time",
]

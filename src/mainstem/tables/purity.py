"""Whether a table's function always returns the same expression for the same inputs, as far as its code shows.

Such a function names nothing but its inputs, constants, harmless builtins and the parts of Ibis that make expressions.
Any other function may read a file, the clock or a variable, so it is called at every start.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from mainstem.graph.fingerprint import CONSTANT

_BUILTINS = frozenset(
    {
        "False",
        "None",
        "True",
        "abs",
        "all",
        "any",
        "bool",
        "dict",
        "enumerate",
        "filter",
        "float",
        "int",
        "len",
        "list",
        "map",
        "max",
        "min",
        "range",
        "reversed",
        "round",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    }
)

_IBIS = frozenset(
    {
        "_",
        "and_",
        "array",
        "asc",
        "cases",
        "coalesce",
        "cume_dist",
        "cumulative_window",
        "date",
        "dense_rank",
        "desc",
        "difference",
        "e",
        "following",
        "greatest",
        "ifelse",
        "intersect",
        "interval",
        "least",
        "literal",
        "map",
        "now",
        "ntile",
        "null",
        "or_",
        "percent_rank",
        "pi",
        "preceding",
        "range",
        "range_window",
        "rank",
        "row_number",
        "rows_window",
        "struct",
        "time",
        "timestamp",
        "trailing_range_window",
        "trailing_window",
        "union",
        "window",
    }
)

_REFUSED = frozenset(
    {
        "DELETE_GLOBAL",
        "DELETE_NAME",
        "IMPORT_FROM",
        "IMPORT_NAME",
        "IMPORT_STAR",
        "LOAD_BUILD_CLASS",
        "LOAD_FROM_DICT_OR_GLOBALS",
        "LOAD_NAME",
        "STORE_ATTR",
        "STORE_GLOBAL",
        "STORE_NAME",
    }
)

_BETWEEN = frozenset(("CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL"))


class _Impure(Exception):
    pass


def pure(function: Any) -> tuple[list[Any], FunctionType] | None:
    """Return all that a function's result follows from beside its inputs, as plain values, and a function that is equal
    to it for good, whatever its module's names stand for later. None if that cannot be told."""
    if type(function) is not FunctionType or function.__closure__ or vars(function):
        return None
    known = function.__globals__
    try:
        defaults = [_constant(each) for each in function.__defaults__ or ()]
        named = {name: _constant(each) for name, each in (function.__kwdefaults__ or {}).items()}
        found = [defaults, named, _of_code(function.__code__, known)]
    except _Impure:
        return None
    own = {name: known[name] for name in _every_name(function.__code__) if name in known} | {"__builtins__": builtins}
    same = FunctionType(function.__code__, own, function.__name__, function.__defaults__)
    same.__kwdefaults__ = function.__kwdefaults__
    return found, same


def _every_name(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_every_name, inner))


def _of_code(code: CodeType, known: Mapping[str, Any]) -> list[Any]:
    if any(name.startswith("__") for name in code.co_names):
        raise _Impure("a name of Python's own")
    named = {name: _named(name, known) for name in _globals(code, known)}
    constants = [_of_code(c, known) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    signature = [code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags]
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    return [code.co_code.hex(), code.co_exceptiontable.hex(), constants, named, signature, names]


def _globals(code: CodeType, known: Mapping[str, Any]) -> Iterator[str]:
    """Yield the global names that code reads. A module may be read only for one of its known attributes."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.opname in _REFUSED:
            raise _Impure(step.opname)
        if step.opname == "LOAD_GLOBAL":
            name = str(step.argval)
            if _is_ibis(known.get(name)) and (
                after is None or after.opname not in ("LOAD_ATTR", "LOAD_METHOD") or after.argval not in _IBIS
            ):
                raise _Impure(name)
            yield name


def _named(name: str, known: Mapping[str, Any]) -> list[Any]:
    """Return what a global name stands for."""
    if name not in known:
        if name not in _BUILTINS:
            raise _Impure(name)
        return ["builtin"]
    value = known[name]
    if _is_ibis(value):
        return ["ibis"]
    if type(value).__module__.startswith("ibis.") and value is _deferred():
        return ["deferred"]
    if name in _BUILTINS and value is getattr(builtins, name, None):
        return ["builtin"]
    return ["constant", _constant(value)]


def _constant(value: Any) -> list[Any]:
    if type(value) in (tuple, frozenset):
        items = [_constant(each) for each in value]
        return [type(value).__name__, sorted(items, key=repr) if type(value) is frozenset else items]
    if type(value) is slice:
        return ["slice", [_constant(each) for each in (value.start, value.stop, value.step)]]
    if value is not ... and type(value) not in CONSTANT:
        raise _Impure(type(value).__name__)
    return [type(value).__name__, repr(value)]


def _is_ibis(value: Any) -> bool:
    import ibis

    return value is ibis


def _deferred() -> Any:
    import ibis

    return ibis._

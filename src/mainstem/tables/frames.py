"""Tables that a function computes from Arrow batches, or from Polars or pandas frames, instead of Ibis tables."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import FunctionType
from typing import Any

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
from ibis.common.collections import FrozenOrderedDict
from ibis.common.typing import VarTuple
from ibis.expr.schema import Schema

from mainstem.errors import DefinitionError, MainstemError, MissingExtra, SchemaError
from mainstem.graph.fingerprint import of_function
from mainstem.nodes.places import place
from mainstem.nodes.tables import Table
from mainstem.ports import Engine, Relation, Session
from mainstem.tables.resolve import check_columns
from mainstem.tables.unions import wider

RESULT = "result"


class Body:
    """A table's function. As a text it is the hash of its code and of the project's functions that it calls."""

    def __init__(self, node: Table) -> None:
        assert isinstance(node.function, FunctionType)
        self.function, self.node = node.function, node
        self.code = of_function(node.function)
        self.failed: MainstemError | None = None

    def __repr__(self) -> str:
        return self.code


class FrameQuery(ops.Relation):  # type: ignore[misc]
    """The rows that a function computes from `inputs`, its arguments."""

    inputs: VarTuple[ops.Relation]
    names: VarTuple[str]
    using: str
    body: Body
    schema: Schema
    values = FrozenOrderedDict()


def bind(node: Table, inputs: Mapping[str, ibis.Table]) -> ibis.Table:
    """Return a table with `using=` as an unbound Ibis table over its inputs. Raises `MissingExtra`."""
    using = str(node.using)
    library = "pyarrow" if using == "arrow" else using
    if find_spec(library) is None:
        raise MissingExtra(
            f"{library} is not installed",
            where=str(node.origin),
            expected=f"the package that using={using!r} needs",
            hint=f"pip install {library}",
        )
    given = {name: inputs[name] for name in node.parameters}
    schema = ibis.schema(dict(node.schema or {}))
    check_columns(schema.items(), str(node.origin))
    rows: ibis.Table = FrameQuery(
        [table.op() for table in given.values()], tuple(given), using, Body(node), schema
    ).to_expr()
    return rows


@contextmanager
def computed(
    engine: Engine, session: Session, rows: ibis.Table, relations: Mapping[str, Relation], *, many_reads: bool = False
) -> Iterator[tuple[Session, ibis.Table]]:
    """Open the rows to write: those of an expression as it is, those of a function in a session of their own.

    Arrow batches are streamed through the function, unless the rows have `many_reads`; frames are in memory. Raises
    `SchemaError` for a result of another type or schema, and `DefinitionError` for an exception of the function.
    """
    query = rows.op()
    if not isinstance(query, FrameQuery):
        yield session, rows
        return
    query.body.failed = None
    with ExitStack() as opened:
        arguments = {}
        for name, relation in zip(query.names, query.inputs, strict=True):
            # One connection streams one result at a time.
            own = opened.enter_context(engine.session(relations)) if query.using == "arrow" else session
            arguments[name] = _argument(own, relation.to_expr(), query.using)
        node = query.body.node
        with _blamed(node):
            batches = _batches(query, node.function(**arguments) if node.function else None)
        reader = pa.RecordBatchReader.from_batches(query.schema.to_pyarrow(), _stream(query, batches))
        with engine.session({RESULT: reader.read_all() if many_reads else reader}) as writing:
            try:
                yield writing, ibis.table(query.schema, name=RESULT)
            except MainstemError as problem:
                raise query.body.failed or problem from None


def _argument(session: Session, rows: ibis.Table, using: str) -> Any:
    if using == "arrow":
        return session.batches(rows)
    found = session.fetch(rows)
    if using == "pandas":
        return found.to_pandas()
    import polars

    return polars.from_arrow(found)


def _batches(query: FrameQuery, result: Any) -> Iterator[pa.RecordBatch]:
    """Return the result of a function as Arrow batches. Raises `SchemaError` for a result of another type."""
    if query.using == "polars" and type(result).__module__.startswith("polars"):
        frame = result.collect() if hasattr(result, "collect") else result
        if not hasattr(frame, "get_columns"):
            raise _wrong(query, frame)
        result = frame.to_arrow()
    elif query.using == "pandas" and hasattr(result, "iloc") and hasattr(result, "columns"):
        result = pa.Table.from_pandas(result, preserve_index=False)
    elif query.using == "arrow" and (isinstance(result, pa.RecordBatchReader) or hasattr(result, "__next__")):
        return iter(result)
    elif query.using != "arrow":
        raise _wrong(query, result)
    if isinstance(result, pa.RecordBatch):
        return iter([result])
    if not isinstance(result, pa.Table):
        raise _wrong(query, result)
    _check(query, result.schema)
    return iter(result.to_batches())


_EXPECTED = {
    "arrow": "a pyarrow Table, RecordBatch or RecordBatchReader, or a generator of batches",
    "polars": "a Polars DataFrame or LazyFrame",
    "pandas": "a pandas DataFrame",
}


def _wrong(query: FrameQuery, result: Any) -> SchemaError:
    got = "None; the return statement may be missing" if result is None else f"a {type(result).__name__}"
    return SchemaError(
        f"the function does not return what using={query.using!r} requires",
        where=str(query.body.node.origin),
        got=got,
        expected=_EXPECTED[query.using],
    )


def _stream(query: FrameQuery, batches: Iterator[Any]) -> Iterator[pa.RecordBatch]:
    """Yield the batches with the declared schema. An error is kept: the engine would show only its text."""
    try:
        with _blamed(query.body.node):
            for batch in batches:
                if not isinstance(batch, pa.RecordBatch):
                    raise _wrong(query, batch)
                _check(query, batch.schema)
                yield from _cast(query, batch)
    except MainstemError as problem:
        query.body.failed = problem
        raise


def _cast(query: FrameQuery, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    wanted = query.schema.to_pyarrow()
    try:
        table = pa.Table.from_batches([batch]).select(wanted.names).cast(wanted)
    except pa.ArrowInvalid as problem:
        raise SchemaError(
            "a value of the result does not fit `schema`", where=str(query.body.node.origin), got=str(problem)
        ) from None
    found: list[pa.RecordBatch] = table.to_batches()
    return found


def _check(query: FrameQuery, got: pa.Schema) -> None:
    """Refuse other columns than the declared ones, and types that these do not hold. Raises `SchemaError`."""
    found = dict(ibis.Schema.from_pyarrow(got))
    wanted = dict(query.schema)
    wrong = [f"no column {name!r}" for name in wanted if name not in found]
    wrong += [f"the column {name!r}, which is not declared" for name in found if name not in wanted]
    for name, type in wanted.items():
        own = found[name].copy(nullable=True) if name in found else None
        if own is not None and wider(own, type.copy(nullable=True)) != type.copy(nullable=True):
            wrong.append(f"{name!r} of type {own}")
    if wrong:
        raise SchemaError(
            "the function's result does not fit `schema`",
            where=str(query.body.node.origin),
            got="; ".join(wrong),
            expected=", ".join(f"{name}: {type}" for name, type in wanted.items()),
        )


@contextmanager
def _blamed(node: Table) -> Iterator[None]:
    """Turn an exception of the user's function into an error that quotes its line."""
    try:
        yield
    except MainstemError:
        raise
    except (Exception, SystemExit) as problem:
        frames = [each for each in traceback.extract_tb(problem.__traceback__) if each.filename == node.origin.file]
        where = f"{place(frames[-1].filename)}:{frames[-1].lineno}  {frames[-1].line}" if frames else str(node.origin)
        raise DefinitionError(
            "the function failed", where=where, got=f"{type(problem).__name__}: {problem}"
        ) from problem

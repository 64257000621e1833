"""Formats whose values have types of their own, as the engine reads them: Parquet and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mainstem.errors import EngineError, SourceError
from mainstem.graph.named import named
from mainstem.masking import brief
from mainstem.nodes.files import Files
from mainstem.nodes.hidden import FILE
from mainstem.nodes.instants import INSTANT
from mainstem.ports import Engine, RawFiles
from mainstem.sources.formats.base import Format, Reading, batched, doubts
from mainstem.sources.formats.instants import instants

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from mainstem.sources.extraction import Part


class ParquetFormat(Format):
    name: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = ("parquet",)

    def parts(self, reading: Reading) -> Iterator[Part]:
        for _, some in groupby(reading.paths, key=lambda path: _footer(reading.root / path)):
            for paths in batched(replace(reading, paths=tuple(some))):
                yield _Batch(reading, paths, "parquet", self.options(reading.node)).part()

    def introspect(self, node: Files, paths: tuple[str, ...], engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.widening import wider

        found: dict[str, str] = {}
        alike: dict[str, list[str]] = {}
        for path in paths:
            alike.setdefault(_footer(Path(path)), []).append(path)
        for some in alike.values():
            empty = dict.fromkeys(_without_values(Path(some[0])), "null")
            for name, type in (_kept(_types(some, "parquet", self.options(node), engine)) | empty).items():
                found[name] = wider(found.get(name, "null"), type)
        return found

    def options(self, node: Files) -> dict[str, Any]:
        """Return the options of the reader."""
        return dict(node.options)


class JsonFormat(Format):
    """JSON objects: one a line, or an array of them. An object may lack a key."""

    name: ClassVar[str] = "json"
    suffixes: ClassVar[tuple[str, ...]] = ("json", "jsonl", "ndjson")

    def parts(self, reading: Reading) -> Iterator[Part]:
        for paths in batched(reading):
            yield _Batch(reading, paths, "json", self._options(reading.node)).part()

    def introspect(self, node: Files, paths: tuple[str, ...], engine: Engine) -> Mapping[str, str]:
        options = self._options(node)
        found = _kept(_types(paths, "json", options, engine))
        return {**found, **dict.fromkeys(instants(paths, options, engine, found), INSTANT)}

    def _options(self, node: Files) -> dict[str, Any]:
        """Return options with which every object tells its keys and types."""
        return {"sample_size": -1, "union_by_name": True, "map_inference_threshold": -1, **node.options}


class _Batch:
    """Files of the same columns that are read together."""

    def __init__(
        self, reading: Reading, paths: Sequence[str], format: Literal["parquet", "json"], options: dict[str, Any]
    ) -> None:
        self.reading, self.paths, self.format, self.options = reading, tuple(paths), format, options
        self.shape = reading.shape
        self.natural = _types(reading.at(paths), format, options, reading.engine)
        first = reading.root / paths[0]
        self.empty = _without_values(first) if format == "parquet" else frozenset[str]()
        texts = {n: type for n, type in _kept(self.natural).items() if self.shape.schema.get(n) != "string"}
        is_json, at = format == "json", reading.at(paths)
        self.instants = instants(at, options, reading.engine, texts) if is_json else frozenset[str]()

    def part(self) -> Part:
        from mainstem.sources.extraction import Part

        before = dict(self.shape.schema)
        doubtful = self.shape.meet(self._found(), self.paths[0], whole=self.format != "json")
        schema, reads = dict(self.shape.schema), self._reads(before)

        def values(table: ibis.Table) -> dict[str, Any]:
            found = {n: self._value(table[n], schema[n]) for n in reads if n in schema and n not in self.empty}
            return {**found, FILE: self.reading.origin(table)}

        doubt = partial(doubts, doubtful, self._fits) if doubtful else None
        raw = self._raw(self.paths, reads)
        return Part(self.paths[0], raw, {**reads, FILE: "string"}, schema, values, doubt, self._refuse)

    def _is_digits(self, column: Any) -> bool:
        """Return whether a column has numbers of JSON with their digits: a float does not hold all integers."""
        return bool(column.type().is_json())

    def _value(self, column: Any, type: str) -> Any:
        from mainstem.sources.conversion import converted, number

        return number(column.cast("string"), type) if self._is_digits(column) else converted(column, type)

    def _fits(self, column: Any, type: str) -> Any:
        from mainstem.sources.conversion import fits, fits_number

        return fits_number(column.cast("string"), type) if self._is_digits(column) else fits(column, type)

    def _found(self) -> dict[str, str]:
        """Return the types to compare. Values are converted to a declared type where that loses nothing."""
        node, found = self.reading.node, _kept(self.natural) | dict.fromkeys(self.empty, "null")
        found |= dict.fromkeys(self.instants, INSTANT)
        declared = {n: type for n, type in (node.schema or {}).items() if n in found and node.policy(n) != "quarantine"}
        return {**found, **declared}

    def _reads(self, known: Mapping[str, str]) -> dict[str, str]:
        """Return the types to read the columns in. Texts and nested values of JSON are read as the text they are, and
        floats as JSON, which keeps the digits of integers beside them."""
        if self.format == "parquet":
            return self.natural
        kept = _kept(self.natural)
        return {
            name: "string"
            if kept[name] in ("string", "null") or self.shape.schema.get(name) == "string"
            else "json"
            if kept[name] == "float64"
            else type
            for name, type in self.natural.items()
        }

    def _raw(self, paths: Sequence[str], reads: Mapping[str, str]) -> RawFiles:
        options = {n: v for n, v in self.options.items() if n not in ("sample_size", "map_inference_threshold")}
        return RawFiles(self.reading.at(paths), self.format, reads, options, origin=FILE)

    def _refuse(self) -> Part:
        """Raise the error for the first value that would lose digits."""
        import ibis

        from mainstem.sources.evolution import lossy

        reads = self._reads(self.shape.schema)
        for path in self.paths:
            with self.reading.engine.session({"files": self._raw([path], reads)}) as session:
                rows = ibis.table({**reads, FILE: "string"}, name="files")
                for name in (name for name in reads if name in self.shape.schema and name not in self.empty):
                    unfit = rows[name].notnull() & ~self._fits(rows[name], self.shape.schema[name])
                    value = rows[name].cast("string") if self._is_digits(rows[name]) else rows[name]
                    found = session.fetch(rows.filter(unfit).select(*named({name: value})).limit(1)).to_pylist()
                    if found:
                        value = brief(str(found[0][name]))
                        own = "number" if reads[name] == "json" else reads[name]
                        raise lossy(name, own, self.shape.schema[name], value, f"{self.shape.where}: {path}")
        raise EngineError("no value misfits its type", where=self.paths[0])


def _types(paths: Sequence[str], format: Any, options: Mapping[str, Any], engine: Engine) -> dict[str, str]:
    """Return the columns of files with the types that the engine reads."""
    with engine.session({"files": RawFiles(tuple(paths), format, None, options)}) as session:
        found = {name: _named(type) for name, type in session.schema("SELECT * FROM files").items()}
    if format != "json":
        return found
    # Integers of JSON are read as int64. The engine says int32 of a column without values.
    return {name: "null" if type == "int32" else type for name, type in found.items()}


def _named(type: Any) -> str:
    """Return the name of a type. Ibis does not know the nanoseconds of a time of day, which is stored in
    microseconds."""
    return "time" if "TIME_NS" in str(type) else str(type.copy(nullable=True))


def _kept(types: Mapping[str, str]) -> dict[str, str]:
    """Return the types that the columns are stored in; "null" for a column without values."""
    import ibis

    from mainstem.sources.inference import kept

    return {name: type if type == "null" else kept(ibis.dtype(type)) for name, type in types.items()}


def _footer(file: Path) -> str:
    """Return the columns and types of a Parquet file as a text."""
    return str(_schema(file))


def _without_values(file: Path) -> frozenset[str]:
    """Return the columns of a Parquet file that have no type, because they have no value. The engine reads them as
    integers."""
    import pyarrow as pa

    return frozenset(field.name for field in _schema(file) if pa.types.is_null(field.type))


def _schema(file: Path) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file).remove_metadata()
    except FileNotFoundError as error:
        raise SourceError("a file of the source no longer exists", where=str(file), hint="run again") from error
    except (OSError, pa.ArrowException) as error:
        raise SourceError("a Parquet file cannot be read", where=str(file), got=str(error)) from error

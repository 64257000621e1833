"""The relations of a session as SQL: the files of a snapshot, or files as a source offers them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from mainstem.engines.types import identifier, literal, literals, pattern, to_duckdb
from mainstem.errors import EngineError, SourceError, close_matches
from mainstem.ports import RawFiles, Scan


def scan_sql(scan: Scan) -> str:
    """Return SQL for the rows of a snapshot, read by field id. Without files it is an empty relation with the same
    types."""
    if not scan.files:
        return _nothing({field.name: field.type for field in scan.fields})
    columns = ", ".join(
        f"{f.id}: {{name: {literal(f.name)}, type: {literal(to_duckdb(f.type))}, default_value: NULL}}"
        for f in scan.fields
    )
    return f"SELECT * FROM read_parquet({_paths(scan.files)}, schema=MAP{{{columns}}}, hive_partitioning=false)"


NULLS = "nulls"
"""The option of CSV files with the texts of each column that mean a missing value: `{"area": ["NA", "-"]}`."""


def raw_sql(raw: RawFiles) -> str:
    """Return SQL for the rows of source files, in the order of files and lines. Raises `SourceError`."""
    for name in raw.options:
        if not name.isidentifier():
            raise EngineError(f"unknown reader option {name!r}", hint="such as delim or nullstr")
    if not raw.paths:
        if raw.columns is None:
            raise SourceError("no file to read", expected=f"at least one {raw.format} file")
        return _nothing(raw.columns)
    if raw.origin is not None:
        raw = replace(raw, options={**raw.options, "filename": raw.origin})
    if raw.format == "parquet":
        return _select(raw.columns, f"read_parquet({_paths(raw.paths)}{_options(raw.options)})", raw.origin)
    if raw.format == "json":
        return _json(raw)
    if raw.columns is None:
        blank = ", ".join(f"{_known(name, texts)} AS {identifier(name)}" for name, texts in _nulls(raw).items())
        every = f"* REPLACE ({blank})" if blank else "*"
        return f"SELECT {every} FROM read_csv({_paths(raw.paths)}, header=true{_options(raw.options, 'header', NULLS)})"
    groups = groupby(raw.paths, key=lambda path: raw.names or _header(path, raw))
    return " UNION ALL ".join(_csv(tuple(paths), header, raw) for header, paths in groups)


def _csv(paths: tuple[str, ...], header: tuple[str, ...], raw: RawFiles) -> str:
    # Every column is declared and nothing is sniffed: the sniffer guesses from the first rows, takes a truncated file
    # for one of another dialect, and loses given types when files order their columns differently (DuckDB 2.0).
    columns = raw.columns or {}
    _require(paths[0], header, columns)
    types = {name: to_duckdb(columns.get(name, "string")) for name in header}
    fixed = {"delim": ",", "quote": '"', "escape": '"', "header": True} | dict(_except(raw.options, (NULLS,)))
    fixed["delim"] = fixed.pop("sep", fixed["delim"])
    fixed |= {"columns": types, "auto_detect": False, "strict_mode": True}
    if fixed.get("ignore_errors"):
        fixed["store_rejects"] = (
            True  # without it a quote that is not closed takes the rows after it along (DuckDB 2.0)
        )
    return _select(columns, f"read_csv({_paths(paths)}{_options(fixed)})", raw.origin, _nulls(raw))


def _nulls(raw: RawFiles) -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = raw.options.get(NULLS, {})
    return found


def _known(column: str, nulls: Sequence[str]) -> str:
    """Return a column of texts without those that mean a missing value."""
    name = identifier(column)
    return f"CASE WHEN {name} NOT IN ({', '.join(map(literal, nulls))}) THEN {name} END" if nulls else name


def _header(path: str, raw: RawFiles) -> tuple[str, ...]:
    """Return the column names of a CSV file from its first line."""
    options = raw.options
    if not options.get("header", True):
        return tuple(raw.columns or ())
    try:
        with _text(path, str(options.get("encoding", "utf-8"))) as lines:
            for _ in range(int(options.get("skip", 0))):
                next(lines, None)
            delimiter = str(options.get("delim", options.get("sep", ",")))
            first = next(csv.reader(lines, delimiter=delimiter, quotechar=str(options.get("quote", '"')) or None), [])
    except FileNotFoundError as error:
        raise SourceError("a file of the source no longer exists", where=path, hint="run again") from error
    except (OSError, EOFError, csv.Error) as error:
        raise SourceError("the header of a CSV file cannot be read", where=path, got=str(error)) from error
    return tuple(first)


def _text(path: str, encoding: str) -> Any:
    import pyarrow as pa

    encoding = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    return io.TextIOWrapper(pa.input_stream(path), encoding=encoding, errors="replace", newline="")


def _require(path: str, header: tuple[str, ...], columns: Mapping[str, str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise SourceError(
            f"a CSV file lacks the column {missing[0]!r}",
            where=f"{path}, line 1",
            got=", ".join(header) or "an empty file",
            expected=", ".join(columns),
            hint=close_matches(missing[0], header) or "if the source has changed, change its schema too",
        )


def _json(raw: RawFiles) -> str:
    columns = raw.columns
    if columns is None:
        return f"SELECT * FROM read_json({_paths(raw.paths)}{_options(raw.options)})"
    types = literal({name: to_duckdb(dtype) for name, dtype in columns.items()})
    return _select(columns, f"read_json({_paths(raw.paths)}, columns={types}{_options(raw.options)})", raw.origin)


def _select(
    columns: Mapping[str, str] | None,
    reader: str,
    origin: str | None = None,
    nulls: Mapping[str, Sequence[str]] | None = None,
) -> str:
    if columns is None:
        return f"SELECT * FROM {reader}"
    blank = {name: texts for name, texts in (nulls or {}).items() if columns.get(name) == "string"}
    chosen = [
        f"CAST({_known(name, blank.get(name, ()))} AS {to_duckdb(dtype)}) AS {identifier(name)}"
        for name, dtype in columns.items()
    ]
    return f"SELECT {', '.join([*chosen, *([identifier(origin)] if origin else [])])} FROM {reader}"


def _paths(paths: Sequence[str]) -> str:
    return literals([pattern(path) for path in paths])


def _nothing(columns: Mapping[str, str]) -> str:
    chosen = ", ".join(f"CAST(NULL AS {to_duckdb(dtype)}) AS {identifier(name)}" for name, dtype in columns.items())
    return f"SELECT {chosen} WHERE false"


def _options(options: Mapping[str, Any], *but: str) -> str:
    # DuckDB would take any directory called `a=b` for a column, also one above the project.
    given = {"hive_partitioning": False, **options}
    return "".join(f", {name}={literal(value)}" for name, value in _except(given, but))


def _except(options: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in options.items() if name not in names)

"""Convert DuckDB's exceptions to Mainstem's errors, with the file and line of a bad row and the reason
of a bad query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mainstem.errors import EngineError, MainstemError, SourceError, StorageError

_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_ROW = re.compile(r"Original Line: (.*)")
_COUNT = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_VALUE = re.compile(
    r"Error when converting column \"(.+)\"\. Could not convert string \"(.*?)\" to '([^']+)'", re.DOTALL
)
_CUT = re.compile(r"Unexpected end of GZIP stream: (.+)|Input is not a GZIP stream: (.+)")
_WRITTEN = re.compile(r"""(?:write|open) (?:to )?file \\?["'](.+?)\\?["']""")
_FULL = ("No space left on device", "File too large", "Disk quota exceeded", "Could not write")
_UNFIT = (
    'one value does not fit its type; _.column.try_cast("int64") gives null in its place, '
    "a filter or a check with severity='quarantine' in an earlier table sets the row aside"
)


@contextmanager
def explained(query: str) -> Iterator[None]:
    """Raise DuckDB's exceptions as `EngineError`, `SourceError` or `StorageError`."""
    import duckdb

    try:
        yield
    except MainstemError:
        raise
    except duckdb.Error as error:
        raise explain(str(error), query, type(error).__name__) from error


def explain(message: str, query: str, kind: str) -> MainstemError:
    """Return the error for DuckDB's `message` on `query`."""
    if "CSV Error on Line" in message:
        return _bad_row(message)
    if cut := _CUT.search(message):
        return SourceError("a compressed file is truncated or damaged", where=cut[1] or cut[2], hint="fetch it again")
    if "CSV Parser state machine reached an invalid state" in message:
        file = _FILE.search(message)
        return SourceError(
            "a CSV file has line ends of two kinds, or lines that are not those of its delimiter and quotes",
            where=file[1].strip() if file else None,
            hint="write it with one kind of line end, and uncompressed: then Mainstem reads both kinds",
        )
    if full := next((words for words in _FULL if words in message), None):
        file = _WRITTEN.search(message)
        return StorageError.full(file[1] if file else None, full if file else _first(message))
    if kind == "OutOfMemoryException":
        return EngineError(
            "the query needs more memory than it may use",
            got=_first(message),
            hint="raise the engine's memory_limit, or give it a temp_directory on a larger disk",
        )
    what = "the engine has an internal error" if kind == "InternalException" else "the engine refused the query"
    hint = _UNFIT if kind in ("ConversionException", "OutOfRangeException") else _hint(message)
    return EngineError(what, where=_excerpt(query), got=_first(message), hint=hint)


def _bad_row(message: str) -> SourceError:
    line, file, row = _LINE.search(message), _FILE.search(message), _ROW.search(message)
    where = f"{file[1].strip() if file else '?'}, line {line[1] if line else '?'}"
    got = row[1].strip() if row else None
    if count := _COUNT.search(message):
        return SourceError(
            f"a row has {count[2]} columns instead of {count[1]}",
            where=where,
            got=got,
            expected=f"{count[1]} columns",
            hint=_columns_hint(int(count[1]), int(count[2])),
        )
    if value := _VALUE.search(message):
        return SourceError(
            f"{value[2]!r} in column {value[1]!r} is not a {value[3]}",
            where=where,
            got=got,
            expected=value[3],
            hint="correct the file, or declare the column as string and clean it in a table",
        )
    if "unterminated quote" in message:
        hint = "if it is the last line, the file is truncated: fetch it again"
        return SourceError("a quoted value is not closed", where=where, got=got, expected="a closing quote", hint=hint)
    if "not utf-8" in message:
        encoding = "utf-16" if (got and "\\0" in got) or (got and "\0" in got) else "latin-1"
        hint = f'options={{"encoding": "{encoding}"}}'
        return SourceError("a row is not UTF-8 text", where=where, got=got, expected="utf-8", hint=hint)
    return SourceError("a row cannot be read", where=where, got=_reason(message))


def _columns_hint(expected: int, found: int) -> str:
    """Return what may be done about a row with more or fewer columns than the header."""
    if found < expected:
        other = 'options={"null_padding": True} reads what is missing as null'
    else:
        other = 'options={"skip": N} leaves out N lines above the header'
    aside = 'contract="quarantine" sets such lines aside'
    return f"if it is the last line, the file is truncated: fetch it again; {other}; {aside}"


def _reason(message: str) -> str:
    """Return the line after `Original Line` in the message, which has the reason."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in lines[1:] if not line.startswith("Original Line")), lines[0])


def _first(message: str) -> str:
    return message.split("\n\n")[0].split("\nLINE ")[0].strip()


def _hint(message: str) -> str | None:
    found = re.search(r"Candidate bindings: (.+)|Did you mean (.+)", message)
    return f"did you mean {found[1] or found[2]}" if found else None


def _excerpt(query: str, length: int = 160) -> str:
    flat = " ".join(query.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"

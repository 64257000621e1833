"""Excel workbooks: one sheet becomes a Parquet file, with the types that its cells have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import MissingExtra, SourceError, close_matches
from mainstem.nodes.files import Files
from mainstem.sources.formats.base import Reading
from mainstem.sources.formats.header import named
from mainstem.sources.formats.typed import ParquetFormat

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.extraction import Part

OPTIONS = ("sheet", "skip")

READ_AS_MISSING = b"read as missing"
"""The metadata of the Parquet file with the texts of each column that became null, and how many they were."""


class ExcelFormat(ParquetFormat):
    """The first row is the header. Whole numbers are integers. A column of unlike cells is text, unless its only texts
    mean a missing value (`NA`, `-`)."""

    name: ClassVar[str] = "excel"
    suffixes: ClassVar[tuple[str, ...]] = ("xlsx", "xlsm", "xls", "ods")

    def options(self, node: Files) -> dict[str, Any]:
        return {}

    def convert(self, source: Path, target: Path, node: Files, known: Mapping[str, str]) -> bool:
        import pyarrow.parquet as pq

        as_they_are = {*(node.schema or {}), *(name for name, type in known.items() if type == "string")}
        pq.write_table(_table(_rows(source, node.options), as_they_are), target)
        return True

    def parts(self, reading: Reading) -> Iterator[Part]:
        import pyarrow.parquet as pq

        for path in reading.paths:
            missing = json.loads((pq.read_schema(reading.root / path).metadata or {}).get(READ_AS_MISSING, b"{}"))
            for name, texts in missing.items():
                reading.shape.miss_values(name, sum(texts.values()), texts)
        yield from super().parts(reading)


def _rows(file: Path, options: Mapping[str, Any]) -> list[list[Any]]:
    """Return the cells of a sheet from the header on. Raises `SourceError`."""
    unknown = next((name for name in options if name not in OPTIONS), None)
    if unknown is not None:
        hint = close_matches(unknown, OPTIONS)
        raise SourceError(f"Excel files have no option {unknown!r}", expected=", ".join(OPTIONS), hint=hint)
    try:
        import python_calamine as calamine
    except ImportError:
        raise MissingExtra.named("excel", "python-calamine") from None
    try:
        with calamine.load_workbook(str(file)) as book:
            name = _sheet(book, options.get("sheet"))
            return list(book.get_sheet_by_name(name).to_python(skip_empty_area=False))[int(options.get("skip", 0)) :]
    except (calamine.CalamineError, OSError) as error:
        raise SourceError("an Excel file cannot be read", where=str(file), got=str(error)) from error


def _sheet(book: Any, wanted: Any) -> str:
    """Return the name of the sheet to read: the one that is named, or the only one that has cells."""
    names: list[str] = book.sheet_names
    if wanted is not None:
        if wanted in names:
            return str(wanted)
        hint = close_matches(str(wanted), names)
        raise SourceError(f"the workbook has no sheet {wanted!r}", expected=", ".join(names), hint=hint)
    filled = [name for name in names if book.get_sheet_by_name(name).to_python()]
    if len(filled) > 1:
        raise SourceError(
            "the workbook has several sheets",
            got=", ".join(filled),
            expected="the name of one",
            hint=f"options={{'sheet': {filled[0]!r}}}",
        )
    return filled[0] if filled else names[0]


def _table(rows: Sequence[Sequence[Any]], as_they_are: Collection[str]) -> pa.Table:
    """Return cells as columns. Rows and columns without a value are left out. Texts of the columns `as_they_are` are
    not read as missing values."""
    import pyarrow as pa

    if not rows:
        raise SourceError("the sheet has no header", expected="the names of the columns in its first row")
    header, cells = rows[0], [[None if cell == "" else cell for cell in row] for row in rows[1:]]
    cells = [row for row in cells if any(cell is not None for cell in row)]
    names = named([_as_text(cell) or "" for cell in header])
    columns = {name: [row[place] for row in cells] for place, name in enumerate(names)}
    kept = {
        name: values
        for (name, values), told in zip(columns.items(), header, strict=True)
        if told != "" or any(value is not None for value in values)
    }
    missing = {name: _missing(values) for name, values in kept.items() if name not in as_they_are}
    told = {name: Counter(texts) for name, texts in missing.items() if texts}
    kept |= {name: [None if isinstance(value, str) else value for value in kept[name]] for name in told}
    table = pa.table({name: _column(values) for name, values in kept.items()})
    return table.replace_schema_metadata({READ_AS_MISSING: json.dumps(told)})


def _missing(values: Sequence[Any]) -> list[str]:
    """Return the texts of a column of other values, if all of them mean a missing value."""
    from mainstem.sources.texts import MISSING

    texts = [value.strip() for value in values if isinstance(value, str)]
    others = any(value is not None and not isinstance(value, str) for value in values)
    return texts if others and all(text.lower() in MISSING for text in texts) else []


def _column(values: list[Any]) -> pa.Array:
    """Return cells as a column of the type that holds them all without loss; else as texts."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= {int, float}:
        whole = all(value is None or (float(value).is_integer() and abs(value) < 2**53) for value in values)
        return pa.array([None if v is None else int(v) if whole else float(v) for v in values])
    if kinds == {bool} or kinds == {date} or kinds == {time} or kinds == {str}:
        return pa.array(values)
    if kinds <= {date, datetime}:
        instants = [v if v is None or isinstance(v, datetime) else datetime(v.year, v.month, v.day) for v in values]
        return pa.array(instants, pa.timestamp("us"))
    return pa.array([_as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str | None:
    """Return a cell as the text that a person would type."""
    match value:
        case None | str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
    return str(value)

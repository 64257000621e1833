"""Every format of files, one module each."""

from __future__ import annotations

from mainstem.nodes.files import Files
from mainstem.sources.formats.avro import AvroFormat
from mainstem.sources.formats.base import Format
from mainstem.sources.formats.csv import CsvFormat
from mainstem.sources.formats.excel import ExcelFormat
from mainstem.sources.formats.typed import JsonFormat, ParquetFormat

FORMATS: dict[str, Format] = {
    format.name: format for format in (CsvFormat(), ParquetFormat(), JsonFormat(), ExcelFormat(), AvroFormat())
}


def format_of(node: Files) -> Format:
    """Return the format of a source of files."""
    return FORMATS[node.format]

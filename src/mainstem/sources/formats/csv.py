"""CSV: all columns are read as texts, which become values of the known types where they fit exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import EngineError, SourceError, UnknownName
from mainstem.masking import brief
from mainstem.nodes.files import Files
from mainstem.nodes.hidden import FILE
from mainstem.ports import Engine, RawFiles, Relation
from mainstem.sources.formats.base import FILES, Format, Reading, batched, doubts
from mainstem.sources.formats.header import header
from mainstem.sources.formats.lines import skipped, skips

if TYPE_CHECKING:
    import ibis

    from mainstem.sources.evolution import Change
    from mainstem.sources.extraction import Part

NULLS = "nulls"
"""The option with the texts of each column that mean a missing value."""

FORMATTED = {"dateformat": ("date",), "timestampformat": ("timestamp",), "decimal_separator": ("float", "decimal")}
"""Options with which the reader itself makes values of these types."""


TOGETHER = 1_000
"""The most columns of a relation. Each query looks at all columns of a relation, however few it reads."""

IN_MEMORY = 32 * 2**20
"""The most bytes of files whose texts are kept in memory while their types are inferred."""


class CsvFormat(Format):
    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = ("csv",)

    def parts(self, reading: Reading) -> Iterator[Part]:
        options, known = reading.node.options, reading.shape.columns
        for names, some in groupby(reading.paths, key=lambda path: header(reading.root / path, options, known)):
            for paths in batched(replace(reading, paths=tuple(some))):
                yield _Batch(reading, paths, names).part()

    def introspect(self, node: Files, paths: tuple[str, ...], engine: Engine) -> Mapping[str, str]:
        """Infer the types from the texts of all files: a column that is blank in one file gets its type from
        another."""
        from mainstem.sources.widening import wider

        found: dict[str, str] = {}
        groups: dict[tuple[str, ...], list[str]] = {}
        declared = dict(node.schema or {})
        for path in paths:
            groups.setdefault(header(Path(path), node.options, tuple(declared)), []).append(path)
        for names, some in groups.items():
            if names and declared.keys() >= set(names):
                found |= {name: declared[name] for name in names}
                continue
            if len(names) == 1 and re.search(r"[;\t|]", names[0]):
                hint = "set another delimiter: options={'delim': ';'}"
                raise SourceError("the CSV files have only one column", got=names[0], hint=hint)
            for name, type in _inferred(node, names, some, engine).items():
                found[name] = wider(found.get(name, "null"), type)
        for name in node.options.get(NULLS, {}):
            if name not in found:
                raise UnknownName.among("column", name, found)
        return found


def _inferred(node: Files, names: tuple[str, ...], paths: Sequence[str], engine: Engine) -> dict[str, str]:
    """Return the types of the texts of files with the same columns. Small files are opened once."""
    import pyarrow as pa

    from mainstem.sources.inference import types_of_text

    sniffed = {"delim": ",", "quote": '"', "escape": '"', **node.options, "all_varchar": True}
    columns = dict.fromkeys(names, "string")

    left_out = {"ignore_errors": True} if skips(node) else {}

    def raw(some: Sequence[str]) -> RawFiles:
        options = {**(node.options if names else sniffed), **left_out}
        return RawFiles(tuple(some), "csv", columns or None, options, names or None)

    if sum(Path(path).stat().st_size for path in paths) > IN_MEMORY:
        with engine.session({"files": raw(paths)}) as session:
            return types_of_text(session, "files", names or tuple(session.schema("SELECT * FROM files")))
    found = []
    for begin in range(0, len(paths), FILES):
        with engine.session({"files": raw(paths[begin : begin + FILES])}) as session:
            found.append(session.fetch("SELECT * FROM files"))
    texts, types = pa.concat_tables(found), dict[str, str]()
    for begin in range(0, len(texts.column_names), TOGETHER):
        some = texts.column_names[begin : begin + TOGETHER]
        with engine.session({"files": texts.select(some)}) as session:
            types |= types_of_text(session, "files", some)
    return types


class _Batch:
    """Files with the same header that are read together."""

    def __init__(self, reading: Reading, paths: Sequence[str], names: tuple[str, ...]) -> None:
        self.reading, self.paths, self.names = reading, tuple(paths), names
        self.shape = reading.shape
        self.declared = frozenset(reading.node.schema or {})

    def part(self) -> Part:
        """Return the rows in the known types. If a text does not fit, or means a missing value, the part is asked for
        again."""
        if self._skips():
            skipped(self.reading, self._raw(self.paths))
        new = [name for name in self.names if name not in self.shape.schema]
        found = {**self._known(), **(self._types(new) if new else {})}
        doubtful = self.shape.meet(found, self.paths[0])
        return self._part(doubtful, final=False)

    def again(self) -> Part:
        """Return the rows in the types that their texts have. Raises `SourceError` if the contract forbids it."""
        found = self._types(list(self.names))
        doubtful = self.shape.meet(found, self.paths[0], place=self._place)
        self._note_missing()
        return self._part((*doubtful, *self._beyond(found)), final=True)

    def _note_missing(self) -> None:
        """Note the texts that are read as missing values."""
        from mainstem.sources.inference import missing_of

        typed, known = {*self._formatted(), *self.declared}, self._known()
        names = [name for name, type in known.items() if type != "string" and name not in typed]
        with self.reading.engine.session({"files": self._raw(self.paths)}) as session:
            for name, (many, texts) in missing_of(session, "files", names).items():
                self.shape.miss_values(name, many, texts)

    def _beyond(self, found: Mapping[str, str]) -> list[Change]:
        """Return the columns of floats with integers that no float holds, if their rows are to be set aside. Raises
        `SourceError` if not."""
        from mainstem.sources.evolution import Change, lossy

        names = [n for n, type in found.items() if type == "int64" and self.shape.schema.get(n) == "float64"]
        for name in names:
            if self.reading.node.policy(name) != "quarantine":
                place, text = self._misfit(name)
                raise lossy(name, "int64", "float64", text, f"{self.shape.where}: {place}")
        return [Change(name, "float64", "string", self.paths[0]) for name in names]

    def _known(self) -> dict[str, str]:
        return {name: self.shape.schema[name] for name in self.names if name in self.shape.schema}

    def _part(self, doubtful: Sequence[Change], *, final: bool) -> Part:
        from mainstem.sources.extraction import Part
        from mainstem.sources.texts import value

        schema = dict(self.shape.schema)
        typed = self._formatted()
        kept = [name for name in self.names if name in schema]

        def read(name: str, text: Any) -> Any:
            is_declared = name in self.declared
            return value(text, schema[name], declared=is_declared, missing=final and not is_declared)

        def values(table: ibis.Table) -> dict[str, Any]:
            found = {name: table[name] if name in typed else read(name, table[name]) for name in kept}
            return {**found, FILE: self._origin(table)}

        columns = {**dict.fromkeys(self.names, "string"), **typed, FILE: "string"}
        again = None if final else self.again
        doubt = partial(doubts, doubtful, self._fits) if doubtful else None
        return Part(self.paths[0], self._raw(self.paths), columns, schema, values, doubt, again)

    def _origin(self, table: ibis.Table) -> Any:
        return self.reading.origin(table)

    def _raw(self, paths: Sequence[str]) -> Relation:
        columns = {**dict.fromkeys(self.names, "string"), **self._formatted()}
        options = dict(self.reading.node.options) | ({"ignore_errors": True} if self._skips() else {})
        return RawFiles(self.reading.at(paths), "csv", columns, options, self.names, FILE)

    def _skips(self) -> bool:
        return skips(self.reading.node)

    def _formatted(self) -> dict[str, str]:
        """Return the columns whose texts the reader itself converts, by its options."""
        kinds = [kind for option in self.reading.node.options for kind in FORMATTED.get(option, ())]
        return {name: type for name, type in self._known().items() if type.startswith(tuple(kinds))} if kinds else {}

    def _types(self, names: Sequence[str]) -> dict[str, str]:
        from mainstem.sources.inference import types_of_text

        typed = self._formatted()
        texts = [name for name in names if name not in typed]
        with self.reading.engine.session({"files": self._raw(self.paths)}) as session:
            return {**types_of_text(session, "files", texts, self._known(), self.declared), **typed}

    def _fits(self, text: Any, type: str) -> Any:
        """Return whether texts are values of a type, or mean a missing one where the type is not declared."""
        from mainstem.sources.texts import fits, is_missing

        if text.get_name() in self.declared:
            return fits(text, type, declared=True)
        return fits(text, type) | is_missing(text)

    def _place(self, name: str) -> str:
        """Return the file, the row and the first text that does not fit its known type."""
        place, text = self._misfit(name)
        return f"{place}: {brief(repr(text))}"

    def _misfit(self, name: str) -> tuple[str, str]:
        """Return the file and the row of the first text that does not fit its known type, and the text."""
        import ibis

        for path in self.paths:
            raw = self._raw([path])
            with self.reading.engine.session({"files": raw}) as session:
                columns = {**dict.fromkeys(self.names, "string"), **self._formatted(), FILE: "string"}
                rows = ibis.table(columns, name="files").mutate(_row=ibis.row_number())
                known = self.shape.schema[name]
                unfit = rows[name].notnull() & ~self._fits(rows[name], known)
                found = session.fetch(rows.filter(unfit).select(name, "_row").limit(1)).to_pylist()
            if found:
                return f"{path}, row {found[0]['_row'] + 1}", found[0][name]
        raise EngineError("no text misfits its type", where=self.paths[0], got=name)


class Retaken(_Batch):
    """Rows of a CSV file that were set aside as texts. They are read as the file was."""

    def __init__(self, reading: Reading, rows: Sequence[Mapping[str, Any]], file: str) -> None:
        super().__init__(reading, [file], tuple(rows[0]))
        self.rows = rows

    def _origin(self, table: ibis.Table) -> Any:
        return table[FILE]

    def _raw(self, paths: Sequence[str]) -> Relation:
        import pyarrow as pa

        columns: dict[str, list[Any]] = {name: [_as_text(row[name]) for row in self.rows] for name in self.names}
        columns[FILE] = list(paths) * len(self.rows)
        return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))

    def _formatted(self) -> dict[str, str]:
        return {}

    def _skips(self) -> bool:
        return False


def _as_text(value: Any) -> str | None:
    """Return a value of a row that was set aside as a text. Options of the reader may have made a number of it."""
    return value if value is None or isinstance(value, str) else json.dumps(value)

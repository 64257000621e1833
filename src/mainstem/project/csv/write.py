"""Write a project that learns a column of a CSV file."""

from __future__ import annotations

import csv
import keyword
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast, get_args

from mainstem.errors import ModelError, UnknownName
from mainstem.models.data.two import positive
from mainstem.nodes.models import Task
from mainstem.project.csv.encoding import UTF8, encoding_of
from mainstem.project.csv.forms import Form
from mainstem.project.csv.look import Column, Look, look, task_of

ROWS = ("row", "row_number", "number_of_the_row")
"""Names of the key that is added if no column tells rows apart: the first that no column has."""


QUERY = re.compile(r"(?i:(?:query|search|session|request)(?:[_ ]?id)?|qid)")
"""The name of a column that groups the rows of one ranking."""
GRADES = 10
"""The most distinct whole numbers that may be grades."""


@dataclass(frozen=True)
class Written:
    """What was written: the files, and what was found out about the CSV file, one sentence each."""

    files: tuple[str, ...]
    endpoint: str
    model: str
    said: tuple[str, ...]


def write(file: Path, target: str, directory: Path, task: Task | None = None) -> Written:
    """Write a project to a directory: a copy of the CSV file below `data/`, and a model of its column `target`.

    The copy is in UTF-8. Raises `UnknownName` for a target that is not a column, `SourceError` for a file that cannot
    be read, and `ModelError` for a target that does not vary.
    """
    encoding = encoding_of(file)
    if encoding == UTF8:
        return _write(file, target, directory, task)
    with TemporaryDirectory(prefix="mainstem-") as temporary:
        again = Path(temporary) / file.name
        with file.open(encoding=encoding, newline="") as given, again.open("w", encoding="utf-8", newline="") as text:
            shutil.copyfileobj(given, text)
        made = _write(again, target, directory, task)
    return replace(made, said=(*made.said, f"encoding: {encoding}; the copy in data/ is in UTF-8"))


def _write(file: Path, target: str, directory: Path, task: Task | None) -> Written:
    found = look(file, target)
    wanted = found[target]
    if wanted.distinct < 2:
        raise ModelError("the target is constant", where=str(file), got=f"{wanted.distinct} distinct value")
    _refuse_task(file, wanted, task)
    project = _Project(file, found, wanted, task or task_of(wanted))
    for path in (directory / "data", directory):
        path.mkdir(parents=True, exist_ok=True)
    project.copy(directory / "data" / project.name)
    texts = {
        "mainstem.toml": f'[project]\nname = "{project.endpoint}"\nmodules = ["{project.module}"]\n',
        f"{project.module}.py": project.code(),
        "README.md": project.readme(),
        ".gitignore": ".mainstem/\n__pycache__/\n",
    }
    for name, text in texts.items():
        (directory / name).write_text(text)
    files = (*texts, f"data/{project.name}")
    return Written(files, project.endpoint, project.model, tuple(project.said()))


def _refuse_task(file: Path, target: Column, task: Task | None) -> None:
    """Refuse a task that the target does not have. Raises `ModelError`."""
    got = expected = ""
    if task == "binary" and target.distinct != 2 and target.type != "boolean":
        got, expected = f"{target.distinct:,} distinct values", "two"
    if task in ("regression", "count") and target.type not in ("int64", "float64"):
        got, expected = target.type, "numbers"
    if task in ("quantile", "ranking"):
        got, expected = f"task={task!r}", "a task of one number or class for each row"
    if expected:
        raise ModelError(
            f"the target is not one of the task {task!r}",
            where=f"{file}, {target.name}",
            got=got,
            expected=expected,
            hint=f"without --task it is {task_of(target)}",
        )


def task_named(name: str | None) -> Task | None:
    """Return the task of a name. Raises `UnknownName`."""
    for task in get_args(Task):
        if name == task:
            return cast(Task, task)
    if name is not None:
        raise UnknownName.among("task", name, get_args(Task))
    return None


class _Project:
    def __init__(self, file: Path, found: Look, target: Column, task: Task) -> None:
        self.file, self.found, self.target, self.task = file, found, target, task
        self.name = re.sub(r"[\[\]*?{}]", "_", file.name)  # a path of a source is a pattern
        self.endpoint = _identifier(target.name)
        self.model, self.module = f"{self.endpoint}_model", f"{self.endpoint}_model"
        source = _identifier(file.stem)
        self.source = source if source not in (self.endpoint, self.model, "ms") else "rows"
        key = found.key
        self.key = key if key != target.name else None
        have = {column.name for column in found.columns}
        self.table = f"{self.source}_read" if self.endpoint != f"{self.source}_read" else f"{self.source}_rows"
        self.row = next((name for name in ROWS if name not in have), "_".join(sorted(have)))

    @property
    def used(self) -> list[Column]:
        return [c for c in self.found.columns if c.name not in (self.key, self.target.name) and not self.useless(c)]

    def useless(self, column: Column) -> str:
        """Return why a model cannot learn from a column, or an empty text."""
        if not column.distinct or (column.distinct == 1 and not column.missing):
            return "constant" if column.distinct else "empty"
        if column.name == self.found.copied_key:
            return "tells rows apart, but for copies of rows"
        known = self.found.rows - column.missing
        unique = column.type == "string" and column.distinct == known
        return "differs in every row" if unique and not column.prose else ""

    @property
    def read(self) -> Mapping[str, Form]:
        """The columns in use whose texts a verb reads, with their forms."""
        return {c.name: c.form for c in (*self.used, self.target) if c.form is not None and c.form.verb is not None}

    def copy(self, target: Path) -> None:
        """Copy the CSV file. Without a key, each row gets its number as one."""
        if self.key is not None:
            shutil.copyfile(self.file, target)
            return
        delimiter = str(self.found.options.get("delim", ","))
        with self.file.open(newline="", encoding="utf-8-sig") as given, target.open("w", newline="") as copied:
            rows, writer = csv.reader(given, delimiter=delimiter), csv.writer(copied, delimiter=delimiter)
            for number, row in enumerate(row for row in rows if row):
                writer.writerow([self.row if number == 0 else number, *row])

    def code(self) -> str:
        options = f", options={dict(self.found.options)!r}" if self.found.options else ""
        target, uses = self._target()
        lines = [
            f'"""What decides `{self.target.name}`? A model of the rows of data/{self.name}."""',
            "",
            *(["from ibis import _", ""] if uses else []),
            "import mainstem as ms",
            "",
            f'{self.source} = ms.files("data/{self.name}", key="{self.key or self.row}"{options})',
            "",
            *(self._table() if self.read else []),
            f"{self.model} = ms.model(",
            f"    {self.table if self.read else self.source},",
            f"    target={target},",
            f'    task="{self.task}",',
            "    features=[",
            *self._features(),
            "    ],",
            ")",
            "",
            f"{self.endpoint} = ms.endpoint({self.model})",
        ]
        return "\n".join(lines) + "\n"

    def _table(self) -> Iterator[str]:
        yield ""
        yield "@ms.table("
        yield f'    key="{self.key or self.row}",'
        yield "    clean=["
        yield from (f"        {form.code}," for form in self.read.values())
        yield "    ],"
        yield ")"
        yield f"def {self.table}({self.source}):"
        yield '    """The rows, with numbers and dates in place of texts."""'
        yield f"    return {self.source}"
        yield from ("", "")

    def _features(self) -> Iterator[str]:
        used = {column.name for column in self.used}
        for column in self.found.columns:
            if column.name in (self.key, self.target.name):
                continue
            about = f"{column.type}, {column.distinct:,} values"
            about += f", {column.missing:,} missing" if column.missing else ""
            name = _quoted(column.name)
            yield f"        {name},  # {about}" if column.name in used else f"        # {name}: {self.useless(column)}"

    def _target(self) -> tuple[str, bool]:
        """Return the target as code, and whether it is an expression. A binary target is a truth value."""
        name = _quoted(self.target.name)
        if self.task != "binary" or self.target.type == "boolean":
            return name, False
        value = positive(self.target.values)
        literal = value if self.target.type in ("int64", "float64") else _quoted(value)
        return f"_[{name}] == {literal}", True

    def readme(self) -> str:
        example = " ".join(f"{c.name}=…" for c in self.used[:3])
        more = " …" if len(self.used) > 3 else ""
        return f"""# {self.target.name}

    mainstem run                      # reads data/{self.name}, compares algorithms, trains a challenger
    mainstem show {self.model}        # how good it is, and what it learned from
    mainstem promote {self.model}     # ships it
    mainstem predict {self.endpoint} {example}{more}
    mainstem serve                    # answers POST /predict/{self.endpoint}

Change `{self.module}.py`: the target, the task, the features. New rows go to data/{self.name}. The next run reads
them.{"" if self.key else f" Its first column, `{self.row}`, numbers the rows: give each new row the next number."}
"""

    def said(self) -> Iterator[str]:
        yield f"task: {self.task}, " + (f"predicts {self._target()[0]}" if self.task == "binary" else self.target.type)
        key = f"`{self.key}`" if self.key else f"`{self.row}`, the number of the row: no column tells rows apart"
        yield f"key: {key}"
        if self.found.copies:
            yield f"copies: {self.found.copies:,} rows are equal to an earlier one, and count as often as they occur"
        left = [f"`{c.name}` ({why})" for c in self.found.columns if (why := self._left_out(c))]
        if left:
            yield f"left out: {', '.join(left)}"
        nulls = {c.name: ", ".join(text or "spaces" for text in c.nulls) for c in self.found.columns if c.nulls}
        if nulls:
            yield "missing values: " + "; ".join(f"{texts} in `{name}`" for name, texts in nulls.items())
        if self.read:
            read = ", ".join(f"`{name}` ({form.told})" for name, form in self.read.items())
            yield f"read by the table `{self.table}`: {read}"
        yield from (f"`{c.name}` is read as text: {seen}" for c in self.found.columns if (seen := self._seen(c)))
        yield from self._hints()
        if self.target.missing:
            yield f"{self.target.missing:,} rows have no {self.target.name}: they are unlabelled"

    def _seen(self, column: Column) -> str:
        """Return what was seen in a column of texts that may be meant as numbers, dates or times."""
        if column.name in (self.key, *self.read):
            return ""
        if not column.but:
            return column.form.told if column.form else ""
        texts = ", ".join(f"{text!r} ({rows:,} row{'s' if rows > 1 else ''})" for text, rows in column.but.items())
        option = {"nulls": {column.name: list(column.but)}}
        return f"numbers but for {texts}; options={option} reads these as missing values"

    def _hints(self) -> Iterator[str]:
        """Yield what the columns suggest that a file cannot tell."""
        time = next((c.name for c in self.used if c.type.startswith(("date", "timestamp"))), None)
        if time is not None:
            yield f"time: the test is drawn at random; with prediction_time= it has the latest rows by `{time}`"
        query = next((c.name for c in self.used if QUERY.fullmatch(c.name) and c.distinct < self.found.rows), None)
        if query is not None and self.target.type == "int64" and self.target.distinct <= GRADES:
            grades = f"if `{self.target.name}` has grades within `{query}`"
            yield f'ranking: {grades}, task="ranking" and query="{query}" rank the rows'

    def _left_out(self, column: Column) -> str:
        return "" if column.name in (self.key, self.target.name) else self.useless(column)


def _identifier(text: str) -> str:
    """Return a Python name for a text."""
    name = re.sub(r"\W+", "_", text.strip()).strip("_").lower() or "column"
    return f"{name}_" if keyword.iskeyword(name) else f"c_{name}" if name[0].isdigit() else name


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

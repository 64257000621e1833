"""The header of a file: the names of its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstem.errors import SourceError
from mainstem.masking import brief


def header(file: Path, options: Mapping[str, Any], known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the columns of a CSV file, from its first line. Without a header they are those that are
    `known`, or `column0`, `column1` and so on. Raises `SourceError`."""
    headed = bool(options.get("header", True))
    if known and not headed:
        return tuple(known)
    try:
        with lines(file, str(options.get("encoding", "utf-8"))) as text:
            for _ in range(int(options.get("skip", 0))):
                next(text, None)
            delimiter = str(options.get("delim", options.get("sep", ",")))
            first = next(csv.reader(text, delimiter=delimiter, quotechar=str(options.get("quote", '"')) or None), [])
    except FileNotFoundError as error:
        raise SourceError("a file of the source no longer exists", where=str(file), hint="run again") from error
    except (OSError, EOFError, csv.Error) as error:
        raise SourceError("the header of a CSV file cannot be read", where=str(file), got=str(error)) from error
    if not headed:
        return tuple(f"column{place}" for place in range(len(first)))
    unclear = next((name for name in first if not _is_text(name)), None)
    if unclear is not None:
        raise SourceError(
            "the header of a CSV file is not text",
            where=str(file),
            got=brief(repr(unclear)),
            expected="names of columns",
            hint='check that it is CSV; options={"encoding": "latin-1"} or "utf-16" reads other encodings',
        )
    return named(first)


def _is_text(name: str) -> bool:
    """Return whether a name has no control character but white space, and none that its encoding does not know."""
    return all(sign in "\t\r\n" or (sign >= " " and sign != "\ufffd") for sign in name)


def named(first: Sequence[str]) -> tuple[str, ...]:
    """Return names without spaces around them. A column without a name is `column0`, a second `a` is `a_1`."""
    found: dict[str, None] = {}
    for place, text in enumerate(first):
        name = text.strip() or f"column{place}"
        again = (f"{name}_{number}" for number in range(1, len(first) + 1))
        found[name if name not in found else next(each for each in again if each not in found)] = None
    return tuple(found)


def lines(file: Path, encoding: str) -> Any:
    """Return the text of a file, which may be compressed, as a stream of lines."""
    import pyarrow as pa

    encoding = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    return io.TextIOWrapper(pa.input_stream(str(file)), encoding=encoding, errors="replace", newline="")

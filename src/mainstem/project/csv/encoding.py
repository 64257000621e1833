"""How the characters of a file are encoded."""

from __future__ import annotations

import codecs
from pathlib import Path

from mainstem.errors import SourceError

UTF8 = "utf-8-sig"
"""UTF-8, with or without a byte order mark."""

PART = 1 << 20


def encoding_of(file: Path) -> str:
    """Return UTF-8 if the whole file is in it, UTF-16 by its byte order mark, else `cp1252`, as spreadsheets of western
    languages write files. Raises `SourceError` for a file that is in none of them, or does not exist."""
    if not file.exists():
        raise SourceError("the file does not exist", where=str(file))
    try:
        with file.open("rb") as stream:
            marked = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        found = next((each for each in (("utf-16",) if marked else (UTF8, "cp1252")) if _is_in(file, each)), None)
    except OSError as problem:
        raise SourceError("the file cannot be read as CSV", where=str(file), got=str(problem)) from problem
    if found is None:
        raise SourceError(
            "the file cannot be read as text",
            where=str(file),
            expected="UTF-8, UTF-16 with a byte order mark, or cp1252",
            hint="save it in UTF-8",
        )
    return found


def _is_in(file: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with file.open("rb") as stream:
        try:
            while part := stream.read(PART):
                if "\0" in decoder.decode(part):  # of a file of another kind
                    return False
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True

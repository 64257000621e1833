"""Secret values of this process, and their removal from every text that leaves it.

`settings.expand` remembers each value that it takes from the environment. The exits (errors, log records, tracebacks,
command output, answers and pages of the server, records of the state) pass their texts through `masked`.
"""

from __future__ import annotations

import base64
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 6
"""Characters of the shortest value that is masked. Shorter values occur in ordinary text."""

ENOUGH = 400
"""Characters of a value's text after which the rest is not read."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Form:
    """One encoding of a secret value. Only a text that contains `anchor` is searched for `pattern`."""

    anchor: str
    pattern: re.Pattern[str]


_values: set[str] = set()
_forms: tuple[_Form, ...] = ()
_installed = False
_changing = threading.Lock()


def remember(value: str) -> None:
    """Mask `value` from now on, if it has 6 or more characters; also each of its lines."""
    global _forms
    parts = {part for part in (value, value.strip(), *map(str.strip, value.splitlines())) if len(part) >= SHORTEST}
    if parts <= _values:
        return
    with _changing:
        _install()
        _values.update(parts)
        # The longest first: a value may be a part of another one.
        _forms = tuple(form for each in sorted(_values, key=len, reverse=True) for form in _forms_of(each))


def remember_password(url: str) -> None:
    """Mask the password of a URL, as it is written and decoded."""
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return
    for form in (password, unquote(password)):
        remember(form)


def masked(text: str) -> str:
    """Return `text` with `***` in place of every secret value, plain or encoded."""
    for form in _forms:
        if form.anchor in text:
            text = form.pattern.sub(MASK, text)
    return text


def brief(text: str, length: int = 80) -> str:
    """Return at most `length` characters of `text`. It is masked before it is cut: a part of a secret is not found."""
    text = masked(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def brief_value(value: Any, length: int = 80) -> str:
    """Return at most `length` characters of a JSON value in Python's notation, masked. Of a large value only the
    beginning is read."""
    text, size = list[str](), 0
    for part in _written(value):
        text.append(part)
        size += len(part)
        if size >= ENOUGH:
            break
    return brief("".join(text), length)


def _written(value: Any) -> Iterator[str]:
    """Yield the parts of a value's text, as `repr` writes it."""
    if isinstance(value, dict):
        yield "{"
        for place, (name, each) in enumerate(value.items()):
            yield ", " if place else ""
            yield from _written(name)
            yield ": "
            yield from _written(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for place, each in enumerate(value):
            yield ", " if place else ""
            yield from _written(each)
        yield "]"
    else:
        yield repr(value[:ENOUGH] if isinstance(value, str) else value)


def harmless(error: BaseException) -> BaseException | None:
    """Return `error`, or None if its text shows a secret: then it is not the `__cause__` of an error that is shown."""
    text = f"{error} {error!r}"
    return error if masked(text) == text else None


def masked_all(value: T) -> T:
    """Return plain data (dicts, lists, texts, numbers) with every text masked, also keys."""
    return _deep(value) if _forms else value


def _deep(value: Any) -> Any:
    match value:
        case str():
            return masked(value)
        case bytes():
            found = masked(value.decode("latin-1"))
            return found.encode("latin-1")
        case dict():
            kept = dict[Any, Any]()
            for key, item in value.items():
                name = masked(key) if isinstance(key, str) else key
                while name in kept:
                    name += "*"
                kept[name] = _deep(item)
            return kept
        case list():
            return [_deep(item) for item in value]
        case tuple() if type(value) is tuple:
            return tuple(map(_deep, value))
    return value


# ── forms of a value ──────────────────────────────────────────────────────────────────────────────────


@cache
def _forms_of(value: str) -> list[_Form]:
    """Return a value's forms: escaped character by character, in base64 at any offset, and in hexadecimal."""
    raw = value.encode("utf-8", "surrogatepass")
    hexadecimal = (raw.hex(), raw.hex().upper())
    return [
        _Form(_anchor(value), re.compile(_escaped(value))),
        *(_Form(_anchor(core), re.compile(pattern)) for core, pattern in _base64(raw)),
        *(_Form(text, re.compile(text)) for text in hexadecimal),
    ]


def _anchor(text: str) -> str:
    """Return the longest part that every encoding leaves as it is."""
    return max(re.findall("[A-Za-z0-9]+", text), key=len, default="")


def _escaped(value: str) -> str:
    """Return a pattern of a value whose characters may be escaped, each in another way."""
    found, slashes = list[str](), ""
    for part in re.findall(r"\\+|[^\\]", value):
        found.append(_backslashes(len(part), bool(found)) if part[0] == "\\" else _character(part, slashes))
        slashes = r"\\*" if part[0] == "\\" else r"\\+"
    return "".join(found)


def _backslashes(count: int, within: bool) -> str:
    """Return a pattern of a run of backslashes. Hostile text must not make the search slow, so it is possessive."""
    start, slash = ("", r"\\+") if within else (r"(?<!\\)", r"\\")
    return rf"(?i:{start}\\{{{count},}}+|(?:%(?:25)*5c|&(?:amp;)*\#(?:92|x5c);|{slash}(?:x|u00)5c){{{count}}})"


def _character(char: str, slashes: str) -> str:
    """Return a pattern of a character as itself, or as URLs, JSON, Python, HTML and JavaScript escape it.

    `slashes` is the pattern of the backslashes of an escape. Without it, the character is the first one.
    """
    if char.isascii() and char.isalnum():
        return char
    raw, code = char.encode("utf-8", "surrogatepass"), ord(char)
    units = char.encode("utf-16-be", "surrogatepass")
    slash = slashes or r"\\"
    forms = [
        (r"\\*" if slashes else "") + re.escape(char),
        "".join(f"%(?:25)*{_hex(byte)}" for byte in raw),  # %252F is quoted twice
        slash + r"\\+".join(f"x{_hex(byte)}" for byte in raw),
        slash + r"\\+".join(f"u{_hex(*units[i : i + 2])}" for i in range(0, len(units), 2)),
        rf"(?i:{slash}x{code:02x}|{slash}U{code:08x}|&(?:amp;)*\#(?:0*{code}|x0*{code:x});)",
        *(rf"&(?:amp;)*{name};" for name in _ENTITIES.get(char, ())),
        *(rf"{slash}{letter}" for letter in _LETTERS.get(char, "")),
        *([r"\+"] if char == " " else []),
    ]
    return f"(?:{'|'.join(forms)})"


def _hex(*units: int) -> str:
    return f"(?i:{bytes(units).hex()})"


_ENTITIES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",)}
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def _base64(raw: bytes) -> list[tuple[str, str]]:
    """Return bytes within a base64 text, such as `user:password`, and their pattern, at each of three offsets.

    The first are the characters that only these bytes determine. The pattern includes those shared with neighbours.
    """
    found = list[tuple[str, str]]()
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + raw).decode().rstrip("=")
        whole = (offset + len(raw)) * 8 // 6
        core = text[-(-offset * 8 // 6) : whole]
        rest = r"[\w+/-]?=*" if len(text) > whole else ""
        # The standard alphabet and the one for URLs, with quoted `+` and `/`.
        found.append((core, "[\\w+/-]?" * bool(offset) + re.sub("[+/]", _alphabet, core) + rest))
    return found


def _alphabet(match: re.Match[str]) -> str:
    return r"(?:\+|-|%(?:25)*2[Bb])" if match[0] == "+" else r"(?:\\*/|_|%(?:25)*2[Ff])"


# ── texts of the whole process ────────────────────────────────────────────────────────────────────────


def _install() -> None:
    """Mask log records of every library, and tracebacks that Python prints. Do it once."""
    global _installed
    if _installed:
        return
    _installed = True
    made = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _masked_record(made(*args, **kwargs))

    logging.setLogRecordFactory(record)
    shown, in_thread = sys.excepthook, threading.excepthook

    def show(kind: Any, error: Any, trace: Any) -> None:
        if not _write(error):
            shown(kind, error, trace)

    def show_in_thread(args: Any) -> None:
        if args.exc_value is None or not _write(args.exc_value):
            in_thread(args)

    sys.excepthook, threading.excepthook = show, show_in_thread


def _write(error: BaseException) -> bool:
    """Write the masked traceback of an error if it shows a secret. Return whether it does."""
    text = "".join(traceback.format_exception(error))
    hidden = masked(text)
    if hidden == text:
        return False
    if sys.stderr is not None:
        sys.stderr.write(hidden)
    return True


def _masked_record(record: logging.LogRecord) -> logging.LogRecord:
    try:
        text = record.getMessage()
    except Exception:  # the arguments do not fit the message; logging reports that when it formats the record
        record.args = masked_all(tuple(map(repr, record.args or ())))
        return record
    hidden = masked(text)
    if hidden != text:
        record.msg, record.args = hidden, ()
    if record.exc_info and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        if (hidden := masked(trace)) != trace:
            record.exc_info, record.exc_text = None, hidden
    return record

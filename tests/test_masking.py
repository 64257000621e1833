"""Secret values are masked in every encoding, in log records and in tracebacks."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest

from mainstem import masking
from mainstem.errors import SettingsError, SourceError
from mainstem.masking import MASK, brief_value, masked, masked_all, remember, remember_password
from mainstem.settings import expand

CANARIES = [
    "canary",
    "c4n/ry+s3=cr&t 'x\" \\ é",
    "top\nline2canary",
    "😀canary🔑",
    "<tag>&amp;x",
    "~~~!!!",
    "%41%42%43",
]

CANARIES += ['\\\\a\\\n\\"canary\\', "\ncanary"]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS = {
    "plain": str,
    "quote": quote,
    "quote all": lambda v: quote(v, safe=""),
    "quote_plus": quote_plus,
    "quote twice": lambda v: quote(quote(v, safe=""), safe=""),
    "lower-case quote": lambda v: "".join(quote(c, safe="").lower() if not c.isalnum() else c for c in v),
    "urlencode": lambda v: urlencode({"key": v}),
    "base64": b64,
    "base64 of user:password": lambda v: b64(f"user:{v}"),
    "base64 of me:password": lambda v: b64(f"me:{v}"),
    "base64 of a text around it": lambda v: b64(f"x={v}&y=1"),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    "quoted base64": lambda v: quote(b64(f"a:{v}"), safe=""),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda v: json.dumps(v, ensure_ascii=False),
    "JSON in JSON": lambda v: json.dumps(json.dumps(v)),
    "msgspec": lambda v: msgspec.json.encode(v).decode(),
    "repr": repr,
    "repr of repr": lambda v: repr(repr(v)),
    "ascii": ascii,
    "repr of bytes": lambda v: repr(v.encode()),
    "HTML": html.escape,
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
}


@pytest.mark.parametrize("value", CANARIES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_masked(value: str, encoding: str) -> None:
    remember(value)
    shown = ENCODINGS[encoding](value)
    hidden = masked(f"before {shown} after")
    assert MASK in hidden and shown not in hidden
    assert hidden.startswith("before ") and hidden.endswith(" after")
    longest = max(value.replace("\\", " ").split(), key=len)
    assert longest not in hidden and b64(longest).rstrip("=")[:-1] not in hidden


def test_short_values_and_other_texts_stay() -> None:
    for value in ("", "a", "12345"):
        remember(value)
    remember("canary")
    text = 'a 12345 {"canar": 1} https://host/path?x=%20 Y2Fu \\n &amp;'
    assert masked(text) == text


def test_the_longer_of_two_values_is_masked_as_a_whole() -> None:
    remember("canary")
    remember("canary-of-prod")
    assert masked("canary-of-prod canary") == "*** ***"


def test_lines_of_a_value_are_masked_one_by_one() -> None:
    remember("-----BEGIN KEY-----\nMIIEabcdef\nok\n")
    assert masked("  MIIEabcdef\n  ok") == "  ***\n  ok"


def test_passwords_of_urls() -> None:
    remember_password("redis://me:p%40ss-canary@host/0")
    remember_password("http://[broken")
    assert masked("p%40ss-canary p@ss-canary me host") == "*** *** me host"


def test_plain_data_keeps_its_shape() -> None:
    remember("canary")
    remember("100000")
    data = {"a": ["canary", 100000, None, ("x canary",)], "canary": 1, "100000": 2, "b": b"canary"}
    assert masked_all(data) == {"a": ["***", 100000, None, ("x ***",)], "***": 1, "****": 2, "b": b"***"}
    assert masked_all(data["a"]) is not data["a"]


def test_expanding_a_variable_masks_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "canary-7")
    assert expand("Bearer ${env:A_KEY}") == "Bearer canary-7"
    error = SourceError("canary-7", where="at canary-7", got="canary-7", expected="canary-7", hint="canary-7")
    assert "canary" not in f"{error} {error!r} {error.args} {vars(error)}"
    error.hint = "set later: canary-7"
    assert str(error).endswith("hint: set later: ***")
    with pytest.raises(SettingsError, match="NO_SUCH_KEY is not set"):
        expand("${env:NO_SUCH_KEY}")


def test_log_records_of_every_library(caplog: pytest.LogCaptureFixture) -> None:
    remember("canary")
    logger = logging.getLogger("another.library")
    logger.warning("GET /x?key=%s of %d", "canary", 7)
    logger.warning({"key": "canary"})
    logger.warning("nothing %s", "secret")
    try:
        raise ValueError("the key is canary")
    except ValueError:
        logger.exception("failed")
    assert "canary" not in caplog.text
    assert "GET /x?key=*** of 7" in caplog.text and "nothing secret" in caplog.text
    assert "ValueError: the key is ***" in caplog.text


def test_a_log_record_whose_arguments_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    remember("canary")
    record = logging.getLogRecordFactory()("x", 30, __file__, 1, "%d", ("canary",), None)
    assert record.args == ("'***'",)


PROGRAM = """
import logging, threading, sys
from mainstem.settings import expand
logging.basicConfig(level="DEBUG")
key = expand("${env:KEY}")
logging.getLogger("lib").debug("key %s", key)
def fail():
    raise ValueError(f"in a thread: {key}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
print("no secret", file=sys.stderr)
try:
    {}[f"https://host/?key={key}"]
except KeyError as error:
    raise RuntimeError("unexpected") from error
"""


def test_tracebacks_of_a_program() -> None:
    command = [sys.executable, "-c", PROGRAM]
    env = {**os.environ, "KEY": "canary/7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "canary" not in said
    assert "in a thread: ***" in said and "https://host/?key=***" in said and "RuntimeError: unexpected" in said


def test_a_traceback_without_secrets_is_left_to_the_hook_that_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(masking, "_installed", False)
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = logging.getLogRecordFactory()
    try:
        remember("canary")
        error = ValueError("plain")
        sys.excepthook(ValueError, error, None)
        assert seen == [(ValueError, error, None)]
    finally:
        logging.setLogRecordFactory(before)


def test_masking_is_cheap() -> None:
    for number in range(20):
        remember(f"canary-{number}-{'x' * 30}")
    text = "an ordinary line of a log, 100 characters long, with 3 numbers: 1, 2, 3 and a path /home/me/x\n" * 1_000
    began = time.perf_counter()
    assert masked(text) == text
    assert time.perf_counter() - began < 0.5, "a hundred thousand characters against twenty secrets"


@pytest.mark.parametrize("value", ["\\\\\\canary \\\\ +", "~canary~~\\~", "%%%%%25canary", "&&&amp;canary"])
def test_hostile_text_does_not_make_the_search_slow(value: str) -> None:
    remember(value)
    began = time.perf_counter()
    for run in ("\\", "%25", "&amp;", "~", "\\x", "0"):
        masked(run * 20_000 + "canary" + run * 20_000)
    assert time.perf_counter() - began < 3


def test_of_a_large_value_only_the_beginning_is_read() -> None:
    read = 0

    class Counted(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal read
            for each in super().__iter__():
                read += 1
                yield each

    given = {"a": Counted([1, "b", None, True, 1.5, {"c": []}] * 50_000)}
    assert brief_value(given, 60) == "{'a': [1, 'b', None, True, 1.5, {'c': []}, 1, 'b', None, Tr…"
    assert read < 1_000
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert brief_value(deep) == "[" * 79 + "…" and brief_value("x" * 1_000_000, 5) == "'xxx…"
    assert brief_value([1, {"a": "b"}]) == repr([1, {"a": "b"}])

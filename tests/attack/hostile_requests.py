"""Requests as no client should send them: each is a function of a random generator to the parts that are sent."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

END = b"Host: localhost\r\nConnection: close\r\n"
PATHS = ("/predict/arrivals", "/events/departures", "/features/airport", "/features")
DEEP = b"[" * 50_000
BODIES = [
    b"",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"{}",
    b"[[]]",
    b"[null]",
    DEEP,
    b'{"rows":' * 20_000,
    DEEP + b"]" * 50_000,
    b'{"flight_id": ' + b"9" * 5_000 + b"}",
    b'{"flight_id": 1e999}',
    b'{"flight_id": NaN}',
    b'{"flight_id": Infinity}',
    b'{"flight_id": "F1", "time": -Infinity}',
    b'{"flight_id": "\xff\xfe"}',
    b'{"flight_id": "\\ud800"}',
    b'{"flight_id": "\\u0000"}',
    b'{"flight_id": "F1", "flight_id": "F2"',
    b'{"flight_id": {"a": [1, 2]}}',
    b'{"flight_id": "' + b"x" * 200_000 + b'"}',
    b"\xef\xbb\xbf{}",
    '{"flight_id": "F1"}'.encode("utf-16"),
    b'{"rows": ' + b"[" + b"{}," * 9_999 + b"{}]}",
    b'{"rows": ' + b"[" + b"{}," * 10_001 + b"{}]}",
]
INSTANTS = (
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-05:00",
    "0000-00-00T00:00:00Z",
    "2013-02-30T00:00:00Z",
    "2013-12-01T24:00:00Z",
    "2013-12-01T12:00:00",
    "-292277022399-01-01T00:00:00Z",
    "294247-01-10T04:00:54.775807Z",
    "2013-12-01T12:00:60Z",
    "yesterday",
    "",
)
NUMBERS = ("1e308", "-1e308", "1e400", str(2**63), str(-(2**63) - 1), str(10**300), "NaN", "-Infinity", "0.1e-400")
TYPES = (
    b"text/plain",
    b"application/xml",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-7",
    b"",
    b"\xff",
)
Make = Callable[[random.Random], list[bytes]]


def post(path: str, body: bytes, *headers: bytes, kind: bytes = b"application/json") -> list[bytes]:
    lines = [b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *headers]
    return [b"POST " + path.encode() + b" HTTP/1.1\r\n" + END + b"\r\n".join(lines) + b"\r\n\r\n", body]


def bodies(chance: random.Random) -> list[bytes]:
    return post(chance.choice(PATHS), chance.choice(BODIES))


def instants(chance: random.Random) -> list[bytes]:
    at = chance.choice(INSTANTS)
    event = {"flight_id": "X", "origin": "JFK", "delay": 1.0, "departed_at": at}
    bodies = {
        "/events/departures": {"events": [event], "backfill": chance.random() < 0.5},
        "/predict/arrivals": {"rows": [{"flight_id": "F1"}], "time": at},
        "/features/airport": {"origin": "JFK", "time": at},
    }
    path = chance.choice(sorted(bodies))
    return post(path, json.dumps(bodies[path]).encode())


def numbers(chance: random.Random) -> list[bytes]:
    value = chance.choice(NUMBERS)
    event = f'{{"flight_id": "Y{value}", "origin": {value}, "delay": {value}, "departed_at": {value}}}'
    bodies = {"/events/departures": event, "/predict/arrivals": f'{{"flight_id": {value}, "time": {value}}}'}
    path = chance.choice(sorted(bodies))
    return post(path, bodies[path].encode())


def types(chance: random.Random) -> list[bytes]:
    return post(chance.choice(PATHS), b'{"flight_id": "F1"}', kind=chance.choice(TYPES))


def lengths(chance: random.Random) -> list[bytes]:
    wrong = chance.choice([b"-1", b"many", b"1e3", b"99999999999999999999", b"5, 6", b"0x10", b""])
    return [b"POST /predict/arrivals HTTP/1.1\r\n" + END + b"Content-Length: " + wrong + b"\r\n\r\n{}"]


def chunks(chance: random.Random) -> list[bytes]:
    wrong = chance.choice(
        [b"zz\r\n{}", b"-1\r\n", b"ffffffffffffffffff\r\n", b"2\r\n{}{}{}\r\n", b"2;" + b"x" * 70_000]
    )
    head = b"POST /predict/arrivals HTTP/1.1\r\n" + END + b"Content-Type: application/json\r\n"
    return [head + b"Transfer-Encoding: chunked\r\n\r\n", wrong]


def smuggling(chance: random.Random) -> list[bytes]:
    head = b"POST /predict/arrivals HTTP/1.1\r\n" + END + b"Content-Length: 5\r\n"
    return [
        head + b"Transfer-Encoding: " + chance.choice([b"chunked", b"x, chunked", b"\tchunked"]) + b"\r\n\r\n0\r\n\r\n"
    ]


def headers(chance: random.Random) -> list[bytes]:
    wrong = chance.choice(
        [
            b"X: " + b"a" * 70_000,
            b"X: y\r\n" * 5_000,
            b"no colon",
            b" folded: x",
            b"X\x00: y",
            b"\xff: y",
            b"Host: other",
        ]
    )
    return [b"GET /health HTTP/1.1\r\n" + END + wrong + b"\r\n\r\n"]


def paths(chance: random.Random) -> list[bytes]:
    wrong = chance.choice(
        [
            b"/" + b"a" * 63_000,
            b"/%ff" * 900,
            b"/" * 4_000,
            b"/../../etc/passwd",
            b"/%00",
            b"/predict/" + b"\xff" * 9,
            b"http://other/health",
            b"*",
            b"",
            b"/health?" + b"x=1&" * 900,
            b"/predict/" + b"%2e%2e/" * 90,
            b"health",
        ]
    )
    return [b"GET " + wrong + b" HTTP/1.1\r\n" + END + b"\r\n"]


def lines(chance: random.Random) -> list[bytes]:
    wrong = chance.choice(
        [
            b"GET\r\n\r\n",
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n" * 1_000 + b"\x00",
            b"SSH-2.0-x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"G" * 70_000,
            b"BREW /health HTTP/1.1\r\n" + END + b"\r\n",
        ]
    )
    return [wrong]


def noise(chance: random.Random) -> list[bytes]:
    return [chance.randbytes(chance.randrange(1, 5_000)) + b"\r\n\r\n"]


def pipelined(chance: random.Random) -> list[bytes]:
    good = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return [good * chance.randrange(2, 200) + b"GET /health HTTP/1.1\r\n" + END + b"\r\n"]


QUICK: list[Make] = [
    bodies,
    instants,
    numbers,
    types,
    lengths,
    chunks,
    smuggling,
    headers,
    paths,
    lines,
    noise,
    pipelined,
    bodies,
    instants,
]
POST = b"POST /predict/arrivals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = [
    (b"GET /health HTTP/1.1\r\n", b"X"),
    (b"G", b""),
    (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n"),
    (POST + b"Content-Length: 100000\r\n\r\n", b" "),
    (POST + b"Content-Length: 100\r\n\r\n{", b""),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
]
"""What is sent first, and what is sent again and again."""

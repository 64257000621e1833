"""The HTTP client of sources: credentials stay at their origin, and hostile servers are refused with a clear error."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import ssl
import time
import zlib

import pytest

from hostile_http import BAD, OK, ROWS, SLOW, TOO_LARGE, serving
from mainstem.errors import DefinitionError, MainstemError, SourceError, SourceUnreachable
from mainstem.nodes.apis import api
from mainstem.nodes.limits import Limits, limits
from mainstem.nodes.web import web
from mainstem.sources.http import Client
from mainstem.sources.inspection import introspect, observe
from mainstem.sources.kinds import api as extracting
from mainstem.sources.kinds import web as crawling

CANARY = "c4n4ry/+=& x"
SCHEMA = {"n": "int64"}
PAGE = "<table><tr><td class=n>1</td></tr></table>"
FIELDS = {"n": "td.n"}


@pytest.fixture
def home():
    with serving() as server:
        yield server


@pytest.fixture
def elsewhere():
    with serving() as server:
        yield server


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A server with TLS, whose certificate this process trusts."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with serving(context) as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("CANARY", CANARY)
    for module in (extracting, crawling):
        monkeypatch.setattr(module, "BACKOFF", 0.01)
        monkeypatch.setattr(module, "ATTEMPTS", 2)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def secret(url, **more):
    """An API with the canary in a header, in a parameter and in the URL's password."""
    more = {"params": {"key": "${env:CANARY}"}, "headers": {"X-Key": "k3y-${env:CANARY}"}, **more}
    return api(url.replace("://", "://me:p4ss-canary@"), **{"paging": "link", **more})


def refused(bench, node, schema=SCHEMA, kind=SourceError):
    """The error of a collection. Nothing is kept, and it is shown without secrets."""
    with pytest.raises(kind) as error:
        bench.collect(node, schema)
    assert "source" not in bench.tables
    assert type(error.value) in (SourceError, SourceUnreachable)
    for text in (str(error.value), repr(error.value), repr(vars(error.value))):
        assert "anary" not in text and "c4n4ry" not in text
    assert error.value.where and error.value.what
    return error.value


# ── credentials ───────────────────────────────────────────────────────────────────────────────────────


def test_credentials_go_to_the_declared_origin(bench, home):
    home.json("/rows", ROWS)
    bench.collect(secret(f"{home.url}/rows"), SCHEMA)
    introspect(secret(f"{home.url}/rows"), bench.root, bench.engine)
    observe(secret(f"{home.url}/rows", paging="none"), bench.root, None)
    observe(secret(f"{home.url}/rows", cursor="n"), bench.root, '{"last": 1}')
    basic = f"Basic {base64.b64encode(b'me:p4ss-canary').decode()}"
    assert home.sent("Authorization") == [basic] * 4 and home.sent("X-Key") == [f"k3y-{CANARY}"] * 4
    assert all("key=c4n4ry%2F%2B%3D%26+x" in path for path, _ in home.seen)


def test_a_declared_authorization_wins_over_the_password(bench, home):
    home.json("/rows", ROWS)
    bench.collect(secret(f"{home.url}/rows", headers={"Authorization": "Bearer ${env:CANARY}"}), SCHEMA)
    assert home.sent("Authorization") == [f"Bearer {CANARY}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_followed_without_credentials(bench, home, elsewhere, status):
    home.redirect("/rows", f"{elsewhere.url}/other", status)
    elsewhere.json("/other", ROWS)
    node = secret(f"{home.url}/rows")
    bench.collect(node, SCHEMA)
    assert bench.column("n") == [1, 2]
    introspect(node, bench.root, bench.engine)
    observe(secret(f"{home.url}/rows", paging="none"), bench.root, None)
    observe(secret(f"{home.url}/rows", cursor="n"), bench.root, '{"last": 1}')
    assert len(elsewhere.seen) == 4 and "canary" not in elsewhere.said and "c4n4ry" not in elsewhere.said
    assert elsewhere.sent("X-Key") == [None] * 4 and elsewhere.sent("Authorization") == [None] * 4


def test_credentials_do_not_come_back_after_another_origin(bench, home, elsewhere):
    home.redirect("/rows", f"{elsewhere.url}/other")
    elsewhere.redirect("/other", f"{home.url}/last")
    home.json("/last", ROWS)
    bench.collect(secret(f"{home.url}/rows"), SCHEMA)
    assert home.sent("X-Key") == [f"k3y-{CANARY}", None]


def test_credentials_stay_after_a_redirect_within_the_origin(bench, home):
    home.redirect("/rows", "/other?x=1")
    home.json("/other", ROWS)
    bench.collect(secret(f"{home.url}/rows"), SCHEMA)
    assert home.sent("X-Key") == [f"k3y-{CANARY}"] * 2


def test_another_scheme_or_host_of_one_server_is_another_origin(bench, home, secure):
    home.redirect("/rows", f"{home.url.replace('127.0.0.1', 'localhost')}/other")
    home.json("/other", ROWS)
    bench.collect(secret(f"{home.url}/rows"), SCHEMA)
    assert home.sent("X-Key") == [f"k3y-{CANARY}", None]
    home.redirect("/rows", f"{secure.url}/other")
    secure.json("/other", ROWS)
    bench.collect(secret(f"{home.url}/rows"), SCHEMA)
    assert secure.sent("X-Key") == [None]


def test_a_refusal_after_a_redirect_says_that_no_credentials_were_sent(bench, home, elsewhere):
    home.redirect("/rows", f"{elsewhere.url}/other")
    elsewhere.raw("/other", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    error = refused(bench, secret(f"{home.url}/rows"))
    assert error.what == "the server answered 401"
    assert error.got == f"a redirect to {elsewhere.url}/other, where no credentials were sent"


@pytest.mark.parametrize(("link", "paging"), [("json", "auto"), ("json", "link"), ("header", "auto")])
@pytest.mark.parametrize("to", ["{other}/rows", "//{host}/rows", "http://127.0.0.1:1/rows"])
def test_a_link_to_another_origin_is_refused(bench, home, elsewhere, link, paging, to):
    to = to.format(other=elsewhere.url, host=elsewhere.url.removeprefix("http://"))
    headers = [f'Link: <{to}>; rel="next"'] if link == "header" else []
    home.json("/rows", {"items": ROWS, "next": to if link == "json" else None}, *headers)
    elsewhere.json("/rows", {"items": [{"n": 3}]})
    error = refused(bench, secret(f"{home.url}/rows", records="items", paging=paging))
    assert error.what == "the next page is at another origin"
    assert error.expected == f"a page at {home.url}"
    assert elsewhere.seen == []


def test_a_link_with_a_user_keeps_to_the_declared_credentials(bench, home):
    pages = iter([{"items": ROWS, "next": f"{home.url.replace('://', '://eve:x@')}/rows?page=2"}, {"items": []}])
    home.answers["/rows"] = lambda handler: (home.json("/page", next(pages)), home.answers["/page"](handler))
    bench.collect(secret(f"{home.url}/rows", records="items"), SCHEMA)
    assert len(set(home.sent("Authorization"))) == 1 and len(home.seen) == 2


def test_https_is_read_and_not_left(bench, home, secure):
    secure.json("/rows", ROWS)
    bench.collect(secret(f"{secure.url}/rows"), SCHEMA)
    assert secure.sent("X-Key") == [f"k3y-{CANARY}"]
    for to in (f"{home.url}/rows", secure.url.replace("https", "http") + "/rows"):
        secure.redirect("/away", to)
        bench.tables.clear()
        error = refused(bench, secret(f"{secure.url}/away"))
        assert error.what == "the server redirects from https to http"
        assert web_error(bench, web(f"{secure.url}/away", rows="tr", fields=FIELDS)).what == error.what
    assert home.seen == []


def test_a_certificate_that_is_not_trusted(bench, secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    error = refused(bench, secret(f"{secure.url}/rows"), kind=SourceUnreachable)
    assert "certificate verify failed" in error.got and secure.seen == []


def test_the_clear_text_of_a_link_is_refused(bench, secure):
    secure.json("/rows", {"items": ROWS, "next": secure.url.replace("https", "http") + "/rows?page=2"})
    assert refused(bench, secret(f"{secure.url}/rows", records="items")).what == "the next page is at another origin"


# ── a hostile server ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", TOO_LARGE)
@pytest.mark.parametrize("source", ["api", "web"])
def test_a_body_that_is_too_large(bench, home, kind, source):
    home.answers["/rows"] = TOO_LARGE[kind]
    began = time.monotonic()
    few = limits(bytes=1_000_000)
    if source == "api":
        error = refused(bench, secret(f"{home.url}/rows", limits=few))
        assert observe(secret(f"{home.url}/rows", paging="none", limits=few), bench.root, None) in (None, "unreachable")
    else:
        error = web_error(bench, web(f"{home.url}/rows", rows="tr", fields=FIELDS, limits=few))
    assert error.what == "the answer is too large" and "1,000,000 bytes" in error.expected
    assert "limits=ms.limits(bytes=…)" in error.hint
    assert time.monotonic() - began < 5


def test_a_body_at_the_limit_is_read(bench, home):
    body = json.dumps(ROWS).encode().ljust(1_000)
    home.raw("/rows", OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    bench.collect(secret(f"{home.url}/rows", limits=limits(bytes=1_000)), SCHEMA)
    bench.tables.clear()
    assert refused(bench, secret(f"{home.url}/rows", limits=limits(bytes=999))).what == "the answer is too large"


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("source", ["api", "web"])
def test_a_server_that_drips(bench, home, kind, source):
    """Each byte comes soon enough, but the whole does not."""
    home.raw("/rows", *SLOW[kind], pause=0.02)
    if kind == "a slow status line":
        home.answers["/rows"] = lambda h: [(h.wfile.write(b"H"), time.sleep(0.02)) for _ in range(1_000)]
    began, short = time.monotonic(), limits(seconds=0.5)
    if source == "api":
        error = refused(bench, secret(f"{home.url}/rows", limits=short))
        assert observe(secret(f"{home.url}/rows", paging="none", limits=short), bench.root, None) in (
            None,
            "unreachable",
        )
    else:
        error = web_error(bench, web(f"{home.url}/rows", rows="tr", fields=FIELDS, limits=short))
    assert error.what == "the server takes too long" and error.expected == "all answers within 0.5 s"
    assert time.monotonic() - began < 5


def test_the_time_is_that_of_all_pages(bench, home):
    def page(handler):
        number = int(handler.path.rpartition("=")[2]) if "page=" in handler.path else 1
        time.sleep(0.5)
        body = json.dumps({"items": [{"n": number}], "next": f"/rows?page={number + 1}"}).encode()
        handler.wfile.write(OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    home.answers["/rows"] = page
    error = refused(bench, secret(f"{home.url}/rows", records="items", limits=limits(seconds=3)))
    assert error.what == "the server takes too long" and 1 < len(home.seen) < 8


def test_a_busy_server_is_not_waited_for_beyond_the_time(bench, home, monkeypatch):
    monkeypatch.setattr(extracting, "BACKOFF", 60.0)
    home.raw("/rows", b"HTTP/1.1 503 Busy\r\nRetry-After: 9999\r\nContent-Length: 0\r\n\r\n")
    began = time.monotonic()
    error = refused(bench, secret(f"{home.url}/rows", limits=limits(seconds=0.3)))
    assert (error.what, error.got) == ("the server answered 503", "Retry-After: 9,999 s")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("to", ["/rows", "/rows?x=1", "{url}/rows"])
@pytest.mark.parametrize("source", ["api", "web"])
def test_a_redirect_loop(bench, home, to, source):
    home.redirect("/rows", to.format(url=home.url))
    few = limits(redirects=3)
    if source == "api":
        error = refused(bench, secret(f"{home.url}/rows", limits=few))
        assert len(home.seen) == 4
        assert observe(secret(f"{home.url}/rows", paging="none", limits=few), bench.root, None) == "unreachable"
    else:
        error = web_error(bench, web(f"{home.url}/rows", rows="tr", fields=FIELDS, limits=few))
    assert (error.what, error.got) == ("the server redirects too often", "more than 3 redirects")


def test_no_redirect_is_followed_if_none_is_allowed(bench, home):
    home.redirect("/rows", "/other")
    assert refused(bench, secret(f"{home.url}/rows", limits=limits(redirects=0))).what.endswith("too often")
    assert len(home.seen) == 1


@pytest.mark.parametrize(
    "to", ["ftp://127.0.0.1/x", "file:///etc/passwd", "javascript:x", "data:,x", "http://[::1", "http://:80:80/"]
)
def test_a_redirect_to_what_is_no_web_page(bench, home, to):
    home.redirect("/rows", to)
    error = refused(bench, secret(f"{home.url}/rows"))
    assert error.what in ("the server redirects to no web page", "the address is not the URL of a web server")


@pytest.mark.parametrize("to", ["http://127.0.0.1:0x50/", "/a b\x01c", "/é", "", "?"])
def test_an_odd_redirect_is_no_traceback(bench, home, to):
    home.redirect("/rows", to)
    refused(bench, secret(f"{home.url}/rows", limits=limits(redirects=2)))


def test_a_next_page_that_is_the_same_for_ever(bench, home):
    """Its rows differ each time, so that only the address tells."""
    numbers = iter(range(10**6))

    def page(handler):
        home.json("/page", {"items": [{"n": next(numbers)}], "next": "/rows?page=2"})
        home.answers["/page"](handler)

    home.answers["/rows"] = page
    error = refused(bench, secret(f"{home.url}/rows", records="items"))
    assert error.what == "the API returns the same page repeatedly" and len(home.seen) == 2


def test_next_pages_without_end(bench, home):
    def page(handler):
        number = len(home.seen)
        home.json("/page", {"items": [{"n": number}], "next": f"/rows?page={number}"})
        home.answers["/page"](handler)

    home.answers["/rows"] = page
    error = refused(bench, secret(f"{home.url}/rows", records="items", limits=limits(pages=5)))
    assert (error.what, error.got) == ("the API has too many pages", "more than 5 pages")
    assert len(home.seen) <= 6
    home.seen.clear()
    assert refused(bench, secret(f"{home.url}/rows", records="items", paging="page", limits=limits(pages=5))).got


def test_as_many_pages_as_allowed(bench, home):
    def page(handler):
        number = len(home.seen)
        home.json("/page", {"items": [{"n": number}], "next": f"/rows?page={number}" if number < 5 else None})
        home.answers["/page"](handler)

    home.answers["/rows"] = page
    bench.collect(secret(f"{home.url}/rows", records="items", limits=limits(pages=5)), SCHEMA)
    assert bench.column("n") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", BAD)
def test_an_answer_that_is_broken(bench, home, kind):
    rest, what = BAD[kind]
    head = OK if b"Content-Type" not in rest else OK.replace(b"Content-Type: application/json\r\n", b"")
    home.raw("/rows", head + rest)
    assert what in refused(bench, secret(f"{home.url}/rows")).what
    with contextlib.suppress(MainstemError):
        introspect(secret(f"{home.url}/rows"), bench.root, bench.engine)
    observe(secret(f"{home.url}/rows", cursor="n"), bench.root, '{"last": 1}')
    observe(secret(f"{home.url}/rows", paging="none"), bench.root, None)


@pytest.mark.parametrize(
    "text", [b"", b"\r\n", b"no HTTP\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 1_000, b"SSH-2.0-x\r\n"]
)
def test_what_is_no_http(bench, home, text):
    home.raw("/rows", text)
    refused(bench, secret(f"{home.url}/rows"), kind=SourceUnreachable)


@pytest.mark.parametrize("next_page", [5, -1, 1.5, True, {"a": 1}, ["/rows"], "", "ftp://x/", "http://[", "::", "\x00"])
@pytest.mark.parametrize("paging", ["auto", "link", "page", "offset", "none"])
def test_an_odd_link_is_no_traceback(bench, home, next_page, paging):
    home.json("/rows", {"items": ROWS, "next": next_page, "total_pages": next_page})
    try:
        bench.collect(secret(f"{home.url}/rows", records="items", paging=paging, limits=limits(pages=5)), SCHEMA)
    except SourceError as error:
        assert "c4n4ry" not in str(error) and "p4ss-canary" not in str(error)
        assert "source" not in bench.tables
    assert len(home.seen) <= 6


@pytest.mark.parametrize("body", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_every_unicode_encoding(bench, home, body):
    home.raw("/rows", OK + b"\r\n" + '[{"x": "é"}]'.encode(body))
    bench.collect(secret(f"{home.url}/rows"), {"x": "string"})
    assert bench.column("x") == ["é"]


def test_a_declared_charset(bench, home):
    home.raw(
        "/rows",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/json; charset=latin-1\r\n\r\n",
        '[{"x": "é"}]'.encode("latin-1"),
    )
    bench.collect(secret(f"{home.url}/rows"), {"x": "string"})
    assert bench.column("x") == ["é"]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, lambda b: zlib.compress(b)[2:-4]])
def test_compressed_answers(bench, home, compress):
    encoding = "gzip" if compress is gzip.compress else "deflate"
    body = compress(json.dumps([{"n": n} for n in range(100_000)]).encode())
    home.raw("/rows", OK + f"Content-Encoding: {encoding}\r\n\r\n".encode() + body)
    assert bench.collect(secret(f"{home.url}/rows"), SCHEMA).rows_in == 100_000


def test_a_server_that_echoes_the_secrets(bench, home):
    """In what it says of an error, in rows, in names of columns, and in links."""

    def echo(handler):
        said = json.dumps(
            {"key": handler.path, "auth": handler.headers["X-Key"], "a": handler.headers["Authorization"]}
        )
        home.raw("/echo", OK + b"\r\n" + said.encode())
        home.answers["/echo"](handler)

    home.answers["/rows"] = echo
    refused(bench, secret(f"{home.url}/rows"))
    refused(bench, secret(f"{home.url}/rows", records="items"))
    home.answers["/rows"] = lambda h: h.wfile.write(OK + b"\r\n" + json.dumps([h.headers["X-Key"] * 5]).encode())
    refused(bench, secret(f"{home.url}/rows"))
    home.answers["/rows"] = lambda h: h.wfile.write(f"HTTP/1.1 302 x\r\nLocation: ftp://{h.path}\r\n\r\n".encode())
    refused(bench, secret(f"{home.url}/rows"))
    home.answers["/rows"] = lambda h: h.wfile.write(f"{h.path} {h.headers['X-Key']}\r\n\r\n".encode())
    refused(bench, secret(f"{home.url}/rows"))


def test_a_secret_that_ends_with_a_line_break(bench, home, monkeypatch):
    monkeypatch.setenv("CANARY", f"{CANARY}\r\nX-Evil: yes")
    error = refused(bench, secret(f"{home.url}/rows", params={}))
    assert error.what == "a header or the url has a character that HTTP does not allow" and home.seen == []


@pytest.mark.parametrize("url", ["ftp://host/x", "http:///x", "http://", "host/x", "http://a\\@b/", "http://h:p#w@x/"])
def test_an_address_that_is_not_of_a_web_server(bench, url):
    for node in (api(url), web(url, rows="tr", fields=FIELDS)):
        with pytest.raises(SourceError, match="not the URL of a web server"):
            bench.collect(node, SCHEMA)
        assert observe(api(url, paging="none"), bench.root, None) == "unreachable"


def test_a_proxy_of_the_environment_is_used(bench, elsewhere, monkeypatch):
    monkeypatch.setenv("http_proxy", elsewhere.url)
    monkeypatch.setenv("no_proxy", "")
    elsewhere.json("http://data.example/rows", ROWS)
    bench.collect(api("http://data.example/rows"), SCHEMA)
    assert bench.column("n") == [1, 2]


# ── web pages ─────────────────────────────────────────────────────────────────────────────────────────


def web_error(bench, node):
    with pytest.raises(SourceError) as error:
        bench.collect(node, {"n": "string"})
    assert "source" not in bench.tables and type(error.value) in (SourceError, SourceUnreachable)
    assert "c4n4ry" not in str(error.value) and "p4ss-canary" not in str(error.value)
    return error.value


def page(server, path, body, header="text/html"):
    server.raw(path, f"HTTP/1.1 200 OK\r\nContent-Type: {header}\r\n\r\n".encode() + body)


def test_a_page_behind_a_password_and_a_redirect(bench, home, elsewhere):
    home.redirect("/rows", f"{elsewhere.url}/other")
    page(elsewhere, "/other", PAGE.encode())
    bench.collect(
        web(f"{home.url.replace('://', '://me:p4ss-canary@')}/rows?key=${{env:CANARY}}", rows="tr", fields=FIELDS)
    )
    assert bench.column("n") == ["1"]
    assert home.sent("Authorization")[0].startswith("Basic ") and "c4n4ry" in home.said
    assert "c4n4ry" not in elsewhere.said and set(elsewhere.sent("Authorization")) == {None}
    assert "/robots.txt" in elsewhere.said


def test_robots_are_obeyed_where_a_redirect_leads_to(bench, home, elsewhere):
    home.redirect("/rows", f"{elsewhere.url}/other")
    page(elsewhere, "/other", PAGE.encode())
    page(elsewhere, "/robots.txt", b"User-agent: *\nDisallow: /\n", "text/plain")
    assert web_error(bench, web(f"{home.url}/rows", rows="tr", fields=FIELDS)).what.startswith("robots.txt")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("text/html", PAGE.replace("1", "é").encode()),
        ("text/html", PAGE.replace("1", "é").encode("utf-8-sig")),
        ("text/html", PAGE.replace("1", "é").encode("cp1252")),
        ("text/html; charset=latin-1", PAGE.replace("1", "é").encode("cp1252")),
        ("text/html", b'<meta charset="iso-8859-15">' + PAGE.replace("1", "é").encode("iso-8859-15")),
        ("text/html; charset=utf-16", PAGE.replace("1", "é").encode("utf-16")),
    ],
)
def test_the_charset_of_a_page(bench, home, header, body):
    page(home, "/rows", body, header)
    bench.collect(web(f"{home.url}/rows", rows="tr", fields=FIELDS))
    assert bench.column("n") == ["é"]


@pytest.mark.parametrize("header", ["text/html; charset=utf-8", "text/html"])
def test_a_page_in_another_charset_than_it_says(bench, home, header):
    page(home, "/rows", b'<meta charset="utf-8">' + PAGE.replace("1", "é").encode("cp1252"), header)
    error = web_error(bench, web(f"{home.url}/rows", rows="tr", fields=FIELDS))
    assert (error.what, error.got) == ("the page is not text in its charset", "bytes that are not utf-8")


@pytest.mark.parametrize("body", [b"<div>" * 100_000, b"\x00" * 1_000, b"", b"<" * 100_000, b"<table><tr>" * 1_000])
def test_a_page_that_is_hostile_to_its_parser(bench, home, body):
    page(home, "/rows", body)
    web_error(bench, web(f"{home.url}/rows", rows="tr", fields={"n": "td.n"}))


def test_a_selector_that_is_none(bench, home):
    page(home, "/rows", PAGE.encode())
    error = web_error(bench, web(f"{home.url}/rows", rows="tr[", fields=FIELDS))
    assert error.what == "rows cannot be selected from the page" and error.hint == "check the selectors"


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wrong", [{"bytes": 0}, {"bytes": 1.5}, {"seconds": 0}, {"seconds": "1h"}, {"pages": True}])
def test_limits_are_checked_at_load(wrong):
    with pytest.raises(DefinitionError, match="has an invalid value"):
        limits(**wrong)


@pytest.mark.parametrize("wrong", [{"seconds": 1}, None, 5])
def test_limits_are_limits(wrong):
    for declare in (
        lambda: api("http://x/", limits=wrong),
        lambda: web("http://x/", rows="a", fields={"a": "td"}, limits=wrong),
    ):
        with pytest.raises(DefinitionError, match="`limits` has an invalid value"):
            declare()


def test_a_client_never_leaves_its_origin_by_itself(home, elsewhere):
    client = Client(f"{home.url}/", {"X-Key": CANARY}, Limits(), shown="home")
    with pytest.raises(SourceError, match="another origin"):
        client.get(f"{elsewhere.url}/")
    assert elsewhere.seen == [] and home.seen == []

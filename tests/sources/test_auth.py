"""Who asks: keys, tokens, and an authorisation server that gives tokens which expire."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

import mainstem as ms
from mainstem.errors import SourceError

SCHEMA = {"n": "int64"}


@pytest.fixture
def desk():
    """A server of rows by POST and GET for who has a valid token, and of tokens at /token."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            if path == "/token":
                return self._token(dict(parse_qsl(sent.decode())))
            here.bodies.append(json.loads(sent))
            return self._rows(json.loads(sent))

        def do_GET(self):
            self._rows(dict(parse_qsl(urlsplit(self.path).query)))

        def _token(self, form):
            here.forms.append((form, self.headers.get("Authorization")))
            if self.headers.get("Authorization") != here.client and form.get("client_secret") != "s3cret-of-app":
                return self._say(401, {"error": "invalid_client"})
            here.token = f"token-{len(here.forms)}-abcdef"
            return self._say(200, {"access_token": here.token, "token_type": "Bearer", "expires_in": here.lasts})

        def _rows(self, asked):
            if self.headers.get("Authorization") != f"Bearer {here.token}":
                return self._say(401, {})
            here.served += 1
            if here.served == here.revoke:
                here.token = "revoked"
            start = int(asked.get("page", {}).get("skip", 0)) if isinstance(asked.get("page"), dict) else 0
            if "q" in asked:
                return self._say(200, {"rows": [{"n": n} for n in range(start, min(start + 4, 10))]})
            return self._say(200, {"rows": [{"n": 1}]})

        def _say(self, status, value):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True

    class here:
        url = f"http://127.0.0.1:{server.server_port}"
        client = "Basic " + b64encode(b"app:s3cret-of-app").decode()
        token, lasts, revoke, served = None, 3600, 0, 0
        forms, bodies = [], []

    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


def search(desk, **more):
    return ms.api(
        f"{desk.url}/rows",
        records="rows",
        method="POST",
        body={"q": "${env:WORD}", "page": {"size": 5}},
        paging=ms.paging.offset("page.skip", size=None),
        **more,
    )


def oauth(desk, place="header"):
    return ms.oauth2(f"{desk.url}/token", "app", "${env:APP_SECRET}", scope="read", place=place)


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("APP_SECRET", "s3cret-of-app")
    monkeypatch.setenv("WORD", "rain")


@pytest.mark.parametrize("place", ["header", "body"])
def test_pages_in_the_body_with_a_token_of_client_credentials(bench, desk, place):
    assert bench.collect(search(desk, auth=oauth(desk, place)), SCHEMA).rows_in == 10
    assert [sent["page"] for sent in desk.bodies] == [{"size": 5, "skip": skip} for skip in (0, 4, 8, 10)]
    assert {sent["q"] for sent in desk.bodies} == {"rain"}
    (form, head) = desk.forms[0]
    assert (form["grant_type"], form["scope"], len(desk.forms)) == ("client_credentials", "read", 1)
    assert (head is None) == (place == "body")


def test_a_token_is_asked_for_again_when_it_is_revoked_or_expires(bench, desk):
    desk.revoke = 2
    assert bench.collect(search(desk, auth=oauth(desk)), SCHEMA).rows_in == 10
    assert len(desk.forms) == 2
    desk.lasts = 0
    bench.tables = {}
    assert bench.collect(search(desk, auth=oauth(desk)), SCHEMA).rows_in == 10
    assert len(desk.forms) == 6, "one for each of four pages"


def test_a_wrong_secret_is_refused_and_not_shown(bench, desk, monkeypatch):
    monkeypatch.setenv("APP_SECRET", "wr0ng-secret")
    with pytest.raises(SourceError, match="answered 401") as error:
        bench.collect(search(desk, auth=oauth(desk)), SCHEMA)
    assert error.value.where == f"{desk.url}/token"
    assert "wr0ng-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (ms.bearer("${env:APP_SECRET}"), "Authorization", "Bearer s3cret-of-app"),
        (ms.basic("app", "${env:APP_SECRET}"), "Authorization", "Basic YXBwOnMzY3JldC1vZi1hcHA="),
        (ms.api_key("X-Key", "${env:APP_SECRET}"), "X-Key", "s3cret-of-app"),
        (ms.api_key("key", "${env:APP_SECRET}", "cookie"), "Cookie", "key=s3cret-of-app"),
    ],
)
def test_who_asks_stands_in_a_header(bench, site, auth, header, value):
    site.call("/rows", lambda query, sent: (200, {}, b'[{"n": 1}]') if sent[header] == value else (401, {}, b""))
    assert bench.collect(ms.api(f"{site.url}/rows", auth=auth, paging="none"), SCHEMA).rows_in == 1


def test_a_key_in_the_query_goes_with_every_page_and_not_elsewhere(bench, site):
    def answer(query, sent):
        if query.get("key") != "s3cret-of-app":
            return 403, {}, b""
        start = int(query.get("from", 0))
        more = {"next": "/rows?from=2"} if start == 0 else {"next": None}
        return 200, {}, json.dumps({"rows": [{"n": start}, {"n": start + 1}], **more}).encode()

    site.call("/rows", answer)
    node = ms.api(f"{site.url}/rows", records="rows", auth=ms.api_key("key", "${env:APP_SECRET}", "query"))
    assert bench.collect(node, SCHEMA).rows_in == 4
    other = f"http://localhost:{site.url.rsplit(':', 1)[1]}"
    site.call("/away", lambda query, sent: (302, {"Location": f"{other}/bare"}, b""))
    site.call("/bare", lambda query, sent: (403 if "key" in query else 200, {}, b'{"rows": []}'))
    away = ms.api(f"{site.url}/away", records="rows", auth=ms.api_key("key", "${env:APP_SECRET}", "query"))
    assert bench.collect(away, SCHEMA).rows_in == 0


def test_secrets_do_not_show():
    said = [ms.bearer("hunter2-x"), ms.basic("me", "hunter2-x"), ms.api_key("K", "hunter2-x")]
    assert "hunter2" not in repr([*said, ms.oauth2("http://t", "id", "hunter2-x")])

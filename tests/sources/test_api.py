import json
import time

import pytest

from mainstem.errors import SettingsError, SourceError, SourceUnreachable
from mainstem.nodes.apis import api
from mainstem.sources.inspection import introspect, observe
from mainstem.sources.kinds import api as extracting
from mainstem.sources.kinds.api import UP_TO_DATE

SCHEMA = {"n": "int64", "at": "timestamp('UTC', 6)", "wind": "float64"}


def item(n, hour=10, wind=1.5):
    return {"n": n, "at": f"2013-01-01T{hour:02}:00:00Z", "wind": wind}


def weather(site, items, *, beyond=True, size=2, **more):
    """Pages of two with a link to the next; `beyond` leaves out what is at the cursor, as the question asks."""

    def answer(query, _):
        after = query.get("at", "").replace("+00:00", "Z")
        rows = [i for i in items if (i["at"] > after if beyond else i["at"] >= after)]
        page = int(query.get("page", 1))
        more = f"/weather?at={after}&page={page + 1}" if page * size < len(rows) else None
        return 200, {}, json.dumps({"items": rows[(page - 1) * size : page * size], "next": more}).encode()

    site.call("/weather", answer)
    return api(f"{site.url}/weather", records="items", cursor="at", time="at", **more)


def test_types_of_the_first_page(bench, site):
    rows = [
        {
            "n": 1,
            "x": 1,
            "at": "2013-01-01T10:00:00Z",
            "day": "2013-01-01",
            "ok": True,
            "code": "007",
            "deep": {"a": 1},
        },
        {"n": 2, "x": 1.5, "at": None, "day": None, "ok": None, "code": "8", "deep": None, "late": None},
    ]
    site.json("/rows", rows)
    assert introspect(api(f"{site.url}/rows"), bench.root, bench.engine) == {
        "n": "int64",
        "x": "float64",
        "at": "timestamp('UTC', 6)",
        "day": "date",
        "ok": "boolean",
        "code": "string",
        "deep": "string",
        "late": "string",
    }
    bench.collect(api(f"{site.url}/rows", paging="none"))
    assert bench.column("deep") == ['{"a": 1}', None]


@pytest.mark.parametrize("beyond", [True, False])
def test_pages_land_and_the_cursor_goes_on(bench, site, beyond):
    items = [item(i, 10 + i // 3) for i in range(5)]
    node = weather(site, items, beyond=beyond)
    assert bench.collect(node).rows_in == 5
    snapshot = bench.tables["source"]
    seen = observe(node, bench.root, snapshot.cursor)
    assert snapshot.properties["mainstem.observed"] == UP_TO_DATE
    assert seen == (UP_TO_DATE if beyond else None), "rows that come again may hide new ones on the next page"
    assert bench.collect(node).message == "nothing new"
    items += [item(5, 12), item(6, 12)]
    assert observe(node, bench.root, snapshot.cursor) != UP_TO_DATE
    assert bench.collect(node).rows_in == 2
    assert [(r["n"], r["_seq"]) for r in bench.rows()] == [(i, i) for i in range(7)]
    assert "/weather?at=2013-01-01T11%3A00%3A00Z" in site.asked


def test_a_server_that_ignores_the_cursor_repeats_nothing(bench, site):
    items = [item(1, 10), item(2, 11)]
    site.json("/weather", {"items": items})
    node = api(f"{site.url}/weather", records="items", cursor="at", time="at")
    bench.collect(node)
    assert observe(node, bench.root, bench.tables["source"].cursor) is None
    site.json("/weather", {"items": [*items, item(3, 11), item(4, 12)]})
    assert bench.collect(node).rows_in == 2
    assert bench.column("n") == [1, 2, 3, 4]


@pytest.mark.parametrize("paging", ["page", "offset"])
def test_paging_by_number(bench, site, paging, monkeypatch):
    rows = [item(i) for i in range(5)]

    def answer(query, _):
        start = int(query["offset"]) if paging == "offset" else 2 * (int(query["page"]) - 1)
        return 200, {}, json.dumps({"data": {"rows": rows[start : start + 2]}}).encode()

    site.call("/rows", answer)
    assert bench.collect(api(f"{site.url}/rows", records="data.rows", paging=paging), SCHEMA).rows_in == 5


def test_a_server_that_ignores_the_page_is_found_out(bench, site):
    site.json("/rows", [item(1)])
    with pytest.raises(SourceError, match="the same page repeatedly"):
        bench.collect(api(f"{site.url}/rows", paging="page"), SCHEMA)


def test_one_page_is_nothing_to_warn_of(bench, site, capfd):
    site.json("/rows", [item(1)])
    bench.collect(api(f"{site.url}/rows"), SCHEMA)
    assert capfd.readouterr().err == ""


def test_without_a_cursor_everything_is_replaced_unless_it_is_the_same(bench, site):
    site.json("/rows", [item(1), item(2)])
    node = api(f"{site.url}/rows", paging="none")
    first = bench.collect(node).tables["source"]
    assert bench.collect(node).tables["source"].id == first.id
    site.json("/rows", [item(2)])
    bench.collect(node)
    assert bench.column("n") == [2]


def test_an_etag_tells_that_nothing_changed(bench, site):
    site.json("/rows", [item(1)], ETag='"one"')
    node = api(f"{site.url}/rows", paging="none")
    snapshot = bench.collect(node).tables["source"]
    assert observe(node, bench.root, snapshot.cursor) == snapshot.properties["mainstem.observed"] == '"one"'
    site.json("/rows", [item(2)], ETag='"two"')
    assert observe(node, bench.root, snapshot.cursor) == '"two"'
    assert observe(api(f"{site.url}/rows"), bench.root, None) is None, "later pages may change under the same first"


def test_secrets_go_out_in_headers_and_never_show(bench, site, monkeypatch):
    monkeypatch.setenv("API_KEY", "hunter2")
    site.call("/rows", lambda query, sent: (403, {}, b"") if sent["X-Key"] != "hunter2" else (200, {}, b"[]"))
    headers = {"X-Key": "${env:API_KEY}"}
    assert bench.collect(api(f"{site.url}/rows", headers=headers), SCHEMA).rows_in == 0
    site.text("/rows", "", status=403)
    with pytest.raises(SourceError) as error:
        bench.collect(api(f"{site.url}/rows?token=hunter2", headers=headers), SCHEMA)
    assert error.value.what == "the server answered 403"
    assert "hunter2" not in str(error.value)
    monkeypatch.delenv("API_KEY")
    with pytest.raises(SettingsError, match="API_KEY is not set"):
        bench.collect(api(f"{site.url}/rows", headers=headers), SCHEMA)


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(extracting, "BACKOFF", 0.01)
    monkeypatch.setattr(extracting, "ATTEMPTS", 2)


def refused(bench, node, schema=SCHEMA, kind=SourceError):
    with pytest.raises(kind) as error:
        bench.collect(node, schema)
    assert "source" not in bench.tables
    return error.value


def test_nobody_there(bench):
    node = api("http://127.0.0.1:9/rows?api_key=hunter2")
    error = refused(bench, node, kind=SourceUnreachable)
    assert error.where == "http://127.0.0.1:9/rows?api_key=…"
    assert "hunter2" not in str(error)


def test_an_unreachable_source_never_breaks_the_look(bench):
    assert observe(api("http://127.0.0.1:9/rows", paging="none"), bench.root, None) == "unreachable"
    assert observe(api("http://127.0.0.1:9/rows", cursor="n"), bench.root, '{"last": 1}') == "unreachable"


def test_a_server_error_is_tried_again(bench, site):
    answers = iter([(503, {}, b""), (200, {}, json.dumps([item(1)]).encode())])
    site.call("/rows", lambda *_: next(answers))
    assert bench.collect(api(f"{site.url}/rows", paging="none"), SCHEMA).rows_in == 1


def test_a_server_error_that_stays(bench, site):
    site.text("/rows", "oops", status=500)
    assert refused(bench, api(f"{site.url}/rows")).what == "the server answered 500"
    assert len(site.asked) == 2


def test_a_failure_on_a_later_page_publishes_nothing(bench, site):
    items = [item(i) for i in range(4)]
    node = weather(site, items, contract="freeze")
    items[3] = item(3, wind="strong")
    error = refused(bench, node)
    assert error.what == "the schema of the source changed: wind: float64 → string"
    assert error.where.endswith("page 2: 'strong'")


def test_truncated_json(bench, site):
    site.text("/rows", '[{"n": 1, "at": "2013')
    assert refused(bench, api(f"{site.url}/rows")).what == "the answer is not valid JSON"


def test_a_slow_server(bench, site, monkeypatch):
    site.call("/rows", lambda *_: time.sleep(1) or (200, {}, b"[]"))
    monkeypatch.setattr(extracting, "TIMEOUT", 0.1)
    monkeypatch.setattr(extracting, "LOOK_TIMEOUT", 0.1)
    refused(bench, api(f"{site.url}/rows"), kind=SourceUnreachable)
    assert observe(api(f"{site.url}/rows", paging="none"), bench.root, None) == "unreachable"


def test_a_missing_column(bench, site):
    site.json("/rows", [{"n": 1, "at": None, "wnd": 1.0}])
    error = refused(bench, api(f"{site.url}/rows", contract="freeze"))
    assert error.what == "the schema of the source changed: new column wnd (float64)"
    assert error.got == "wnd float64, n int64, at null"


def test_another_records_path(bench, site):
    site.json("/rows", {"data": []})
    error = refused(bench, api(f"{site.url}/rows", records="items"))
    assert (error.what, error.got) == ("the page has no 'items'", "data")


@pytest.mark.parametrize("at", ["yesterday", "2013-13-01T00:00:00Z", 5])
def test_what_is_no_instant(bench, site, at):
    site.json("/rows", [{**item(1), "at": at}])
    error = refused(bench, api(f"{site.url}/rows", time="at"))
    assert error.what == "the schema of the source changed: at: timestamp('UTC', 6) → string"
    assert error.where.endswith(f"page 1: {at!r}")

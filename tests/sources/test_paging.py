"""Pages of an API that behaves as real ones do: it caps pages, hides links, and asks to wait."""

import json

import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, SourceError
from mainstem.sources.inspection import introspect

SCHEMA = {"n": "int64"}
ROWS = [{"n": n} for n in range(250)]


def server(site, answer):
    """Answers with what `answer` makes of the parameters of the URL, those of a POST's body included."""
    site.call("/rows", lambda query, sent: (200, *answer({**query, **json.loads(sent.get("X-Body") or "{}")})))


def body(value, **headers):
    return headers, json.dumps(value).encode()


def part(start, size=50):
    return ROWS[start : start + size]


def collected(bench, node):
    bench.tables = {}
    return bench.collect(node, SCHEMA).rows_in


def test_a_link_in_the_header_and_at_a_path(bench, site):
    def answer(query):
        start = int(query.get("from", 0))
        to = f"{site.url}/rows?from={start + 50}"
        head = {"Link": f'<{to}>; rel="next"'} if start + 50 < 250 and "path" not in query else {}
        inner = {"links": {"forward": f"/rows?path=1&from={start + 50}" if start + 50 < 250 else None}}
        return body({"items": part(start), **(inner if "path" in query else {})}, **head)

    server(site, answer)
    for paging in ("auto", "link", ms.paging.link()):
        assert collected(bench, ms.api(f"{site.url}/rows", records="items", paging=paging)) == 250
    at_path = ms.api(f"{site.url}/rows", params={"path": "1"}, records="items", paging=ms.paging.link("links.forward"))
    assert collected(bench, at_path) == 250


@pytest.mark.parametrize("header", [True, False])
def test_a_token_is_sent_back(bench, site, header):
    def answer(query):
        start = int(query.get("after", "t0")[1:])
        token = f"t{start + 50}" if start + 50 < 250 else ""
        return body({"items": part(start), "meta": {"next": token or None}}, **({"X-Next": token} if header else {}))

    server(site, answer)
    paging = (
        ms.paging.cursor(param="after", header="X-Next") if header else ms.paging.cursor("meta.next", param="after")
    )
    assert collected(bench, ms.api(f"{site.url}/rows", records="items", paging=paging)) == 250


def test_a_misspelled_path_is_told_and_not_the_end(bench, site):
    server(site, lambda query: body({"items": part(0), "meta": {"next": "t50"}}))
    node = ms.api(f"{site.url}/rows", records="items", paging=ms.paging.cursor("meta.nxt", param="after"))
    with pytest.raises(SourceError, match="more pages") as error:
        collected(bench, node)
    assert error.value.got == "no token at 'meta.nxt', but meta.next = 't50', and 50 rows"
    assert error.value.hint == 'paging=ms.paging.cursor("meta.next", param="…")'


def test_an_offset_counts_the_rows_that_a_server_really_gave(bench, site):
    def answer(query):
        assert query["limit"] == "1000"
        return body(part(int(query["offset"]), 40))

    server(site, answer)
    assert collected(bench, ms.api(f"{site.url}/rows", paging="offset")) == 250
    assert bench.column("n") == list(range(250))


def test_names_of_parameters_and_a_404_behind_the_last_page(bench, site):
    def answer(query, _):
        number = int(query["p"])
        size = int(query["n"])
        if number * size >= 250:
            return 404, {}, b"{}"
        return 200, {}, json.dumps({"total": 250, "items": part(number * size, size)}).encode()

    site.call("/rows", answer)
    paging = ms.paging.page("p", first=0, size=25, size_param="n")
    assert collected(bench, ms.api(f"{site.url}/rows", records="items", paging=paging)) == 250
    answers = [(200, {}, json.dumps({"total": 250, "items": part(0)}).encode()), (404, {}, b"")]
    site.call("/rows", lambda *_: answers.pop(0))
    with pytest.raises(SourceError, match="answered 404"):
        collected(bench, ms.api(f"{site.url}/rows", records="items", paging=paging))


@pytest.mark.parametrize(
    ("params", "beside", "headers", "got"),
    [
        ({}, {"total": 250}, {}, "total = 250, and 50 rows"),
        ({}, {"paging": {"has_more": True}}, {}, "paging.has_more = True, and 50 rows"),
        ({}, {"nextPageToken": "abc"}, {}, "nextPageToken = 'abc', and 50 rows"),
        ({}, {"totalPages": 5}, {}, "totalPages = 5, and 50 rows"),
        ({}, {}, {"X-Total-Count": "250"}, "X-Total-Count = 250, and 50 rows"),
        ({"limit": "50"}, {}, {}, "50 rows, as many as limit=50 asked for"),
    ],
)
def test_auto_that_cannot_tell_says_so(bench, site, params, beside, headers, got):
    server(site, lambda query: body({"items": part(0), **beside}, **headers))
    with pytest.raises(SourceError, match="more pages, and how to read them is not declared") as error:
        collected(bench, ms.api(f"{site.url}/rows", records="items", params=params))
    assert error.value.got == f"no link to a next page, but {got}"
    assert "source" not in bench.tables
    assert collected(bench, ms.api(f"{site.url}/rows", records="items", params=params, paging="none")) == 50


@pytest.mark.parametrize("name", ["page", "offset"])
def test_auto_finds_pages_that_the_answer_does_not_mention(bench, site, name):
    def answer(query):
        start = 50 * (int(query.get("page", 1)) - 1) if name == "page" else int(query.get("offset", 0))
        return body(part(start))

    server(site, answer)
    with pytest.raises(SourceError, match="more pages") as error:
        collected(bench, ms.api(f"{site.url}/rows"))
    assert error.value.got.startswith(f"other rows with {name}=")
    assert collected(bench, ms.api(f"{site.url}/rows", paging=name)) == 250


@pytest.mark.parametrize("other", [b'{"error": "unknown parameter"}', b"<html>no</html>", b"[]", b'{"items": "no"}'])
@pytest.mark.parametrize("records", ["items", "$"])
def test_auto_reads_one_page_where_the_answer_to_another_is_no_page(bench, site, other, records):
    first = part(0) if records == "$" else {"items": part(0)}
    server(site, lambda query: ({}, other) if {"page", "offset"} & query.keys() else body(first))
    assert collected(bench, ms.api(f"{site.url}/rows", records=records)) == 50


@pytest.mark.parametrize("beside", [{"total": 50}, {"next": None}, {"has_more": False}, {"count": 50}])
def test_auto_reads_one_page_where_it_is_all(bench, site, beside):
    server(site, lambda query: body({"items": part(0), **beside}))
    assert collected(bench, ms.api(f"{site.url}/rows", records="items")) == 50


@pytest.mark.parametrize("empty", [[], None])
def test_an_empty_first_page_with_a_schema_is_no_rows(bench, site, empty):
    server(site, lambda query: body({"items": empty}))
    node = ms.api(f"{site.url}/rows", records="items", schema=SCHEMA)
    assert introspect(node, bench.root, bench.engine) == SCHEMA
    assert bench.collect(node).rows_in == 0


def test_nested_records_and_objects(bench, site):
    groups = [{"items": [{"n": 1, "at": {"lat": 1.5}}, {"n": 2, "at": None}]}, {"items": []}, {"items": [{"n": 3}]}]
    server(site, lambda query: body({"data": {"groups": groups}}))
    node = ms.api(f"{site.url}/rows", records="data.groups[*].items[*]")
    bench.collect(node)
    assert bench.column("n") == [1, 2, 3]
    assert sorted(filter(None, bench.column("at"))) == ['{"lat": 1.5}']
    with pytest.raises(SourceError, match="no 'itms'") as error:
        introspect(ms.api(f"{site.url}/rows", records="data.groups[*].itms"), bench.root, bench.engine)
    assert "items" in error.value.hint


def test_retry_after_is_kept_also_at_the_first_look(bench, site):
    answers = [(429, {"Retry-After": "1"}, b""), (503, {"Retry-After": "0"}, b""), (200, {}, b'[{"n": 1}]')]
    site.call("/rows", lambda *_: answers.pop(0))
    assert introspect(ms.api(f"{site.url}/rows"), bench.root, bench.engine) == SCHEMA
    site.text("/rows", "", status=429, Retry_After="7200")
    with pytest.raises(SourceError, match="answered 429") as error:
        introspect(ms.api(f"{site.url}/rows"), bench.root, bench.engine)
    assert error.value.got == "Retry-After: 7,200 s"


def test_what_cannot_be_declared_is_refused():
    for wrong in (lambda: ms.paging.cursor(param="after"), lambda: ms.paging.cursor("a", param="b", header="c")):
        with pytest.raises(DefinitionError, match="at a path or in a header"):
            wrong()
    with pytest.raises(DefinitionError, match='method="POST"'):
        ms.api("http://a", body={"a": 1})
    with pytest.raises(DefinitionError, match="not a JSON object"):
        ms.api("http://a", method="POST", body={"a": object()})
    with pytest.raises(DefinitionError, match="`paging` has an invalid value"):
        ms.api("http://a", paging="cursor")

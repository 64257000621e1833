import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.web import web
from mainstem.sources.inspection import observe

PAGE = """<!doctype html><title>Airlines</title><table><tr><th>code</th><th>name</th></tr>
<tr><td class="code">UA</td><td class="name">United <b>Air</b> Lines</td></tr>
<tr><td class="code">AA</td><td class="name"><a href="/aa">American</a></td></tr></table>"""
FIELDS = {"carrier": "td.code", "name": "td.name"}


def test_rows_of_a_page_land(bench, site):
    site.text("/airlines", PAGE, ETag='"one"')
    node = web(f"{site.url}/airlines", rows="table tr", fields={**FIELDS, "link": "a::attr(href)"}, key="carrier")
    bench.collect(node)
    assert bench.rows() == [
        {"carrier": "AA", "name": "American", "link": "/aa"},
        {"carrier": "UA", "name": "United Air Lines", "link": None},
    ]
    assert "/robots.txt" in site.asked
    snapshot = bench.tables["source"]
    assert observe(node, bench.root, snapshot.cursor) == snapshot.properties["mainstem.observed"] == '"one"'
    assert bench.collect(node).message == "nothing new"


@pytest.mark.parametrize(
    ("rows", "fields", "what"),
    [
        ("table.airlines tr", FIELDS, "the selector 'table.airlines tr' matches nothing on the page"),
        ("table tr", {"carrier": "td.kode"}, "no field was found on the page"),
    ],
)
def test_selectors_that_find_nothing(bench, site, rows, fields, what):
    site.text("/airlines", PAGE)
    with pytest.raises(SourceError) as error:
        bench.collect(web(f"{site.url}/airlines", rows=rows, fields=fields))
    assert error.value.what == what


def test_robots_are_obeyed(bench, site):
    site.text("/robots.txt", "User-agent: *\nDisallow: /\n")
    site.text("/airlines", PAGE)
    with pytest.raises(SourceError, match=r"robots\.txt does not allow"):
        bench.collect(web(f"{site.url}/airlines", rows="tr", fields=FIELDS))


def test_status_and_absence(bench, site):
    with pytest.raises(SourceError, match="the server answered 404"):
        bench.collect(web(f"{site.url}/airlines", rows="tr", fields=FIELDS))
    with pytest.raises(SourceUnreachable):
        bench.collect(web("http://127.0.0.1:9/airlines", rows="tr", fields=FIELDS))

"""From page to page of a site: by the next page's link, and by links to the pages that have the rows."""

import pytest

import mainstem as ms
from mainstem.errors import SourceError

FIELDS = {"code": "td.code"}


def listed(codes, more=""):
    return "<table>" + "".join(f'<tr><td class="code">{c}</td></tr>' for c in codes) + f"</table>{more}"


@pytest.mark.parametrize("selector", ["a.next", "//a[@class='next']", "//a[@class='next']/@href", "a.next::attr(href)"])
def test_the_next_page_is_at_a_link(bench, site, selector):
    site.text("/p1", listed("ab", '<a class="next" href="p2#top">more</a>'))
    site.text("/p2", listed("cd", '<a class="next" href="/p3">more</a>'))
    site.text("/p3", listed("e", '<a class="next" href="/p1">again</a>'))
    node = ms.web(f"{site.url}/p1", rows="//table//tr", fields={"code": "./td[1]"}, next=selector)
    assert bench.collect(node, {"code": "string"}).rows_in == 5
    assert bench.column("code") == list("abcde")
    assert site.asked == ["/robots.txt", "/p1", "/p2", "/p3"]
    assert bench.collect(node, {"code": "string"}).message == "nothing new"


@pytest.mark.parametrize(("depth", "codes"), [(1, "bc"), (2, "bcd")])
def test_links_are_followed_within_the_origin_and_the_depth(bench, site, depth, codes):
    links = '<a href="/b">b</a><a href="c">c</a><a href="http://127.0.0.1:9/x">x</a><a href="mailto:a@b">m</a>'
    site.text("/a", listed("a", links))
    site.text("/b", listed("b", '<a href="/a">back</a><a href="/d">d</a>'))
    site.text("/c", listed("c"))
    site.text("/d", listed("d", '<a href="/e">e</a>'))
    node = ms.web(f"{site.url}/a", rows="tr", fields=FIELDS, follow="a", depth=depth)
    bench.collect(node, {"code": "string"})
    assert bench.column("code") == list(codes)
    assert "/e" not in site.asked and site.asked.count("/a") == 1


def test_robots_hold_on_every_page(bench, site):
    site.text("/robots.txt", "User-agent: *\nDisallow: /p2\n")
    site.text("/p1", listed("a", '<a class="next" href="/p2">more</a>'))
    with pytest.raises(SourceError, match="robots"):
        bench.collect(ms.web(f"{site.url}/p1", rows="tr", fields=FIELDS, next="a.next"), {"code": "string"})
    assert "/p2" not in site.asked and "source" not in bench.tables


def test_a_site_without_end_is_refused(bench, site):
    site.call("/p", lambda q, _: (200, {}, listed("a", f'<a href="/p?n={int(q.get("n", 0)) + 1}">m</a>').encode()))
    node = ms.web(f"{site.url}/p", rows="tr", fields=FIELDS, next="a", limits=ms.limits(pages=3))
    with pytest.raises(SourceError, match="too many pages"):
        bench.collect(node, {"code": "string"})

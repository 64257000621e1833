"""From page to page of a site: by the next page's link, and by links to the pages that have the rows."""

import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, SourceError
from mainstem.project.resolve import resolve
from mainstem.sources.inspection import introspect
from mainstem.sources.remembered import forget

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


def tagged(site, path, body, tag):
    """Answer as a server that knows ETags. `site.sent` counts the bodies."""

    def answer(query, sent):
        if sent.get("If-None-Match") == tag:
            return 304, {"ETag": tag}, b""
        site.asked.append(f"{path} body")
        return 200, {"ETag": tag}, body.encode()

    site.call(path, answer)


def test_an_unchanged_page_is_not_read_again(bench, site):
    tagged(site, "/p1", listed("ab", '<a class="next" href="/p2">more</a>'), '"one"')
    tagged(site, "/p2", listed("c"), '"one"')
    node = ms.web(f"{site.url}/p1", rows="tr", fields=FIELDS, next="a.next")
    assert bench.collect(node, {"code": "string"}).rows_in == 3
    site.asked.clear()
    assert bench.collect(node, {"code": "string"}).message == "nothing new"
    assert site.asked == ["/robots.txt", "/p1", "/p2"]
    tagged(site, "/p2", listed("cd"), '"two"')
    bench.collect(node, {"code": "string"})
    assert bench.column("code") == list("abcd")
    assert site.asked[-2:] == ["/p2", "/p2 body"] and "/p1 body" not in site.asked
    other = ms.web(f"{site.url}/p1", rows="tr", fields={"letter": "td.code"}, next="a.next")
    bench.collect(other, {"letter": "string"})
    assert bench.column("letter") == list("abcd"), "what another selection found does not count"


def test_what_is_remembered_is_private_and_may_be_lost_or_damaged(bench, site):
    tagged(site, "/p1", listed("ab"), '"one"')
    node = ms.web(f"{site.url}/p1", rows="tr", fields=FIELDS)
    bench.collect(node, {"code": "string"})
    (file,) = (bench.root / ".mainstem" / "pages").rglob("*.json")
    assert file.stat().st_mode & 0o077 == 0
    for damage in (b"", b"{", b"[]", b'{"etag": 5, "page": []}', b"\xff\xfe"):
        file.write_bytes(damage)
        site.asked.clear()
        assert bench.collect(node, {"code": "string"}).message == "nothing new"
        assert "/p1 body" in site.asked
    forget(bench.root)
    assert not list((bench.root / ".mainstem").rglob("*.json"))
    assert bench.collect(node, {"code": "string"}).message == "nothing new"


def test_a_secret_of_the_url_is_not_remembered(bench, site, monkeypatch):
    monkeypatch.setenv("SITE_TOKEN", "s3cret-of-the-site")
    tagged(site, "/p1", listed("ab"), '"one"')
    node = ms.web(f"{site.url}/p1?token=${{env:SITE_TOKEN}}", rows="tr", fields=FIELDS, next="a.next")
    bench.collect(node, {"code": "string"})
    assert any("s3cret-of-the-site" in asked for asked in site.asked)
    (file,) = (bench.root / ".mainstem" / "pages").rglob("*.json")
    assert "s3cret" not in file.read_text() and "s3cret" not in str(file)
    site.asked.clear()
    assert bench.collect(node, {"code": "string"}).message == "nothing new"
    assert "/p1 body" not in site.asked


def test_pages_that_are_no_more_asked_for_are_forgotten(bench, site):
    tagged(site, "/p1", listed("a", '<a class="next" href="/p2">more</a>'), '"one"')
    tagged(site, "/p2", listed("b"), '"one"')
    node = ms.web(f"{site.url}/p1", rows="tr", fields=FIELDS, next="a.next")
    bench.collect(node, {"code": "string"})
    tagged(site, "/p1", listed("a"), '"two"')
    bench.collect(node, {"code": "string"})
    assert len(list((bench.root / ".mainstem" / "pages").rglob("*.json"))) == 1


def reads(page):
    for row in page.css("tr"):
        yield {
            "code": row.css("td.code::text").get(),
            "page": page.url.rsplit("/", 1)[-1],
            "more": row.css("b::text").get(),
        }
    yield from page.xpath("//a[@class='next']/@href").getall()


def test_a_spider_of_ones_own_gives_rows_and_links(bench, site):
    site.text(
        "/p1", listed("ab", '<a class="next" href="p2#top">more</a><a class="next" href="http://127.0.0.1:9/x">x</a>')
    )
    site.text("/p2", listed("c", '<a class="next" href="/p1">again</a>'))
    node = ms.web(f"{site.url}/p1", spider=reads)
    assert introspect(node, bench.root, bench.engine) == dict.fromkeys(("code", "page", "more"), "string")
    site.asked.clear()
    assert bench.collect(node, {"code": "string", "page": "string"}).rows_in == 3
    assert [(row["code"], row["page"]) for row in bench.rows()] == [("a", "p1"), ("b", "p1"), ("c", "p2")]
    assert site.asked == ["/robots.txt", "/p1", "/p2"]
    assert bench.collect(node, {"code": "string", "page": "string"}).message == "nothing new"


def test_a_new_column_of_a_spider_is_told(bench, site):
    site.text("/p1", listed("a").replace("</td>", "</td><td><b>B</b></td>"))
    said = bench.collect(ms.web(f"{site.url}/p1", spider=reads), {"code": "string", "page": "string"}).message
    assert "new column more (string)" in said and bench.column("more") == ["B"]


def test_a_changed_spider_is_a_change_in_the_plan():
    def mark(spider):
        return resolve({"a": ms.web("http://a", spider=spider, schema={"code": "string"})}, {})["a"].fingerprint

    assert mark(raises) == mark(raises) != mark(counts)


def raises(page):
    yield {"code": "a"}
    raise ValueError("no such table")


def counts(page):
    yield {"code": 5}


@pytest.mark.parametrize(
    ("spider", "told", "got"),
    [
        (raises, "the spider 'raises' failed", "ValueError: no such table"),
        (counts, "the spider yielded an object that is not a row", "{'code': 5}"),
        (lambda page: iter(()), "the spider found nothing", "no row from"),
    ],
)
def test_a_spider_that_fails_is_told_and_nothing_is_stored(bench, site, spider, told, got):
    site.text("/p1", listed("a"))
    with pytest.raises(SourceError, match=told) as caught:
        bench.collect(ms.web(f"{site.url}/p1", spider=spider), {"code": "string"})
    assert got in str(caught.value.got) and "source" not in bench.tables


@pytest.mark.parametrize("more", [{"rows": "tr"}, {"fields": FIELDS}, {"next": "a"}, {"follow": "a"}])
def test_a_spider_stands_in_the_place_of_selectors(more):
    with pytest.raises(DefinitionError, match="a `spider` reads pages without"):
        ms.web("http://a", spider=reads, **more)
    with pytest.raises(DefinitionError, match="requires `rows` and `fields`, or a `spider`"):
        ms.web("http://a", **{name: value for name, value in more.items() if name != "rows"})


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

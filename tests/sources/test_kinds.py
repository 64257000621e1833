"""Which kind reads a source."""

from dataclasses import dataclass

import pytest

from mainstem.errors import SourceError
from mainstem.nodes.files import Files, files
from mainstem.nodes.sources import Source
from mainstem.nodes.web import Web, web
from mainstem.sources.kinds import KINDS, kind_of, register
from mainstem.sources.kinds.files import FilesKind


@dataclass(frozen=True, eq=False, kw_only=True)
class Folder(Files):
    """A subclass without a kind of its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pigeon(Source):
    """A source that nothing reads."""


def test_a_source_is_read_by_the_kind_of_its_class():
    assert kind_of(files("*.csv")) is KINDS[Files]
    assert kind_of(web("http://h", rows="tr", fields={"a": "td"})) is KINDS[Web]


def test_a_subclass_is_read_by_the_kind_of_its_base_until_it_has_its_own():
    node = Folder(path="*.csv", format="csv")
    assert kind_of(node) is KINDS[Files]

    class FolderKind(FilesKind):
        node_type = Folder

    own = FolderKind()
    register(own)
    try:
        assert kind_of(node) is own
        assert kind_of(files("*.csv")) is not own
    finally:
        del KINDS[Folder]


def test_a_source_that_nothing_reads_is_refused():
    with pytest.raises(SourceError, match="no kind of source reads a Pigeon") as caught:
        kind_of(Pigeon())
    assert caught.value.expected == "one of Api, Database, Dlt, Files, Kafka, Web"

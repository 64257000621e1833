"""What a project needs where it is deployed: extras, environment variables, directories that must stay."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mainstem.errors import SettingsError
from mainstem.nodes.apis import Api
from mainstem.nodes.base import Node
from mainstem.nodes.databases import Database
from mainstem.nodes.dlts import Dlt
from mainstem.nodes.files import Files
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.models import Model
from mainstem.nodes.sinks import Sink
from mainstem.nodes.tables import Table
from mainstem.nodes.web import Web
from mainstem.settings import FILE, Settings, variables

_SUFFIXES = {"xlsx": "excel", "xls": "excel", "ods": "excel", "avro": "avro"}
_SCHEMES = {
    **dict.fromkeys(("postgresql", "postgres"), "database"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql"),
}
_CANDIDATES = {"xgboost", "catboost"}


@dataclass(frozen=True)
class Needs:
    """What a deployment of a project needs.

    `directories` stay when a process ends: relative to the project, or absolute. `shared` tells whether several
    servers can answer: the online state and the runs are kept by servers, not in those directories.
    """

    project: str
    profile: str
    version: str
    python: str
    extras: tuple[str, ...]
    variables: tuple[str, ...]
    directories: tuple[str, ...]
    shared: bool
    spark: bool
    requirements: bool
    port: int
    drain: int

    @property
    def pip(self) -> str:
        """What pip installs."""
        return f"mainstem[{','.join(self.extras)}]=={self.version}"

    @property
    def name(self) -> str:
        """The project's name as the names of containers are: lower case, digits and hyphens."""
        return re.sub("[^a-z0-9]+", "-", self.project.lower())[:40].strip("-") or "mainstem"


def needs(settings: Settings, nodes: Iterable[Node], version: str, python: str) -> Needs:
    """Return what a project needs. Raises `SettingsError` for a directory that no container can be given."""
    profile, nodes = settings.profile, tuple(nodes)
    embedded_state = profile.state.startswith("sqlite:")
    shared = "://" in profile.online and not embedded_state
    places = [str(settings.lake), "" if "://" in profile.online else str(settings.path(profile.online))]
    places += [str(settings.cache)] if embedded_state else []
    texts = [*_texts(_profile_of(settings)), *(text for each in nodes for text in _texts(each))]
    return Needs(
        project=settings.project.name,
        profile=settings.profile_name,
        version=version,
        python=python,
        extras=tuple(sorted({"serve", *_of_profile(settings), *(extra for each in nodes for extra in _of_node(each))})),
        variables=tuple(sorted({name for text in texts for name in variables(text)})),
        directories=tuple(dict.fromkeys(_kept(settings.root, place) for place in places if place)),
        shared=shared,
        spark=profile.engine in ("spark", "auto"),
        requirements=(settings.root / "requirements.txt").is_file(),
        port=settings.serve.port,
        drain=_seconds(settings.serve.drain_timeout),
    )


def _profile_of(settings: Settings) -> Mapping[str, Any]:
    """Return what mainstem.toml says, with variables unexpanded, without other profiles."""
    data = tomllib.loads((settings.root / FILE).read_text())
    return {**data, "profile": data.get("profile", {}).get(settings.profile_name, {})}


def _texts(value: Any) -> Iterator[str]:
    """Yield every string in a declaration, and in the declarations that it refers to."""
    match value:
        case str():
            yield value
        case Mapping():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
        case _ if is_dataclass(value) and not isinstance(value, type):
            for each in fields(value):
                yield from _texts(getattr(value, each.name))


def _of_profile(settings: Settings) -> Iterator[str]:
    profile = settings.profile
    if profile.online.startswith(("redis://", "rediss://")):
        yield "redis"
    if any((url or "").startswith(("postgresql", "postgres")) for url in (profile.state, profile.catalog)):
        yield "postgres"
    if profile.engine in ("spark", "auto"):
        yield "spark"
    if settings.notify.urls:
        yield "notify"


def _of_node(node: Any) -> Iterator[str]:
    match node:
        case Api():
            yield "api"
        case Dlt():
            yield "dlt"
        case Web():
            yield "web"
        case Kafka():
            yield "kafka"
        case Database():
            yield from filter(None, [_SCHEMES.get(node.url.partition(":")[0].partition("+")[0])])
        case Files():
            yield from filter(None, [_SUFFIXES.get(node.path.rpartition(".")[2].lower())])
        case Sink():
            yield from _of_node(node.to)
        case Table() if node.using == "polars":
            yield "polars"
        case Table() if node.using == "pandas":
            yield "sklearn"
        case Model():
            yield from ("learn", *(["tune"] if node.tune is not None else []))
            for candidate in node.candidates or ():
                named = candidate if isinstance(candidate, str) else getattr(candidate, "name", "sklearn")
                name = named.partition("@")[0]
                yield from [name] if name in _CANDIDATES else ["sklearn"] if name == "sklearn" else []
    if (stream := getattr(node, "from_", None)) is not None:
        yield from _of_node(stream)


def _kept(root: Path, place: str) -> str:
    """Return the directory to keep: the first part of a path in the project, or an absolute path."""
    path = Path(place)
    if path.is_relative_to(root) and path != root:
        return path.relative_to(root).parts[0]
    if path == root or root.is_relative_to(path):
        hint = 'lake = ".mainstem/lake"'
        raise SettingsError("data is kept beside the project's own files", got=place, expected="a directory", hint=hint)
    return str(PurePosixPath(place))


def _seconds(duration: str) -> int:
    from mainstem.nodes.durations import microseconds

    return -(-microseconds(duration) // 1_000_000)

"""A catalog at a server that speaks Iceberg's REST protocol.

The server writes the metadata files of tables, so it must reach the lake's place, under the same path or URL. Reading
and writing is done with the settings of the lake's own store: credentials that the server gives out are not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from pyiceberg.catalog.rest import RestCatalog  # noqa: TID253 - imported where a catalog is opened
from pyiceberg.exceptions import (  # noqa: TID253
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from requests import ConnectionError, PreparedRequest, Response, Session, Timeout
from requests.adapters import HTTPAdapter
from requests.exceptions import SSLError

from mainstem.errors import SettingsError
from mainstem.lake.catalogs.base import NAMESPACE, SHOWN, Name, parents, split
from mainstem.lake.failures import CatalogAway
from mainstem.lake.files import PLACE, LakeFiles

if TYPE_CHECKING:
    from pyiceberg.io import FileIO

TIMEOUT = (10.0, 60.0)
"""Seconds for a connection, and for each part of an answer."""

_AWAY = (429, 502, 503, 504)
_PROPOSED = "proposed"


class Rest(RestCatalog):
    """The tables of a lake at a server."""

    @classmethod
    def at(cls, url: str, settings: Mapping[str, str], properties: Mapping[str, Any]) -> Rest:
        """Open the catalog at a URL, with the settings of `[profile.NAME.rest]`.

        Raises `SettingsError` if the server is no REST catalog, or leads to another one.
        """
        given = {name.replace("_", "-"): value for name, value in settings.items() if name != "ca"}
        given.setdefault("oauth2-server-uri", f"{url.rstrip('/')}/v1/oauth/tokens")
        trusted = {"ssl": {"cabundle": settings["ca"]}} if "ca" in settings else {}
        own = {name: value for name, value in properties.items() if name != "warehouse"}
        try:
            return cls(NAMESPACE, **{**own, **given, **trusted, "uri": url})
        except ValueError as error:
            raise SettingsError(
                "the catalog is not an Iceberg REST catalog",
                where=url,
                got=str(error).splitlines()[0],
                expected="the URL before /v1/config",
            ) from error

    def offer(self, places: Mapping[str, str]) -> None:
        wanted = {(*split(name)[0].split("."), split(name)[1]): place for name, place in places.items()}
        for namespace in sorted({name[:-1] for name in wanted}):
            for each in parents(".".join(namespace)):
                with suppress(NamespaceAlreadyExistsError):
                    self.create_namespace(each)
        shown = dict(self._shown())
        for name, place in wanted.items():
            if shown.get(name) == place:
                continue
            # Servers differ in what they do with a name that is registered again.
            if name in shown:
                self.drop_table(name)
            self.register_table(name, place)
        for name in shown.keys() - wanted.keys():
            self.drop_table(name)

    def offered(self) -> set[str]:
        return {place for _, place in self._shown()}

    @contextmanager
    def proposed(self, where: str, value: str) -> Iterator[str]:
        """An object store has no write that only the first one wins. A new namespace of the catalog has."""
        name = f"{NAMESPACE}_new_{hashlib.sha256(where.encode()).hexdigest()[:32]}"
        with suppress(NamespaceAlreadyExistsError):
            self.create_namespace(name, {_PROPOSED: value})
        first = None
        with suppress(NoSuchNamespaceError):  # another machine has ended with it
            first = self.load_namespace_properties(name).get(_PROPOSED)
        yield first or value
        with suppress(NoSuchNamespaceError):
            self.drop_namespace(name)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────

    def _shown(self) -> Iterator[tuple[Name, str]]:
        """Yield the tables that readers outside Mainstem see, with the places of their metadata files."""
        with suppress(NoSuchNamespaceError):
            for namespace in [(SHOWN,), *self.list_namespaces(SHOWN)]:
                for name in self.list_tables(namespace):
                    with suppress(NoSuchTableError):  # another run has moved it
                        yield name, self.load_table(name).metadata_location

    def _config_headers(self, session: Session) -> None:
        """PyIceberg calls this first for a new session, before the session fetches a token."""
        super()._config_headers(session)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Patient(self.properties.get("ssl", {}).get("cabundle")))

    def _fetch_config(self) -> None:
        """The server's own settings lead neither the token nor the lake's files elsewhere."""
        mine = dict(self.properties)
        super()._fetch_config()
        _stays(mine["uri"], self.uri)
        kept = ("oauth2-server-uri", "token", "credential", "auth", "ssl", PLACE)
        self.properties = {
            name: value
            for name, value in self.properties.items()
            if name not in kept and not name.startswith("header.")
        } | {name: mine[name] for name in kept if name in mine}

    def _load_file_io(self, properties: Mapping[str, str] = {}, location: str | None = None) -> FileIO:
        return LakeFiles.of(self.properties[PLACE])


class _Patient(HTTPAdapter):
    """Bounds how long a request lasts, and tells a server that is away from one that refuses.

    Requests prefers the environment's REQUESTS_CA_BUNDLE to the certificates of a session, so `ca` is set here.
    """

    def __init__(self, ca: str | None) -> None:
        super().__init__()
        self._ca = ca

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        own = {"timeout": TIMEOUT} | ({"verify": self._ca} if self._ca else {})
        try:
            response = super().send(request, *args, **{**options, **own})
        except SSLError as error:
            raise SettingsError(
                "the certificate of the catalog's server is not trusted",
                where=request.url,
                got=str(error),
                hint="set `ca` in [profile.NAME.rest] to a file with the certificate of its authority",
            ) from error
        except (ConnectionError, Timeout) as error:
            raise CatalogAway(str(error)) from error
        if response.status_code in _AWAY:
            response.close()
            raise CatalogAway(f"{response.status_code} {response.reason}")
        if response.is_redirect:  # a request for a token would be sent on with the secret in its body
            _stays(str(request.url), urljoin(str(request.url), response.headers["location"]))
        return response


def _stays(at: str, to: str) -> None:
    """Raise `SettingsError` unless a URL that a server leads to is of the same server."""
    if _origin(to) != _origin(at):
        raise SettingsError(
            "the catalog leads to another server",
            where=at,
            got=to,
            hint="set `catalog` to the URL that you trust with the token",
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc

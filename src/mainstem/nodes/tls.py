"""How a connection is encrypted."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import boolean, optional, text


@dataclass(frozen=True)
class Tls:
    """The certificates of a connection, as files below the project: that of the authority which signed the server's,
    and the client's own with its key. With `verify` the server's certificate and name are verified."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True


@declared(ca=optional(text), cert=optional(text), key=optional(text), verify=boolean)
def tls(*, ca: str | None = None, cert: str | None = None, key: str | None = None, verify: bool = True) -> Tls:
    """Encrypt the connection to a database: `tls=ms.tls(ca="certs/ca.pem")`.

    `ca` is the certificate of the authority that signed the server's; default: those of the system. `cert` and `key`
    are the client's own. The server's certificate and name are verified unless `verify` is False. Raises
    `DefinitionError` for a key without a certificate.
    """
    if key is not None and cert is None:
        raise refused("`key` requires `cert`", key, 'cert="client.pem", key="client.key"')
    return Tls(ca, cert, key, verify)

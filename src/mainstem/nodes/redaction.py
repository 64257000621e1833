"""Removal of passwords and tokens from texts that are shown."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/\s]*@")
_UNENCODED = re.compile(r"(?<=://)([^/@:\s]*):[^\s'\"]*@")
_DATABASE = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^\s'\"]*")
_TOKEN = re.compile(r"(?i)([?&](?:api_?key|token|secret|password|sig(?:nature)?|access_token|auth)=)[^&\s'\"]+")


def redacted(text: str) -> str:
    """Return `text` without the passwords in its URLs and the tokens in their queries.

    A database password may contain an unescaped slash. In other URLs an @ may occur after the host.
    """
    text = _DATABASE.sub(lambda url: _UNENCODED.sub(r"\1:…@", url[0]), text)
    return _TOKEN.sub(r"\1…", _PASSWORD.sub(r"\1:…@", text))

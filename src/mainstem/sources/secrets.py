"""`${env:NAME}` in urls and headers: expanded when it is used, and redacted when it is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mainstem.errors import SettingsError
from mainstem.nodes.redaction import redacted

_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(text: str) -> str:
    """Return `text` with its variables expanded. Raises `SettingsError` for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SettingsError(
                f"the environment variable {match[1]} is not set", got=text, hint=f"export {match[1]}=…"
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)


def expand_all(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: expand(text) for name, text in texts.items()}


def redact(message: str, *templates: str) -> str:
    """Return `message` without passwords and tokens, and without the values that `templates` take from the
    environment."""
    for template in templates:
        for name in _VARIABLE.findall(template):
            if os.environ.get(name):
                message = message.replace(os.environ[name], f"${{env:{name}}}")
    return redacted(message)

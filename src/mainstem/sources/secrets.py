"""`${env:NAME}` in urls, params and headers: expanded when it is used, and redacted when it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mainstem.masking import masked, remember_password
from mainstem.nodes.redaction import redacted
from mainstem.settings import expand, variables

__all__ = ["expand", "expand_all", "expand_url", "expanded", "redact"]


def expand_all(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: expand(text) for name, text in texts.items()}


def expanded(value: Any) -> Any:
    """Return plain data with the variables of every text expanded."""
    if isinstance(value, str):
        return expand(value)
    if isinstance(value, Mapping):
        return {name: expanded(each) for name, each in value.items()}
    return [expanded(each) for each in value] if isinstance(value, (list, tuple)) else value


def expand_url(url: str) -> str:
    """Return a URL with its variables expanded. Its password is masked from now on."""
    expanded = expand(url)
    remember_password(expanded)
    return expanded


def redact(message: str, *templates: str) -> str:
    """Return `message` without passwords and tokens, and without the values that `templates` take from the
    environment."""
    for template in templates:
        for name in variables(template):
            if os.environ.get(name):
                message = message.replace(os.environ[name], f"${{env:{name}}}")
    return masked(redacted(message))

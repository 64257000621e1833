"""What proves to a server who asks: headers, parameters and cookies."""

from __future__ import annotations

from collections.abc import Mapping


class Credentials:
    """Headers and parameters of each request. They are made when the first request goes out."""

    def headers(self) -> Mapping[str, str]:
        return {}

    def params(self) -> Mapping[str, str]:
        return {}

    def renew(self) -> bool:
        """Forget what the server refused. Return whether another try has other credentials."""
        return False

"""The settings of object stores, as `storage=` has them."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import DefinitionError, close_matches

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "access_key": "access_key",
        "secret_key": "secret_key",
        "session_token": "session_token",
        "region": "region",
        "endpoint": "endpoint_override",
        "role": "role_arn",
        "anonymous": "anonymous",
    },
    "gs": {"access_token": "access_token", "endpoint": "endpoint_override", "anonymous": "anonymous"},
    "abfs": {"account": "account_name", "account_key": "account_key", "sas_token": "sas_token"},
}
"""The settings by scheme, with the names that pyarrow has for them."""

_ALIKE = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}


def scheme_of(path: str) -> str:
    """Return the scheme of a URL; an empty text for a path."""
    scheme = path.partition("://")[0] if "://" in path else ""
    return _ALIKE.get(scheme, scheme)


def check_storage(path: str, storage: Mapping[str, str]) -> None:
    """Require that the settings belong to the scheme of the path. Raises `DefinitionError`."""
    if not storage:
        return
    scheme = scheme_of(path)
    if not scheme:
        raise DefinitionError("storage= is for files at a URL", got=path, expected="such as s3://bucket/*.csv")
    known = SETTINGS.get(scheme, storage)
    unknown = next((name for name in storage if name not in known), None)
    if unknown is not None:
        near = close_matches(unknown, known)
        raise DefinitionError(f"storage= has no setting {unknown!r}", expected=", ".join(known), hint=near)


def arguments(scheme: str, storage: Mapping[str, str]) -> dict[str, str | bool]:
    """Return the settings of a store as pyarrow's file system takes them."""
    given: dict[str, str | bool] = {SETTINGS[scheme][name]: value for name, value in storage.items()}
    if isinstance(anonymous := given.get("anonymous"), str):
        given["anonymous"] = anonymous.lower() in ("true", "1", "yes")
    return given

"""Files as a source: their format, their options, and the object store that they lie at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mainstem.nodes.base import names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import anything, mapping, optional, text, word
from mainstem.nodes.sources import COLLECTED, TIME, KnownSpec, Source
from mainstem.nodes.storage import check_storage

FileFormat = Literal["csv", "parquet", "json", "excel", "avro"]
"""The format of files."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Files(Source):
    """Files that match a glob below the project or at an object store. If a file changes, its new rows replace its old
    rows. `storage` are the settings of the object store."""

    path: str
    format: FileFormat
    options: Mapping[str, Any] = field(default_factory=dict)
    storage: Mapping[str, str] = field(default_factory=dict)


_SUFFIXES: Mapping[str, FileFormat] = {
    "csv": "csv",
    "tsv": "csv",
    "parquet": "parquet",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "xlsx": "excel",
    "xlsm": "excel",
    "xls": "excel",
    "ods": "excel",
    "avro": "avro",
}
_FORMATS = get_args(FileFormat)
_PACKED = (".gz", ".zst", ".zip")


@declared(
    path=text,
    time=TIME,
    format=optional(word(*_FORMATS)),
    options=optional(mapping(anything)),
    storage=optional(mapping(text)),
    **COLLECTED,
)
def files(
    path: str,
    *,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    format: FileFormat | None = None,
    options: Mapping[str, Any] | None = None,
    storage: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Files:
    """Declare CSV, TSV, Parquet, JSON, Excel or Avro files that match the glob `path`.

    The path is relative to the project, or a URL of an object store (`s3://bucket/sales/*.parquet`, `gs://…`,
    `abfs://…`), whose settings are `storage`: `{"endpoint": …, "access_key": "${env:KEY}", …}`. A path that is a file's
    own name is that file. Files may be compressed (`.gz`, `.zst`) or packed (`.zip`).
    The suffix tells the format unless `format` is given; `.tsv` is CSV with tabs, and JSON is one object a line or an
    array of objects. `options` are passed to the reader (`delim`, `nullstr`, …); of CSV, `nulls` maps
    columns to their texts for missing values; of Excel, `sheet` is a sheet's name and `skip` the rows above the header.
    Raises `DefinitionError` for an unknown suffix, option of Excel, or setting of an object store.
    """
    name = path
    for packed in _PACKED:
        name = name.removesuffix(packed)
    suffix = name.rsplit(".", 1)[-1].lower()
    kind: Any = format or _SUFFIXES.get(suffix)
    if suffix == "tsv" and not format:
        options = {"delim": "\t", **(options or {})}
    if kind not in _FORMATS:
        raise refused("the format of the files is unknown", path, f'format="…", one of {", ".join(_FORMATS)}')
    check_storage(path, storage or {})
    _check_nulls((options or {}).get("nulls", {}))
    return Files(
        path=path,
        format=kind,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        options=dict(options or {}),
        storage=dict(storage or {}),
        checks=tuple(checks),
        **meta,
    )


def _check_nulls(nulls: Any) -> None:
    """Refuse an option `nulls` that is not texts by column. Raises `DefinitionError`."""
    texts = nulls.values() if isinstance(nulls, Mapping) else [None]
    if any(isinstance(each, str) or not isinstance(each, Sequence) for each in texts):
        expected = 'texts by column: {"area": ["unknown"]}'
        raise refused(
            "the option `nulls` must have the texts of each column",
            nulls,
            expected,
            hint="`nullstr` is for all columns",
        )

"""The schemas of sources as runs have changed them: part of a release, until `mainstem source lock` writes them."""

from __future__ import annotations

import json

from mainstem.nodes.definition import EVOLVED, Evolved
from mainstem.nodes.records import Release


def evolved_in(release: Release) -> dict[str, Evolved]:
    """Return the columns that runs added or widened, by source."""
    told = {name: snapshot.properties.get(EVOLVED) for name, snapshot in release.tables.items()}
    return {
        name: {column: (was, now) for column, (was, now) in json.loads(text).items()}
        for name, text in told.items()
        if text
    }

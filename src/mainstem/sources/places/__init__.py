"""Where files are: below the project, or at an object store."""

from __future__ import annotations

from pathlib import Path

from mainstem.nodes.files import Files
from mainstem.sources.places.base import Place
from mainstem.sources.places.local import Local

__all__ = ["Place", "place_of"]


def place_of(node: Files, root: Path) -> Place:
    """Return where the files of a source are. Raises `SourceError` for an unknown scheme."""
    if "://" not in node.path:
        return Local(root, node.path)
    from mainstem.sources.places.remote import remote

    return remote(node.path, node.storage)

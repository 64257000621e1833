"""The artifacts of models in a lake: folders whose files never change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from mainstem.errors import StorageError
from mainstem.lake.failures import explained
from mainstem.lake.places.base import Place
from mainstem.lake.places.local import Local

CLAIM = ".claim-"
"""How the names of files begin by which runs claim a folder."""


class Fetched:
    """The artifacts of a lake that is elsewhere. Each is fetched when it is first asked for.

    A copy of the claim marks a folder that is as the store has it. Files without it are from a run that ended before
    they were kept, and another run may have the name by now.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def __truediv__(self, artifact: str) -> Path:
        """Return the local directory of an artifact. Raises `StorageError`."""
        directory = self._place.root / artifact
        with explained(self._place.location(artifact)):
            found = [each.name for each in self._place.listing(artifact)]
            claims = [name for name in found if CLAIM in name]
            names = [name for name in found if CLAIM not in name]
            if not names and not directory.exists():
                raise StorageError("a model version has no files", where=self._place.location(artifact))
            marked = any((self._place.root / claim).exists() for claim in claims)
            self._place.fetch(names, anew=bool(names and claims) and not marked)
            self._place.fetch(claims)
        return directory


def keep(place: Place, artifact: str) -> bool:
    """Make an artifact below the place's root durable. Return False if another run has claimed its name.

    Object stores create no directory at once. So each run writes a claim, and then looks: it has the name only if it
    sees no other claim and no other file. Of two that see each other, neither has it.
    """
    if isinstance(place, Local):
        return True
    own = f"{artifact}/{CLAIM}{uuid4().hex}"
    place.write(own, b"")
    if [each.name for each in place.listing(artifact)] != [own]:
        place.delete([own])
        shutil.rmtree(place.root / artifact)
        (place.root / artifact).mkdir()  # the next free number is after this one
        return False
    place.keep(_below(place.root, artifact))
    (place.root / own).touch()
    return True


def _below(root: Path, artifact: str) -> Iterator[str]:
    for path in sorted((root / artifact).iterdir()):
        yield str(path.relative_to(root))

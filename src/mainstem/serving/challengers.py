"""The challenger of an endpoint that declares a shadow or a canary, as a release has it."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.errors import MainstemError
from mainstem.serving.canary import Split
from mainstem.serving.predictor import Predictor
from mainstem.serving.shadows import Shadow


@dataclass(frozen=True)
class Beside:
    """The id of the challenger, or None without one; the shadow, and the split of a canary. `trouble` says why it
    cannot score."""

    version: str | None
    predictor: Predictor | None = None
    shadow: Shadow | None = None
    split: Split | None = None
    trouble: MainstemError | None = None

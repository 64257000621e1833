"""What a project needs where it is deployed, and the files that say so to Docker and Kubernetes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mainstem.nodes.base import Node
from mainstem.project.deploying.files import write
from mainstem.project.deploying.needs import needs
from mainstem.settings import Settings


def deploy_files(settings: Settings, nodes: Iterable[Node], directory: Path, **options: Any) -> list[str]:
    """Write the files of a deployment of the project under its profile, and return their names."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return write(needs(settings, nodes, version("mainstem"), python), settings.root, directory.resolve(), **options)

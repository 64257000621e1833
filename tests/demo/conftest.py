"""The template's world and simulate scripts, imported from where `mainstem init` copies them from."""

import sys
from pathlib import Path

TEMPLATE = Path(__file__).parents[2] / "src/mainstem/cli/templates/flights"
sys.path.insert(0, str(TEMPLATE))

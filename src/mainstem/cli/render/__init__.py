"""The output of commands: text for people or JSON for programs, behind one interface."""

from __future__ import annotations

from mainstem.cli.render.base import Output


def output(json: bool) -> Output:
    """Return the output of a command."""
    if json:
        from mainstem.cli.render.json import JsonOutput

        return JsonOutput()
    from mainstem.cli.render.text import TextOutput

    return TextOutput()

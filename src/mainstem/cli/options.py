"""Options of several commands, and how commands open the project and report errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mainstem.cli.render import output
from mainstem.errors import MainstemError, RequestError, StorageError, UnknownName

if TYPE_CHECKING:
    from mainstem.project.project import Project

Directory = Annotated[Path, typer.Option("--project", "-C", metavar="DIR", help="The project's directory.")]
Profile = Annotated[str | None, typer.Option(metavar="NAME", help="The profile of mainstem.toml to use.")]
Branch = Annotated[str, typer.Option(metavar="NAME", help="The branch to read and publish.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Select = Annotated[
    str | None,
    typer.Option("--select", "-s", metavar="NODES", help="Only these nodes: legs, legs+ (and after), +legs, air*."),
]

F = TypeVar("F", bound=Callable[..., Any])

HERE = Path()
USAGE, FAILED, INTERRUPTED = 2, 1, 130


@contextmanager
def opened(directory: Path, profile: str | None = None, branch: str = "main") -> Iterator[Project]:
    """Open the project at a directory, and close it afterwards."""
    from mainstem.project.project import load

    with load(directory, profile=profile, branch=branch) as project:
        yield project


def command(app: typer.Typer, example: str, *, interrupted: str = "interrupted", **more: Any) -> Callable[[F], F]:
    """Register a command whose help ends with an example, and whose errors are rendered and become exit codes.

    `interrupted` is the message after Ctrl-C.
    """

    def register(function: F) -> F:
        app.command(epilog=f"Example:  {example}", **more)(_reported(function, interrupted))
        return function

    return register


def exit_code(error: MainstemError) -> int:
    """Return 2 for an invalid command line, else 1."""
    asked = error.where is None or error.where.startswith("the selection")
    wrong = isinstance(error, RequestError) or (isinstance(error, UnknownName) and asked)
    return USAGE if wrong else FAILED


def _reported(function: F, interrupted: str) -> F:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        out = output(json=bool(kwargs.get("json")))
        try:
            return function(*args, **kwargs)
        except MainstemError as error:
            out.error(error)
            raise typer.Exit(exit_code(error)) from None
        except BrokenPipeError:
            raise  # the reader of the output has closed the pipe
        except OSError as error:
            out.error(StorageError.of(error))
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            out.interrupted(interrupted)
            raise typer.Exit(INTERRUPTED) from None

    return call  # type: ignore[return-value]

"""`mainstem plan`, `run`, `materialise`, `check` and `test`: show due steps, run them, and test the results."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated

import typer

from mainstem.cli.options import FAILED, HERE, Branch, Directory, Json, Profile, Select, command, opened
from mainstem.cli.render import output
from mainstem.errors import DefinitionError, DeliveryFailed, MissingExtra, NotFound, RunFailed

if TYPE_CHECKING:
    from mainstem.nodes.findings import Finding
    from mainstem.nodes.records import RunRecord
    from mainstem.planning.runner import Listener
    from mainstem.project.project import Project

FullRefresh = Annotated[
    bool,
    typer.Option(
        "--full-refresh",
        help="Build tables from all rows of their inputs, and read all rows of sources with a cursor.",
    ),
]
Start = Annotated[
    str | None,
    typer.Option("--start", help="Build intervals, and read rows of sources, from this date on again."),
]
End = Annotated[str | None, typer.Option("--end", help="The first date after them; default: no end.")]
DUE = 3
"""The exit code of `plan --exit-code` where there is something to do."""

INTERRUPTED = "interrupted: nothing was published; the next run starts from the published release"

BEGUN = "interrupted: nothing was published; the next run continues or clears what was built so far"


def register(app: typer.Typer) -> None:
    command(app, 'mainstem plan -s "legs+"')(plan)
    command(app, 'mainstem run -s "legs+ airport" --branch dev', interrupted=INTERRUPTED)(run)
    command(app, "mainstem materialise airport --rebuild", interrupted=BEGUN)(materialise)
    command(app, "mainstem reingest orders", interrupted=INTERRUPTED)(reingest)
    command(app, "mainstem check -s legs")(check)
    command(app, "mainstem test -- -k legs", context_settings={"ignore_unknown_options": True})(test)


def plan(
    select: Select = None,
    full_refresh: FullRefresh = False,
    start: Start = None,
    end: End = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 if there is something to do.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Show what a run would do, and why."""
    with opened(directory, profile, branch) as project:
        work = project.plan(select, full_refresh=full_refresh, start=start, end=end, explain=True)
        output(json).plan(work, project.remedies)
        for problem in work.broken:
            output(json).error(problem)
    if work.broken:
        raise typer.Exit(FAILED)
    if work and exit_code:
        raise typer.Exit(DUE)


def run(
    select: Select = None,
    full_refresh: FullRefresh = False,
    start: Start = None,
    end: End = None,
    forward: Annotated[bool, typer.Option("--forward", help="Go on after a rollback.")] = False,
    sample: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Work on a sample from now on; 1: on all rows again.")
    ] = None,
    sample_by: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The source to sample; default: the largest one with a key.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many independent steps run at once.")
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Bring a branch to what the project declares, and publish it.

    It collects, builds, checks, brings online, trains and monitors whatever is not as declared. It never ships a model:
    it makes a challenger at most, and `mainstem promote` ships it. If a step or a check of severity `error` fails,
    nothing is published. An error in the definition of a view, a model or an endpoint does not stop the data: the rest
    is published, and the command exits with 1.
    """
    with opened(directory, profile, branch) as project:
        running(
            project,
            lambda listener: project.run(
                select,
                report=listener,
                full_refresh=full_refresh,
                start=start,
                end=end,
                forward=forward,
                workers=workers,
                sample=sample,
                sample_by=sample_by,
            ),
            json,
        )


def materialise(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="The views; default: all.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild them, whatever their state is.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Bring feature views online from the lake, and publish that.

    A new state is built next to the one that is read, and readers switch to it with the release. Views that are online
    as they are declared stay as they are, unless --rebuild says otherwise.
    """
    with opened(directory, profile, branch) as project:
        running(project, lambda listener: project.materialise(views or (), rebuild=rebuild, report=listener), json)


def reingest(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="The source whose rows were set aside.")],
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Take in again the rows of a source that were set aside, and build what depends on it.

    They are held to the source's present contract, schema and checks. Rows that do not fit yet stay set aside. Files
    that still exist are read again.
    """
    with opened(directory, profile, branch) as project:
        running(project, lambda listener: project.reingest(name, listener), json)


def running(project: Project, work: Callable[[Listener], RunRecord], json: bool) -> None:
    """Run, and show each step, the record and the findings that it opened or closed."""
    out = output(json)
    try:
        with out.progress() as listener:
            record = work(listener)
    except RunFailed as failure:
        if failure.run is not None:
            out.run(failure.run, {})
        if failure.judged is not None and not json:
            sys.stdout.write("\nThe run failed. Live endpoints were judged by what is published:\n")
            out.run(failure.judged, _findings(project, failure.judged))
        raise
    except (DefinitionError, DeliveryFailed) as problem:
        if problem.run is not None:
            out.run(problem.run, _findings(project, problem.run))
        raise
    out.run(record, _findings(project, record))


def _findings(project: Project, record: RunRecord) -> dict[str, Finding]:
    return {finding.id: finding for finding in project.findings() if finding.id in record.findings}


def check(
    select: Select = None,
    files: Annotated[bool, typer.Option("--files", help="Verify all stored files instead.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Test the published tables.

    Exits with 1 if a check of severity `error` finds violations. With --files it reads every data file that a release
    needs, compares it with the checksum of its commit, and exits with 1 if one is damaged.
    """
    with opened(directory, profile, branch) as project:
        if files:
            found = project.check_files()
            output(json).files(found)
            raise typer.Exit(FAILED if found.damaged else 0)
        results = project.check(select)
    output(json).checks(results)
    if any(not result.passed and result.severity == "error" for found in results.values() for result in found):
        raise typer.Exit(FAILED)


def test(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- PYTEST ARGUMENTS", help="Arguments for pytest.")
    ] = None,
    directory: Directory = HERE,
) -> None:
    """Run the project's unit tests, those in tests/."""
    from mainstem.settings import find_root

    root = find_root(directory)
    if not (root / "tests").is_dir():
        raise NotFound("the project has no unit tests", where=str(root), expected="tests/test_*.py")
    if importlib.util.find_spec("pytest") is None:
        raise MissingExtra.named("dev", "pytest")
    plugin = () if entry_points(group="pytest11", name="mainstem") else ("-p", "mainstem.testing.plugin")
    line = [sys.executable, "-m", "pytest", *plugin, f"--rootdir={root}", "tests", *(arguments or ())]
    ended = subprocess.run(line, cwd=root, check=False)
    raise typer.Exit(0 if ended.returncode == 0 else FAILED)

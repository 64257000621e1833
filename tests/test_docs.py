"""Docs are true as far as a test can tell: every command, option, setting and error is there; links lead somewhere."""

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.main import get_command

from mainstem import errors, settings
from mainstem.cli.app import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
COMMANDS = get_command(app).commands


def leaves(name: str) -> dict[str, Any]:
    command = COMMANDS[name]
    inner = getattr(command, "commands", None)
    return {f"{name} {sub}": leaf for sub, leaf in inner.items()} if inner else {name: command}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_a_page_with_its_example_and_options(name: str) -> None:
    page = (DOCS / "commands" / f"{name}.md").read_text()
    assert page.startswith(f"# mainstem {name}\n")
    for leaf in leaves(name).values():
        assert "$ " + leaf.epilog.removeprefix("Example:  ") in page
        options = [option for p in leaf.params if p.param_type_name == "option" for option in p.opts]
        missing = [option for option in options if f"`{option}`" not in page and option not in ("--help", "-h")]
        assert not missing


def test_no_page_tells_of_a_command_that_is_not_there() -> None:
    pages = {page.stem for page in (DOCS / "commands").glob("*.md")} - {"README"}
    assert pages == set(COMMANDS)
    index = (DOCS / "commands" / "README.md").read_text()
    assert all(f"[`{name}`]({name}.md)" in index for name in COMMANDS)


@pytest.mark.parametrize(
    ("section", "struct"),
    [
        ("project", settings.ProjectSettings),
        ("profile.NAME", settings.Profile),
        ("run", settings.Run),
        ("serve", settings.Serve),
    ],
)
def test_every_setting_is_documented_with_its_default(section: str, struct: type[msgspec.Struct]) -> None:
    page = (DOCS / "settings.md").read_text()
    part = page.split(f"## `[{section}]`")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)`", part, re.M))
    fields = {field.name: field.default for field in msgspec.structs.fields(struct)}
    assert documented == set(fields)
    for name, default in fields.items():
        if default not in (None, msgspec.NODEFAULT):
            toml = str(default).lower() if isinstance(default, bool) else default
            assert f"| `{name}` | `{toml}` |" in part


def test_the_example_of_the_settings_page_is_read(tmp_path: Path) -> None:
    page = (DOCS / "settings.md").read_text()
    example = re.search(r"```toml[^\n]*\n(.*?)```", page, re.S)
    assert example is not None
    (tmp_path / "mainstem.toml").write_text(example[1])
    assert settings.load(tmp_path, "small").profile.threads == 1


def test_every_error_is_documented() -> None:
    page = (DOCS / "errors.md").read_text()
    classes = {n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.MainstemError)}
    assert set(re.findall(r"^\| `(\w+)`", page, re.M)) == classes - {"MainstemError"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|mailto:", t)]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", page.read_text())
    assert [f"{target}#{anchor}" for target, anchor in links if anchor not in anchors(page.parent / target, page)] == []


def anchors(target: Path, page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = (page if target.is_dir() else target).read_text()
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_changelog_has_this_version_or_unreleased() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()

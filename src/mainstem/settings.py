"""The settings of a project: `mainstem.toml`, one of its profiles, and overrides from the environment.

    [project]
    name = "flights"
    modules = ["flights"]

    [profile.default]
    lake = ".mainstem/lake"

    [params]
    country = "PT"

Every value may contain `${env:NAME}`. The variable MAINSTEM_NAME overrides a value of the profile: MAINSTEM_LAKE
overrides `lake`.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mainstem.errors import SettingsError, UnknownName, close_matches
from mainstem.masking import remember, remember_password

FILE = "mainstem.toml"
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of the project and the modules that hold its definitions."""

    name: str
    modules: tuple[str, ...]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a project keeps and computes its data. Paths are relative to the project.

    `lake` is the directory of stored tables and artifacts, or the URL of a place at an object store, such as
    `s3://bucket/prefix`; `storage` has that store's settings, as sources have them. `catalog` is the URL of the Iceberg
    catalog: a database (default: SQLite in the lake; a lake at a URL requires one), or a REST server at `https://`, for
    which `rest` has the token and more. `engine` names the engine: `duckdb`, `spark`, or `auto` by the size of tables;
    `memory` and `threads` limit it. `spark` has the master's URL and Spark's own settings, such as
    `{master = "local[*]"}`. `online` is the directory of online state and logs, or the URL of a Redis
    server that holds them. A dataset of more than `training_rows` rows is drawn to about as many by the engine before a
    model learns from it. `verify` is how often runs verify each stored file (`off`: only `mainstem check --files`
    does). `state` is the URL of runs, releases and findings.
    """

    lake: str = ".mainstem/lake"
    storage: dict[str, str] = {}
    catalog: str | None = None
    rest: dict[str, str] = {}
    engine: str = "duckdb"
    memory: str | None = None
    threads: int | None = None
    spark: dict[str, str] = {}
    online: str = ".mainstem/online"
    training_rows: Annotated[int, msgspec.Meta(ge=1)] = 5_000_000
    verify: str = "7d"
    state: str = "sqlite:///.mainstem/state.db"


class Serve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, its bounds, and who may ask without a key.

    Sizes are bytes and rows of a request; timeouts are durations such as `10s`. `ahead` is how much later than the
    clock an event may be. `keyless` allows requests from this machine without a key although keys were made. `log` is
    where lines of the log go: `stderr`, `off`, or a file. `loop` is the event loop: uvloop where it is installed
    (`auto`), or `asyncio`. `workers` is the number of processes that answer; one that does nothing for `hang_timeout`
    is replaced.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    max_bytes: int = 4_194_304
    max_rows: int = 10_000
    max_path: int = 4_096
    max_headers: int = 16_384
    max_connections: int = 1_000
    max_connections_per_client: int = 500
    header_timeout: str = "10s"
    body_timeout: str = "30s"
    stall_timeout: str = "10s"
    idle_timeout: str = "75s"
    request_timeout: str = "30s"
    drain_timeout: str = "30s"
    ahead: str = "5min"
    keyless: bool = False
    log: str = "stderr"
    loop: Literal["auto", "asyncio"] = "auto"
    workers: int = 1
    hang_timeout: str = "10s"


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How runs work: how many independent steps run at once (`workers`; default: one per core that has a GiB of
    memory), and how often a step is tried again (`retries`) after an error that may pass, first after `wait`."""

    workers: int | None = None
    retries: int = 0
    wait: str = "1s"


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `mainstem gc` keeps: the releases of a duration such as `30d` (`all`: every one), and at least the `newest`
    of each branch."""

    releases: str = "30d"
    newest: int = 5


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told when a run of the branch main or a monitor fails, and when it is fine again: `urls` of Apprise, such
    as `["${env:SLACK_URL}"]`. Needs the extra `notify`."""

    urls: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    project: ProjectSettings
    profile: dict[str, Profile] = {}
    serve: Serve = Serve()
    keep: Keep = Keep()
    run: Run = Run()
    notify: Notify = Notify()
    params: dict[str, Any] = {}


class Settings(msgspec.Struct, frozen=True):
    """A project's settings under one profile. `root` is the directory of mainstem.toml.

    `params` are the values of the parameters of SQL: `$name` in a query stands for `[params] name`.
    """

    root: Path
    project: ProjectSettings
    profile: Profile
    profile_name: str
    serve: Serve
    keep: Keep = Keep()
    params: Mapping[str, Any] = {}
    run: Run = Run()
    notify: Notify = Notify()

    def path(self, text: str) -> Path:
        """Return a path of the profile as an absolute path."""
        return (self.root / text).resolve()

    @property
    def lake(self) -> Path:
        """The directory of stored tables and artifacts; for a lake at a URL, that of its mirror on this machine."""
        text = self.profile.lake
        if "://" not in text:
            return self.path(text)
        short = hashlib.sha256(text.rstrip("/").encode()).hexdigest()[:12]
        return self.root / ".mainstem" / "mirror" / short

    @property
    def state_url(self) -> str:
        """The state's URL, with a relative SQLite path made absolute."""
        prefix = "sqlite:///"
        url = self.profile.state
        return prefix + str(self.path(url.removeprefix(prefix))) if url.startswith(prefix) else url

    @property
    def cache(self) -> Path:
        """The directory of data that can be computed again: next to the state if that is a file, else `.mainstem`."""
        prefix = "sqlite:///"
        url = self.state_url
        return Path(url.removeprefix(prefix)).parent if url.startswith(prefix) else self.root / ".mainstem"


def load(path: str | Path = ".", profile: str | None = None) -> Settings:
    """Read the settings of the project at `path`: its directory, or a directory below it.

    The profile is the given one, else MAINSTEM_PROFILE, else `default`. Raises `SettingsError` or `UnknownName`.
    """
    root = find_root(Path(path))
    name = profile or os.environ.get("MAINSTEM_PROFILE") or "default"
    data = _parsed(root / FILE)
    profiles = {"default": {}, **data.get("profile", {})}
    if name not in profiles:
        problem = UnknownName.among("profile", name, profiles)
        problem.hint = problem.hint or f"add [profile.{name}] to {FILE}"
        raise problem if profile else problem.at("the environment variable MAINSTEM_PROFILE")
    # Only the chosen profile is expanded: the secrets of other profiles may be missing.
    file = _read({**data, "profile": {name: profiles[name]}}, root / FILE)
    chosen = _overridden(file.profile[name])
    settings = Settings(root, file.project, chosen, name, file.serve, file.keep, file.params, file.run, file.notify)
    for url in (settings.profile.state, settings.profile.online, settings.profile.catalog, settings.profile.lake):
        remember_password(url or "")
    for name, value in (*settings.profile.storage.items(), *settings.profile.rest.items()):
        if "key" in name or "token" in name:
            remember(value)
        if name == "credential":
            remember(value.rpartition(":")[2])
    return settings


def find_root(path: Path) -> Path:
    """Return the nearest directory at or above `path` that contains mainstem.toml."""
    start = path.resolve()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file():
            return directory
    raise SettingsError(f"{FILE} not found", where=str(start), hint="mainstem init flights DIR creates a project")


def expand(text: str) -> str:
    """Return `text` with every `${env:NAME}` replaced. The values are masked from now on, wherever they are shown.

    Raises `SettingsError` for a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise SettingsError(f"the environment variable {name} is not set", got=text, hint=f"export {name}=…")
        remember(os.environ[name])
        return os.environ[name]

    return _VARIABLE.sub(value, text)


def variables(text: str) -> list[str]:
    """Return the names of the environment variables that `text` takes values from."""
    return _VARIABLE.findall(text)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError(
            "mainstem.toml is not valid TOML", where=str(file), got=str(problem), expected="TOML"
        ) from None
    _known(data, file)
    return data


def _read(data: Mapping[str, Any], file: Path) -> _File:
    try:
        return msgspec.convert(_expanded(data), _File)
    except msgspec.ValidationError as problem:
        raise SettingsError(
            "mainstem.toml has an invalid value",
            where=str(file),
            got=str(problem),
            hint="docs/settings.md lists every setting",
        ) from None
    except SettingsError as problem:
        raise problem.at(str(file)) from None


def _known(data: Mapping[str, Any], file: Path) -> None:
    """Refuse unknown sections and settings, and suggest the nearest known ones."""
    _among(data, ("project", "profile", "serve", "keep", "run", "notify", "params"), "section", str(file))
    kinds: dict[str, Any] = {"project": ProjectSettings, "serve": Serve, "keep": Keep, "run": Run, "notify": Notify}
    sections = {name: (data[name], kind) for name, kind in kinds.items() if name in data}
    _section(data.get("params", {}), "params", file)
    profiles = _section(data.get("profile", {}), "profile.NAME", file)
    sections |= {f"profile.{name}": (profile, Profile) for name, profile in profiles.items()}
    for name, (given, kind) in sections.items():
        _among(_section(given, name, file), kind.__struct_fields__, "setting", f"{file}, [{name}]")


def _section(value: Any, name: str, file: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"[{name}] is not a section", where=str(file), got=repr(value), expected=f"[{name}]")
    return value


def _among(given: Iterable[str], known: Sequence[str], kind: str, where: str) -> None:
    for name in given:
        if name not in known:
            raise SettingsError(
                f"unknown {kind} {name!r}",
                where=where,
                expected=f"one of {', '.join(known)}",
                hint=close_matches(name, known) or "docs/settings.md lists every setting",
            )


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return expand(value)
    if isinstance(value, Mapping):
        return {key: _expanded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value


def _overridden(profile: Profile) -> Profile:
    single = [name for name in profile.__struct_fields__ if name not in ("rest", "spark", "storage")]
    fields = {name: os.environ.get(f"MAINSTEM_{name.upper()}") for name in single}
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        return profile
    try:
        return msgspec.convert({**msgspec.structs.asdict(profile), **given}, Profile, strict=False)
    except msgspec.ValidationError as problem:
        raise SettingsError("an environment variable has an invalid value", got=str(problem)) from None

"""Records of events of a project: releases, runs, model versions. They are frozen plain data, saved by the `State`
port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from mainstem.masking import masked_all
from mainstem.nodes import notebook
from mainstem.ports import Interval, Snapshot


def now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Return a short unique id, such as `run-20261123-3f9a2c1b`."""
    return f"{prefix}-{now():%Y%m%d}-{uuid4().hex[:8]}"


@dataclass(frozen=True)
class Binding:
    """The model versions of an endpoint, by role.

    The `champion` answers. A `challenger` may answer a share of the requests. Each `shadow` scores requests, but its
    scores are not returned. `shares` maps a version to its share of the requests, from 0 to 1; the champion has the
    rest.
    """

    champion: str
    challenger: str | None = None
    shadow: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """A branch works on this fraction of a source, by the hash of its key, and of the sources that refer to it."""

    fraction: float
    source: str

    def __str__(self) -> str:
        return f"{self.fraction:.3%}".rstrip("0%").rstrip(".") + f" % of {self.source}"


@dataclass(frozen=True)
class Release:
    """The published content of a branch: node → snapshot, model → newest version, endpoint → binding.

    `fingerprints` are those of the definitions that made the snapshots. `cutovers` maps a stream to the instant from
    which its events replace its history. `online` maps a view to the fingerprint of its online state.
    `rolled_back` is the id of the release that this one took back. `sample` is set if the branch works on a sample.
    """

    id: str
    branch: str
    run: str
    parent: str | None = None
    created_at: datetime = field(default_factory=now)
    tables: Mapping[str, Snapshot] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, Binding] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    cutovers: Mapping[str, datetime] = field(default_factory=dict)
    online: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rolled_back: str | None = None
    sample: Sample | None = None

    def champion(self, endpoint: str) -> str | None:
        """Return the id of the version that an endpoint answers with."""
        binding = self.endpoints.get(endpoint)
        return binding.champion if binding else None

    def challenger(self, endpoint: str, model: str) -> str | None:
        """Return the id of the model's newest version, if the endpoint answers with another one."""
        champion, newest = self.champion(endpoint), self.models.get(model)
        return newest if champion is not None and newest != champion else None


@dataclass(frozen=True)
class CheckResult:
    """The result of a check: the number of violating rows and of all rows, and a sample of violating rows.

    `share` is what a join measures: the share of left rows that have a match.

    A check that could not be judged has no violations. `message` says why, or how a whole table violates the check.
    """

    label: str
    severity: str
    violations: int
    rows: int
    sample: tuple[Mapping[str, Any], ...] = ()
    share: float | None = None
    judged: bool = True
    message: str = ""

    def __post_init__(self) -> None:
        for name in ("sample", "message"):
            object.__setattr__(self, name, masked_all(getattr(self, name)))

    @property
    def passed(self) -> bool:
        return self.violations == 0


StepStatus = Literal["done", "failed", "skipped"]


@dataclass(frozen=True)
class StepRecord:
    """One executed step. `rows_in == published + quarantined` for every table. `interval` is the range of time it
    covers. `fingerprint` is that of the definition of a step that failed. `attempts` counts how often it was tried.
    Secret values in its texts are masked."""

    kind: str
    node: str
    reason: str
    status: StepStatus
    seconds: float = 0.0
    rows_in: int | None = None
    published: int | None = None
    quarantined: int | None = None
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    error: str | None = None
    findings: tuple[str, ...] = ()
    interval: Interval | None = None
    fingerprint: str = ""
    attempts: int = 1

    def __post_init__(self) -> None:
        for name in ("reason", "message", "error"):
            object.__setattr__(self, name, masked_all(getattr(self, name)))


RunStatus = Literal["running", "published", "unchanged", "failed", "interrupted"]


@dataclass(frozen=True)
class LakeRecord:
    """The lake whose files the releases of a state refer to: its id, and the state's own URL when that was noted."""

    lake: str
    state: str
    id: str = "lake"


@dataclass(frozen=True)
class Offered:
    """The release whose tables readers outside Mainstem see."""

    release: str
    id: str = "offered"


@dataclass(frozen=True)
class DamagedFile:
    """A data file of the lake that differs from what was committed; its `id` is its name.

    Its state is `sound` again after a good copy was put back.
    """

    id: str
    table: str
    expected: str
    got: str
    found_at: datetime = field(default_factory=now)
    state: Literal["damaged", "sound"] = "damaged"


@dataclass(frozen=True, repr=False)
class RunRecord:
    """One execution of a plan by the process `host:pid`. `whole` says that the plan considered every node."""

    id: str
    branch: str
    status: RunStatus
    started_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None
    steps: tuple[StepRecord, ...] = ()
    release: str | None = None
    process: str = ""
    whole: bool = False

    def __repr__(self) -> str:
        return notebook.line(
            "Run", self.id, self.status, f"branch {self.branch}", f"{len(self.steps)} steps", self.release
        )

    def _repr_html_(self) -> str:
        rows = [
            {
                "step": f"{step.kind} {step.node}",
                "status": step.status,
                "seconds": f"{step.seconds:.2f}",
                "rows": "" if step.published is None else f"{step.published:,}",
                "why": step.error or step.message or step.reason,
            }
            for step in self.steps
        ]
        return notebook.html(self.id, f"{self.status}, branch {self.branch}", rows)

    @property
    def findings(self) -> tuple[str, ...]:
        """The ids of the findings that its steps opened or closed."""
        return tuple(f for step in self.steps for f in step.findings)


@dataclass(frozen=True)
class Measure:
    """A metric with its 95 % interval, measured on `rows` rows."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class InputColumn:
    """One input of a model: its name, its type `float` or `string`, and the source columns it derives from.

    A source column is written `source.column`.
    """

    name: str
    type: Literal["float", "string"]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ModelVersion:
    """One immutable fitted artifact with its lineage.

    `artifact` is the directory of `model.onnx` and `manifest.json`, relative to the lake. `metrics` are measured once,
    on the test rows, with a fit on rows until `measured_until`. `model.onnx` is a fit on all rows, until
    `trained_until`. `baseline` is the naive model's metric there. `folds` are the cross-validated scores per
    candidate. `snapshots` maps each training table to its snapshot id. `request` are the fields of a request with their
    Ibis types, as the project declared them; None of an older version. A version some of whose rows were erased since
    (`erased_at`) cannot be trained again as it was.
    """

    id: str
    model: str
    number: int
    run: str
    fingerprint: str
    artifact: str
    task: str
    algorithm: str
    metric: str
    inputs: tuple[InputColumn, ...]
    classes: tuple[str, ...] = ()
    created_at: datetime = field(default_factory=now)
    metrics: Mapping[str, Measure] = field(default_factory=dict)
    baseline: Mapping[str, Measure] = field(default_factory=dict)
    folds: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    trained_until: datetime | None = None
    measured_until: datetime | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, str] | None = None
    erased_at: datetime | None = None

    def __repr__(self) -> str:
        found = self.metrics.get(self.metric)
        return notebook.line(
            "ModelVersion", self.id, self.algorithm, f"{self.metric} {found.value:.3f}" if found else None
        )

"""The status of a project as plain records, for the command line, the page and HTTP. Instants are ISO 8601 texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.nodes import notebook

NodeState = Literal["fresh", "stale", "failed"]


@dataclass(frozen=True, kw_only=True)
class CheckStatus:
    """The result of a check when its node was last made.

    `share` is the share of left rows that a join matched. `message` says more, such as why it was not `judged`.
    """

    check: str
    severity: str
    violations: int
    rows: int
    share: float | None = None
    judged: bool = True
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """A node: `failed` if its last run failed, `stale` if the plan has a reason to run it (`due`), else `fresh`."""

    name: str
    kind: str
    inputs: Sequence[str] = ()
    state: NodeState = "fresh"
    due: str | None = None
    rows: int | None = None
    updated_at: str | None = None
    description: str | None = None
    owner: str | None = None
    where: str | None = None
    error: str | None = None
    quarantined: int | None = None
    checks: Sequence[CheckStatus] = ()
    remedies: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class CohortStatus:
    """The predictions of a day: the share of them with an outcome, whether it is enough, the metric on them, and what a
    decision was worth on average, with 95 % intervals."""

    day: str
    predictions: int
    known: int
    share: float
    mature: bool
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    matures_at: str | None = None
    worth: float | None = None
    worth_low: float | None = None
    worth_high: float | None = None

    @property
    def valued(self) -> str:
        """What a decision was worth, as text."""
        return "" if self.worth is None else f"{self.worth:.4g} [{self.worth_low:.4g}, {self.worth_high:.4g}]"


@dataclass(frozen=True, kw_only=True)
class MonitorStatus:
    """The last judgement of a monitor of the champion: `fine`, `failing` or `not enough rows`, and a sentence.

    `value` is the metric with its 95 % interval, and `floor` what it is compared with. Drift has none of them.
    """

    monitor: str
    metric: str
    judgement: str
    text: str
    judged_at: str
    rows: int
    outcomes: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class MonitorPoint:
    """One judgement: when it was made, what the last prediction was that it is of, and what it found.

    `value` is the metric with its 95 % interval; of drift, the number of inputs that drifted.
    """

    judged_at: str
    until: str
    version: str
    judgement: str
    text: str
    rows: int
    outcomes: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class MonitorHistory:
    """The judgements of a monitor and metric of an endpoint, in order, and the last bound that it compared with."""

    endpoint: str
    monitor: str
    metric: str
    floor: float | None = None
    points: Sequence[MonitorPoint] = ()

    @property
    def label(self) -> str:
        """The monitor and its metric."""
        return self.monitor if self.metric in ("", self.monitor) else f"{self.monitor} {self.metric}"


@dataclass(frozen=True, kw_only=True)
class DayStatus:
    """How the predictions of a day are distributed: quantiles of the scores (5, 25, 50, 75, 95 %), probabilities in
    equal bins from 0 to 1, decisions by option, the share with an unknown entity, and the null shares of inputs."""

    day: str
    predictions: int
    quantiles: Sequence[float] = ()
    histogram: Sequence[int] = ()
    decisions: Mapping[str, int] = field(default_factory=dict)
    unknown: float = 0.0
    nulls: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EndpointStatus:
    """An endpoint, with its champion's metric on test rows. `redefined` lists features that changed since training.

    `beside` says what a declared shadow or canary does. `monitors` are the last judgements of the champion, `history`
    those of each monitor of every version, `cohorts` the last days of the champion's predictions, and `days` how the
    predictions of its days are distributed.
    """

    name: str
    model: str
    champion: str | None = None
    challenger: str | None = None
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    algorithm: str | None = None
    redefined: Sequence[str] = ()
    beside: Sequence[str] = ()
    monitors: Sequence[MonitorStatus] = ()
    cohorts: Sequence[CohortStatus] = ()
    history: Sequence[MonitorHistory] = ()
    days: Sequence[DayStatus] = ()


@dataclass(frozen=True, kw_only=True)
class FindingStatus:
    """A short record of a finding. `cost` is in the unit of `metric`."""

    id: str
    kind: str
    node: str
    column: str
    state: str
    harmless: bool
    summary: str
    metric: str = ""
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A short record of a run."""

    id: str
    status: str
    started_at: str | None = None
    seconds: float | None = None
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    """The branch's online store: its place, and its guarantee for a write."""

    store: str
    durability: str


@dataclass(frozen=True, kw_only=True)
class ProjectStatus:
    """A project on one branch, as its last run left it."""

    project: str
    profile: str | None = None
    branch: str | None = None
    release: str | None = None
    online: StoreStatus | None = None
    nodes: Sequence[NodeStatus] = ()
    endpoints: Sequence[EndpointStatus] = ()
    findings: Sequence[FindingStatus] = ()
    runs: Sequence[RunStatus] = ()
    sample: str | None = None


# ── one node ──────────────────────────────────────────────────────────────────────────────────────────


class _Shown:
    """How details look in a notebook. `mainstem show` and JSON have all of them."""

    name: str
    kind: str

    def __repr__(self) -> str:
        return notebook.line("Details", self.name, self.kind, *self._facts())

    def _repr_html_(self) -> str:
        return notebook.html(self.name, ", ".join((self.kind, *self._facts())), self._rows())

    def _facts(self) -> Sequence[str]:
        rows = getattr(self, "rows", None)
        return () if rows is None else (f"{rows:,} rows",)

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        schema: Mapping[str, str] = getattr(self, "schema", {})
        return [{"column": name, "type": kind} for name, kind in schema.items()]


@dataclass(frozen=True, kw_only=True, repr=False)
class StoredDetails(_Shown):
    """A stored relation that is not a declared node, such as `quarantine.legs`, with the number of rows by the reason
    why they are set aside."""

    name: str
    kind: str
    rows: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    schema: Mapping[str, str]
    sample: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class NodeDetails(_Shown):
    """A node: its status, its inputs and its users."""

    name: str
    kind: str
    where: str
    description: str | None = None
    owner: str | None = None
    reads: Sequence[str] = ()
    read_by: Sequence[str] = ()
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class RelationDetails(NodeDetails):
    """A source or a table. `known` and `lineage` are by column; `known` is None in a project that has no use for it.
    `cleaning` are the table's verbs, in order, and `statistics` what they are fitted to. `joins` are the shares of left
    rows with a match when the published rows were built."""

    rows: int | None = None
    schema: Mapping[str, str]
    known: Mapping[str, str] | None
    lineage: Mapping[str, Sequence[str]]
    cleaning: Sequence[str] = ()
    statistics: Sequence[Mapping[str, Any]] = ()
    joins: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[str] = ()
    remedies: Sequence[str] = ()
    sample: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamDetails(NodeDetails):
    """A stream. `events` are those in the lake. Reads include its history."""

    events: int | None = None
    schema: Mapping[str, str]
    known: Mapping[str, str] | None
    lineage: Mapping[str, Sequence[str]]
    checks: Sequence[str] = ()
    remedies: Sequence[str] = ()
    sample: Sequence[Mapping[str, Any]] = ()
    log_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class ViewDetails(NodeDetails):
    """A feature view. `online` is the fingerprint of its online state."""

    key: Sequence[str]
    windows: Sequence[str]
    ttl: str | None
    features: Sequence[Mapping[str, Any]]
    freshness: Mapping[str, str]
    models: Sequence[str]
    online: str | None
    online_bytes: int | None

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return self.features


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelDetails(NodeDetails):
    """A model, with the report of its newest version as plain data: `project.report(…).to_dict()`."""

    computed_by_the_engine: Sequence[str]
    versions: Sequence[Mapping[str, Any]]
    card: Any

    def _facts(self) -> Sequence[str]:
        if not isinstance(self.card, Mapping):
            return (self.card,)
        return (f"{len(self.versions)} versions", self.card["id"], self.card["headline"])

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return self.versions

    def _repr_html_(self) -> str:
        """Return the versions, the metrics of the one that is shown, and its limits."""
        if not isinstance(self.card, Mapping):
            return super()._repr_html_()
        metrics = [
            {
                "metric": name.replace("_", " "),
                "value": f"{found['value']:,.4g}",
                "95 % interval": f"{found['low']:,.4g}–{found['high']:,.4g}",
                "naive": f"{found['baseline']:,.4g}",
            }
            for name, found in self.card["metrics"].items()
        ]
        found = notebook.html(self.name, self.kind, self.versions)
        found += notebook.html(self.card["id"], f"{self.card['task']}, {self.card['algorithm']}", metrics)
        said = [*self.card["limits"], f'project.report("{self.card["id"]}") shows the whole report.']
        return found + "".join(map(notebook.said, said))


@dataclass(frozen=True, kw_only=True, repr=False)
class EndpointDetails(NodeDetails):
    """An endpoint. `request` maps the request fields to their types. `beside` says what a shadow or a canary does.

    `otherwise` is the declared answer to requests that are not decided within the `latency`.
    """

    model: str
    champion: str | None
    challenger: str | None
    beside: Sequence[str]
    latency: str | None
    otherwise: bool | str | None
    monitors: Sequence[str]
    request: Mapping[str, str]
    log_bytes: int | None
    cohorts: Sequence[Mapping[str, Any]] = ()

    def _facts(self) -> Sequence[str]:
        return (f"model {self.model}", f"champion {self.champion or 'none yet'}")

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        return [{"field": name, "type": kind} for name, kind in self.request.items()]


Details = NodeDetails | StoredDetails

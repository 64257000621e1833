"""What a branch answers: online features, predictions, events, the server, its keys, and parity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mainstem.errors import RequestError
from mainstem.project import live
from mainstem.project.branch import Branch
from mainstem.project.live import Pages, Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.nodes.comparisons import Comparison
    from mainstem.nodes.contenders import SideBySide
    from mainstem.nodes.explanations import Explanation
    from mainstem.nodes.overrides import Override
    from mainstem.nodes.parity import ParityReport
    from mainstem.nodes.reproductions import Reproduction
    from mainstem.project.online import Online, OnlineViews
    from mainstem.serving.keys import KeyInfo


class Answering(Branch):
    """A branch with the methods of its live side."""

    @overload
    def online(self, view: str) -> Online: ...
    @overload
    def online(self, view: str, *more: str) -> OnlineViews: ...
    def online(self, view: str, *more: str) -> Online | OnlineViews:
        """Return a feature view online, for `.get([{"origin": "JFK"}])`; or several views that are read at once."""
        from mainstem.project.online import Online, OnlineViews

        return OnlineViews(self, (view, *more)) if more else Online(self, view)

    def predict(self, name: str, rows: Rows, time: datetime | None = None, *, reasons: int = 0) -> list[dict[str, Any]]:
        """Score rows as the server does, without logging them: by the champion of an endpoint, or by the newest version
        of a model. Return one answer per row. With `reasons`, each prediction has up to so many inputs that moved its
        score most, as `explain` computes them. Raises `RequestError`."""
        return live.predict(self, name, rows, time, reasons)

    def explain(self, name: str, rows: Rows, time: datetime | None = None) -> list[Explanation]:
        """Explain the predictions of rows, as `predict` makes them: how much each input moves the score away from the
        mean score of rows that the version learned from.

        Contributions are Shapley values in the unit of the score, sampled with a fixed seed over the served ONNX file
        beside 100 rows of the version's dataset. They add up to the score. Raises `RequestError`, and `NotFound` if
        that dataset is gone.
        """
        from mainstem.project.contributions import explain

        return explain(self, name, rows, time)

    def explain_texts(self, name: str, rows: Sequence[Mapping[str, str]]) -> list[Explanation]:
        """Explain the predictions of rows of texts, as `predict_texts` makes them."""
        from mainstem.project.contributions import explain
        from mainstem.project.texts import typed

        return explain(self, name, typed(self, name, rows))

    def read_rows(self, name: str, file: str | Path) -> list[dict[str, str]]:
        """Return the rows of a CSV file that is written as the source of a model's examples is, for `predict_texts`.

        Raises `RequestError` for a file that cannot be read.
        """
        from mainstem.project.texts import read_rows

        return read_rows(self, name, Path(file))

    def predict_texts(self, name: str, rows: Sequence[Mapping[str, str]], *, reasons: int = 0) -> pa.Table:
        """Score rows of texts, as a CSV file holds them, as `predict` does.

        A blank text is missing. Return the rows with `score`, and with `label`, `decision` or the probability of each
        class where the model has them; with `reasons`, also those as one text. Raises `RequestError`.
        """
        from mainstem.project.texts import predict_texts

        return predict_texts(self, name, rows, reasons)

    def ingest(self, stream: str, rows: Rows, *, backfill: bool = False) -> int:
        """Take events as the server does. Backfilled events arrive when they happened. Raises `RequestError`."""
        return live.ingest(self, stream, rows, backfill=backfill)

    def outcomes(self, endpoint: str, rows: Rows) -> int:
        """Take outcomes by the ids of predictions, as the server does. Raises `RequestError`."""
        return live.outcomes(self, endpoint, rows)

    def serve(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        pages: Pages = lambda status: (),
        started: Callable[[str], None] = lambda url: None,
        parity: int = 0,
        workers: int | None = None,
    ) -> None:
        """Answer over HTTP until SIGTERM or Ctrl-C, by default at the address of mainstem.toml.

        `pages` creates additional routes from a function that returns the status. `started` is called with the URL.
        With `parity`, a process next to the server compares a sample of this many reads with the lake after each run
        that brings some. `workers` are the processes that answer, by default those of mainstem.toml. Several have the
        standard pages.
        """
        listen = self.settings.serve
        at = (host or listen.host, listen.port if port is None else port)
        with live.beside(self, parity):
            live.serve(self, *at, pages, started, workers)

    def deploy_files(
        self,
        directory: str | Path | None = None,
        *,
        image: str | None = None,
        replicas: int = 1,
        every: str = "1h",
        storage: str = "20Gi",
    ) -> tuple[list[str], Path]:
        """Write a Dockerfile, a compose file and Kubernetes manifests for the profile, and return their names and the
        directory (default: `deploy` in the project).

        `every` is the time between runs, `storage` the size of the volume. Raises `RequestError`.
        """
        from mainstem.project.deploying import deploy_files

        place = self.settings.root / "deploy" if directory is None else Path(directory)
        options = {"image": image, "replicas": replicas, "every": every, "storage": storage}
        return deploy_files(self.settings, self.nodes.values(), place, **options), place

    def parity(self, name: str | None = None, sample: int | None = None) -> list[ParityReport]:
        """Recompute logged reads offline as of their time and compare: of an endpoint, or of each endpoint that reads
        `name`."""
        return live.parity(self, name, sample)

    def compare(self, name: str | None = None, version: str | None = None) -> list[Comparison] | SideBySide:
        """Compare two versions side by side if `name` is a version (`price-1`), else a champion with its challenger.

        Two versions: their metrics, what differs between them, and which one is better on rows that neither was trained
        on. `version` may also be a model (its newest version) or an endpoint (its champion).

        A champion: `name` is an endpoint or a model; without it, the only endpoint. It is compared with its challenger,
        or with `version`, on the requests that are in the lake, by their matured outcomes, decisions and scores. There
        is a comparison for a shadow and one for a canary. Raises `NotFound` if no request was scored by both versions,
        `UnknownName`, and `RequestError` for a version alone.
        """
        from mainstem.project import contending

        if name is None or not contending.is_version(self, name):
            return live.compare(self, name, version)
        if version is None:
            what = "a comparison of versions needs two of them"
            raise RequestError(what, got=name, hint=f"mainstem compare {name} MODEL compares it with the newest one")
        return contending.side_by_side(self, name, version)

    def reproduce(self, version: str, report: Callable[[str], None] | None = None) -> Reproduction:
        """Fit a version again on its stored rows with its recorded choices, and compare the artifacts byte by byte.

        Nothing is searched, and nothing changes. Raises `NotFound` for an unknown version and for one whose rows are
        gone, and `ModelError` for one that does not tell what was chosen.
        """
        from mainstem.project.reproducing import reproduce

        return reproduce(self, version, report or (lambda _: None))

    def watch_parity(self, name: str | None, sample: int, every: float) -> Iterator[ParityReport]:
        """Compare a sample of the reads that each new release brings to the lake, and save the reports. Does not end.

        Checks for a release every `every` seconds. A server's `/metrics` shows the newest reports.
        """
        return live.watch_parity(self, name, sample, every)

    def override(
        self,
        endpoint: str,
        decision: str,
        where: Mapping[str, str],
        *,
        why: str,
        who: str | None = None,
        until: datetime | None = None,
    ) -> Override:
        """Decide for the requests whose fields have these texts; for all if `where` is empty.

        A running server follows within a second. Raises `UnknownName`, or `RequestError` for what cannot be overridden.
        """
        from mainstem.project.overrides import override

        return override(self, endpoint, decision, where, why=why, who=who, until=until)

    def overrides(self, *, ended: bool = False) -> list[Override]:
        """Return the overrides that are in force; with `ended` all that ever were."""
        from mainstem.project.overrides import overrides

        return overrides(self, ended=ended)

    def end_override(self, id: str, *, who: str | None = None) -> Override:
        """End an override at once. Raises `NotFound`."""
        from mainstem.project.overrides import end_override

        return end_override(self, id, who=who)

    def create_key(self, name: str, scopes: Sequence[str]) -> str:
        """Create an API key. It is shown only once."""
        from mainstem.serving.keys import create

        return create(self.adapters.state, name, scopes)

    def keys(self) -> list[KeyInfo]:
        """Return the valid API keys without secrets."""
        from mainstem.serving.keys import shown

        return shown(self.adapters.state)

    def revoke_key(self, name: str) -> None:
        """Revoke a key. Raises `NotFound`."""
        from mainstem.serving.keys import revoke

        revoke(self.adapters.state, name)

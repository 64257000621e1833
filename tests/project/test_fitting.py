"""Fitted verbs: against a Python oracle, kept with the snapshot, applied unchanged, and known from the window's end."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, LeakError, RunFailed, SchemaError
from mainstem.graph.known import ALWAYS
from mainstem.nodes.findings import Rule
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.fitted import Fit, FittedVerb
from mainstem.project.project import Project
from mainstem.project.resolve import resolve
from mainstem.tables.cleaning import cleaned
from mainstem.tables.fitting import fit

AT = "timestamp('UTC', 6)"
DAY_0 = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = ("2024-01-01", "2024-01-05")
SCHEMA = {"id": "int64", "at": AT, "came": AT, "g": "string", "x": "float64"}

# ── against an oracle ─────────────────────────────────────────────────────────────────────────────────

ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-20, 20) | st.none()), min_size=2, max_size=12).filter(
    lambda rows: any(x is not None for g, x in rows)
)
Rows = list[tuple[str, int | None]]


def applied(verb: Verb, rows: Rows, kind: pa.DataType | None = None) -> list[dict[str, Any]]:
    """All rows after the verb was fitted to all rows."""
    assert isinstance(verb, FittedVerb)
    x = pa.array([x for g, x in rows], kind or pa.float64())
    arrow = pa.table({"n": list(range(len(rows))), "g": [g for g, _ in rows], "x": x})
    table = ibis.table(ibis.Schema.from_pyarrow(arrow.schema), name="t")
    with DuckdbEngine(threads=1).session({"t": arrow}) as session:

        def fitter(position: int, before: Any) -> Any:
            return fit(session, before, verb, Fit(0, "f", ALWAYS), None, "here").statistics

        done = cleaned(table, [verb], fitter=fitter)
        assert done.rows.schema() == cleaned(table, [verb]).rows.schema()
        found: list[dict[str, Any]] = session.fetch(done.rows.order_by("n")).to_pylist()
    return found


def groups(rows: Rows, by: bool) -> list[list[int]]:
    """For each row the values that its statistics are fitted to."""
    everything = [x for _g, x in rows if x is not None]
    own = [[x for g, x in rows if g == group and x is not None] for group in (row[0] for row in rows)]
    return [(mine or everything) if by else everything for mine in own]


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mode(values: Sequence[int]) -> int:
    return min(values, key=lambda value: (-values.count(value), value))


@given(ROWS, st.sampled_from(["mean", "median", "mode"]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_imputation(rows: Rows, using: Any, by: bool) -> None:
    typical = {"mean": statistics.fmean, "median": statistics.median, "mode": mode}[using]
    wanted = [typical(own) if x is None else x for (_g, x), own in zip(rows, groups(rows, by), strict=True)]
    verb = ms.clean.impute("x", using=using, by="g" if by else (), indicator="gone")
    shown = applied(verb, rows)
    assert [row["x"] for row in shown] == pytest.approx(wanted)
    assert [row["gone"] for row in shown] == [x is None for _g, x in rows]


def bounds(method: str, values: list[int]) -> tuple[float, float]:
    middle = statistics.fmean(values)
    if method == "z":
        return middle - 3 * statistics.pstdev(values), middle + 3 * statistics.pstdev(values)
    if method == "quantiles":
        return quantile(values, 0.2), quantile(values, 0.8)
    if method == "mad":
        middle = statistics.median(values)
        away = 3.5 * 1.4826 * statistics.median([abs(v - middle) for v in values])
        return middle - away, middle + away
    first, third = quantile(values, 0.25), quantile(values, 0.75)
    return first - 1.5 * (third - first), third + 1.5 * (third - first)


@given(
    ROWS, st.sampled_from(["iqr", "z", "mad", "quantiles"]), st.sampled_from(["clip", "null", "flag"]), st.booleans()
)
@settings(deadline=None, max_examples=80)
def test_outliers(rows: Rows, method: Any, action: Any, by: bool) -> None:
    into = {"into": "out"} if action == "flag" else {}
    verb = ms.clean.outliers("x", method, action, None, 0.2, 0.8, by="g" if by else (), **into)  # type: ignore[arg-type]
    shown = applied(verb, rows)
    for (_g, x), own, row in zip(rows, groups(rows, by), shown, strict=True):
        low, high = bounds(method, own)
        if x is None or low - 1e-9 <= x <= high + 1e-9:
            assert row["x"] == (x if x is None else pytest.approx(x)) and not row.get("out", False)
        elif action == "flag":
            assert row["x"] == x and row["out"]
        else:
            assert row["x"] == (None if action == "null" else pytest.approx(min(max(x, low), high)))


@given(ROWS, st.sampled_from(["min_max", "z", "robust"]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_scales(rows: Rows, method: Any, by: bool) -> None:
    def of(x: int, own: list[int]) -> float:
        centre, spread = {
            "min_max": (min(own), max(own) - min(own)),
            "z": (statistics.fmean(own), statistics.pstdev(own)),
            "robust": (statistics.median(own), quantile(own, 0.75) - quantile(own, 0.25)),
        }[method]
        return (x - centre) / spread if spread else 0.0

    shown = [row["x"] for row in applied(ms.clean.scale("x", method, by="g" if by else ()), rows)]
    wanted = [None if x is None else of(x, own) for (_g, x), own in zip(rows, groups(rows, by), strict=True)]
    assert [None if x is None else pytest.approx(x, abs=1e-9) for x in wanted] == shown


def test_whole_numbers_stay_whole() -> None:
    rows: Rows = [("a", 1), ("a", 2), ("a", None), ("a", 2), ("a", 99)]
    filled = applied(ms.clean.impute("x", using="mean"), rows, pa.int64())
    assert [row["x"] for row in filled] == [1, 2, 26, 2, 99]
    clipped = applied(ms.clean.outliers("x", "quantiles", "clip", low=0.2, high=0.8), rows, pa.int64())
    assert [row["x"] for row in clipped] == [2, 2, None, 2, 40]


# ── in a project ──────────────────────────────────────────────────────────────────────────────────────


def nodes(*verbs: Verb, known: Any = None, **more: Any) -> dict[str, Any]:
    raw = ms.files("raw.csv", key="id", time="at", schema=SCHEMA, known=known or {"*": "at"})
    return {"raw": raw, "t": ms.table(lambda raw: raw, name="t", key="id", time="at", clean=verbs), **more}


def row(id: int, x: float | None, *, came: float = 0, g: str = "a") -> dict[str, Any]:
    at = DAY_0 + timedelta(days=id)
    return {"id": id, "at": at, "came": at + timedelta(days=came), "g": g, "x": x}


def land(project: Project, rows: list[dict[str, Any]]) -> None:
    """Let the source deliver these rows instead."""
    kinds = ibis.schema(SCHEMA).to_pyarrow()
    pq.write_table(pa.Table.from_pylist(rows, schema=kinds), project.settings.root / "raw.parquet")


def values(project: Project) -> list[float]:
    found: list[float] = project.table("t").to_pyarrow().sort_by("id")["x"].to_pylist()
    return found


MEDIAN = ms.clean.impute("x", using="median", fit=WINDOW)
FEW = [row(0, 1.0), row(1, 3.0), row(2, None), row(5, 100.0)]


def test_statistics_are_fitted_once_and_applied_unchanged() -> None:
    with ms.testing.project(nodes(MEDIAN), {"raw": FEW}) as project:
        project.run()
        assert values(project) == [1, 3, 2, 100]
        kept = project.release.tables["statistics.t"]
        land(project, [row(0, 50.0), row(1, 70.0), row(2, None), row(6, None)])
        project.run()
        assert values(project) == [50, 70, 2, 2]
        assert project.release.tables["statistics.t"] == kept
        shown: Any = project.show("t")
        assert [(s["verb"], s["statistic"], s["value"], s["rows"]) for s in shown.statistics] == [
            ("impute_fitted(x)", "median", 2.0, 2)
        ]
        assert "fitted on 2024-01-01 to 2024-01-05" in shown.cleaning[0]


def test_statistics_are_fitted_again_when_the_window_changes_and_go_back_with_a_rollback() -> None:
    with ms.testing.project(nodes(MEDIAN), {"raw": FEW}) as project:
        project.run()
        first = project.release
        later = ms.clean.impute("x", using="median", fit=("2024-01-01", "2024-01-09"))
        with Project(project.settings, {**project.nodes, "t": nodes(later)["t"]}, aliases={}) as changed:
            changed.run("t")
            assert values(changed) == [1, 3, 3, 100]
            assert changed.release.tables["statistics.t"] != first.tables["statistics.t"]
            changed.rollback()
            assert changed.release.tables["statistics.t"] == first.tables["statistics.t"]
        project.run()
        assert project.release.tables["statistics.t"] == first.tables["statistics.t"]
        assert values(project) == [1, 3, 2, 100]


def test_a_verb_before_it_changes_what_a_verb_is_fitted_to() -> None:
    def key(*verbs: Verb) -> str:
        return resolve(nodes(*verbs), {})["t"].fits[-1].definition

    assert key(MEDIAN) == key(MEDIAN) != key(ms.clean.rescale("x", 2), MEDIAN)


def test_only_values_known_by_the_end_of_the_window_are_fitted() -> None:
    rows = [row(0, 1.0), row(1, 3.0), row(2, 500.0, came=9), row(3, None)]
    with ms.testing.project(nodes(MEDIAN, known={"*": "at", "x": "came"}), {"raw": rows}) as project:
        project.run()
        assert values(project) == [1, 3, 500, 2]
        assert str(project.graph["t"].known["x"]) == "the latest of came, 2024-01-05"


def test_rows_that_are_set_aside_are_not_fitted() -> None:
    outlier = ms.clean.outliers("x", "iqr", "quarantine", fit=(None, "2024-01-09"))
    rows = [*(row(n, float(n)) for n in range(7)), row(7, 1000.0), row(8, None)]
    mean = ms.clean.impute("x", using="mean", fit=(None, "2024-01-09"))
    with ms.testing.project(nodes(outlier, mean), {"raw": rows}) as project:
        step = project.run().steps[-1]
        assert (step.rows_in, step.published, step.quarantined) == (9, 8, 1)
        assert values(project) == [*range(7), 3.0]
        (aside,) = project.table("quarantine.t").to_pyarrow().to_pylist()
        assert aside["x"] == 1000.0 and aside["_check"] == "outliers(x)"


@pytest.mark.parametrize(
    ("fit", "rows", "what"),
    [
        (("2024-01-01", "2999-01-01"), FEW, "is not over"),
        (("2023-01-01", "2023-02-01"), FEW, "no value to be fitted to"),
        (WINDOW, [row(0, None)], "no value to be fitted to"),
    ],
)
def test_a_window_that_cannot_be_fitted_fails_the_run(fit: Any, rows: Any, what: str) -> None:
    with ms.testing.project(nodes(ms.clean.impute("x", using="mean", fit=fit)), {"raw": rows}) as project:
        with pytest.raises(RunFailed) as caught:
            project.run()
        assert what in str(caught.value)


def test_the_window_is_required_exactly_for_a_table_with_a_time() -> None:
    with pytest.raises(DefinitionError, match="requires the window") as caught:
        resolve(nodes(ms.clean.scale("x", "z")), {})
    assert "t (test_fitting.py:" in str(caught.value.where)
    timeless = ms.table(lambda raw: raw, name="t", key="id", clean=[ms.clean.scale("x", "z", fit=WINDOW)])
    with pytest.raises(DefinitionError, match="the table has no time"):
        resolve({**nodes(), "t": timeless}, {})
    texts = ms.table(
        lambda raw: raw.mutate(day=_["at"].cast("string")),
        name="t",
        time="day",
        clean=[ms.clean.scale("x", "z", fit=WINDOW), ms.clean.parse_date("day")],
    )
    with pytest.raises(SchemaError, match="'day' is not an instant"):
        resolve({**nodes(), "t": texts}, {})


def test_without_a_time_all_rows_are_fitted_and_their_availability_is_that_of_other_rows() -> None:
    timeless = ms.table(lambda raw: raw, name="t", key="id", clean=[ms.clean.impute("x", using="mean")])
    with ms.testing.project({**nodes(), "t": timeless}, {"raw": FEW}) as project:
        project.run()
        assert values(project)[2] == pytest.approx(104 / 3)
        assert "a fit on all rows reads other rows" in str(project.graph["t"].known["x"])


@pytest.mark.parametrize("verb", [MEDIAN, ms.clean.scale("x", "z", fit=WINDOW), ms.clean.outliers("x", fit=WINDOW)])
def test_a_fitted_verb_is_neither_piped_nor_a_remedy(verb: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be piped: its statistics are fitted"):
        ibis.table(SCHEMA, name="t").pipe(verb)
    with pytest.raises(DefinitionError, match="a remedy cannot apply") as caught:
        resolve(nodes(), {}, rules=[Rule("raw", verb, "TRUE", "count(*) > 0")])
    assert "clean=" in str(caught.value.hint)


def test_a_replay_applies_the_fitted_statistics() -> None:
    from mainstem.nodes.verbs import Rescale

    with ms.testing.project(nodes(MEDIAN), {"raw": FEW}) as project:
        project.run()
        graph = project.with_rules([Rule("raw", Rescale("x", 10.0), "id = 1", "count(*) > 0")])
        context = project.context("read", project.release, graph)
        with context.session(["raw"]) as session:
            found = session.fetch(graph["t"].read).sort_by("id")  # type: ignore[arg-type]
        assert found["x"].to_pylist() == [1, 30, 2, 100]


# ── models ────────────────────────────────────────────────────────────────────────────────────────────


def learning(prediction: Any, *verbs: Verb, viewed: bool = False) -> dict[str, Any]:
    declared = nodes(*verbs)
    view = ms.feature_view(declared["t"], key="id", columns=["x"])
    model = ms.model(
        examples=declared["t"],
        prediction_time=prediction,
        target=_.g == "a",
        features=[view] if viewed else ["x"],
        candidates=["linear"],
    )
    return {**declared, "view": view, "late": model}


@pytest.mark.parametrize("viewed", [False, True])
def test_a_model_with_predictions_before_the_end_of_the_window_is_refused(viewed: bool) -> None:
    rows = [row(n, float(n % 7), g="ab"[n * 7 % 3 % 2]) for n in range(200)]
    early = learning(_["at"] + ibis.interval(hours=1), MEDIAN, viewed=viewed)
    with ms.testing.project(early, {"raw": rows}) as project:
        with pytest.raises(RunFailed) as caught:
            project.run()
        (cause,) = caught.value.causes
        assert isinstance(cause, LeakError) and "'x' leaks: in 4 of 200 labelled" in cause.what.replace(
            "60 labelled", "60 labelled"
        )
        assert "inside each fold" in str(cause.hint)
    late = learning(_["at"] + ibis.interval(days=5), MEDIAN, viewed=viewed)
    with ms.testing.project(late, {"raw": rows}) as project:
        project.run()
        assert project.release.models


def test_a_view_is_usable_from_the_end_of_the_window() -> None:
    from mainstem.features.discovery import compiled

    graph = resolve(learning(_["at"] + ibis.interval(days=9), MEDIAN, viewed=True), {})
    view = compiled(graph, "view")
    assert str(view.known) == "the latest of at, 2024-01-05"

"""The loop back, all of it real: a feed changes its unit, the model loses, the column is named, mended and verified."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import RunFailed
from mainstem.feedback.attribute import ATTRIBUTION
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.findings import Finding
from mainstem.project.live import service
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.tables.sql_files import parse_file

START = datetime(2013, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
DAYS, LIVE = 120, 95
"""Days there are, and the day from which on predictions are served."""
FAULT = START + timedelta(days=LIVE)


def as_it_is(feed, root):
    return {}


def through_an_identity_table(feed, root):
    return {"clean": ms.table(lambda feed: feed, name="clean", key="id", time="at")}


def through_a_quarantine_and_sql(feed, root):
    """The first table sets aside what it takes for nonsense: minutes pass, most of the seconds do not."""
    usual = ms.between("delay", -200, 200, severity="quarantine")
    query = root / "clean.sql"
    query.write_text("-- key: id\n-- time: at\nSELECT id, place, at, delay + 0 AS delay FROM usual")
    table = ms.table(lambda feed: feed, name="usual", key="id", time="at", checks=[usual])
    return {"usual": table, "clean": parse_file(query)}


def nodes(root, tables=as_it_is):
    feed = ms.files("feed.parquet", key="id", time="at")
    weather = ms.files("weather.parquet", key="id", time="at")
    trips = ms.files(
        "trips.parquet",
        key="trip",
        time="at",
        known={"*": _.at - ibis.interval(days=300), "late": "arrived_at", "arrived_at": "arrived_at"},
    )
    between = tables(feed, root)
    place = ms.feature_view(between.get("clean", feed), key="place", windows=["3h"], delay=_.delay.mean(), grace="400d")
    sky = ms.feature_view(weather, key="place", columns=["wind"], grace="400d")
    lateness = ms.model(
        examples=trips,
        prediction_time=_.at - ibis.interval(minutes=1),
        target=_.late,
        features=["place", place, sky],
        candidates=["lightgbm"],
        metric="average_precision",
    )
    live = ms.endpoint(lateness, monitors=[ms.drift(), ms.performance(0.5)])
    return {
        "feed": feed,
        **between,
        "weather": weather,
        "trips": trips,
        "place": place,
        "sky": sky,
        "lateness": lateness,
        "live": live,
    }


class World:
    """An event of the feed every half hour, the weather every hour, eight trips an hour; delays make trips late."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        random = np.random.default_rng(seed)
        n = DAYS * 48
        slow = np.convolve(random.normal(size=n + 11), np.ones(12) / 3.5, "valid")
        self.delay = np.round(4 + 9 * slow + random.normal(0, 3, n))
        self.wind = np.round(random.gamma(4, 2, DAYS * 24)) * 1.15078
        hour = np.repeat(np.arange(DAYS * 24), 8)
        mean = np.array([self.delay[max(0, 2 * h - 6) : 2 * h + 1].mean() for h in range(DAYS * 24)])
        z = (mean[hour] - 8) / 4
        self.late = random.random(len(hour)) < 1 / (1 + np.exp(-z))
        self.trip_hour = hour

    def deliver(
        self,
        until: int,
        faults: dict[str, float] | None = None,
        *,
        outcomes_until: int | None = None,
        outcome_of=lambda trip: True,
    ) -> None:
        """Write the sources as they are on day `until`; trips are all there, but not how all of them went."""
        factors = faults or {}
        self._series("feed", "delay", self.delay, 30, until, factors.get("delay", 1.0))
        self._series("weather", "wind", self.wind, 60, until, factors.get("wind", 1.0))
        at = [START + timedelta(hours=int(h), minutes=7 * (i % 4)) for i, h in enumerate(self.trip_hour)]
        end = START + timedelta(days=until if outcomes_until is None else outcomes_until)
        gone = [t < end and outcome_of(i) for i, t in enumerate(at)]
        table = {
            "trip": [f"t{i}" for i in range(len(at))],
            "place": ["here"] * len(at),
            "at": pa.array(at, INSTANT),
            "arrived_at": pa.array(
                [t + timedelta(minutes=50) if g else None for t, g in zip(at, gone, strict=True)], INSTANT
            ),
            "late": pa.array([bool(y) if g else None for y, g in zip(self.late, gone, strict=True)]),
        }
        pq.write_table(pa.table(table), self.root / "trips.parquet")

    def _series(self, name: str, column: str, values: np.ndarray, minutes: int, until: int, factor: float) -> None:
        at = [START + timedelta(minutes=minutes * i) for i in range(len(values))]
        keep = [i for i, t in enumerate(at) if t < START + timedelta(days=until)]
        sent = [float(values[i]) * (factor if at[i] >= FAULT else 1.0) for i in keep]
        rows = {"id": keep, "place": ["here"] * len(keep), "at": pa.array([at[i] for i in keep], INSTANT), column: sent}
        pq.write_table(pa.table(rows), self.root / f"{name}.parquet")

    def trips(self) -> list[dict[str, object]]:
        """The requests of the live days, each with its time of prediction."""
        rows = []
        for i, hour in enumerate(self.trip_hour):
            at = START + timedelta(hours=int(hour), minutes=7 * (i % 4))
            if at >= FAULT:
                rows.append({"trip": f"t{i}", "place": "here", "time": (at - timedelta(minutes=1)).isoformat()})
        return rows


@contextmanager
def going_live(root, tables=as_it_is):
    world = World(root)
    world.deliver(LIVE)
    settings = Settings(root, ProjectSettings("loop", ()), Profile(), "default", Serve())
    with ms.Project(settings, nodes(root, tables)) as project:
        project.run()
        project.promote("lateness")
        yield project, world


@pytest.fixture
def opened(tmp_path, request):
    with going_live(tmp_path, getattr(request, "param", as_it_is)) as opened:
        yield opened


def predict(project, rows):
    """As the server does it: scored, and logged in one transaction."""
    served = service(project)
    served.start()
    predictor = served.live.predictor("live")
    with project.adapters.store.transaction() as writer:
        predictor.logged(predictor.predict(rows))(writer)
    served.close()


def serve(project, world, faults):
    world.deliver(DAYS, faults, outcomes_until=LIVE)
    project.run()
    predict(project, world.trips())
    world.deliver(DAYS, faults)
    return project.run()


def said(record, kind):
    return next(step.message for step in record.steps if step.kind == kind)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("opened", [as_it_is, through_an_identity_table, through_a_quarantine_and_sql], indirect=True)
def test_all_the_way_round(opened):
    project, world = opened
    record = serve(project, world, {"delay": 60.0, "wind": 0.44704})
    harmful, harmless = project.findings()

    assert (harmful.id, harmful.node, harmful.column) == ("F1", "feed", "delay")
    assert harmful.rule.verb.factor == pytest.approx(1 / 60) and harmful.kind == "source_change"
    assert harmful.cost.low > 0.02 and harmful.promised.after > harmful.promised.before
    assert abs(datetime.fromisoformat(harmful.rule.where.split("'")[1]) - FAULT) <= timedelta(hours=1)
    assert harmful.lineage[-1] == "feed.delay" and "place" in harmful.lineage
    assert {"the labels are wrong", "the world changed: retrain"} <= {r.name for r in harmful.rivals}

    assert (harmless.node, harmless.column, harmless.harmless) == ("weather", "wind", True)
    assert harmless.rule.verb.factor == pytest.approx(1 / 0.44704)
    assert record.findings == ("F1", "F2") and "drift in" in said(record, "monitor")

    project.accept("F1")
    verified = project.run()
    closed = project.finding("F1")
    assert closed.state == "verified" and "F1 verified" in said(verified, "attribute")
    assert closed.realised.recovered.value == pytest.approx(closed.promised.recovered.value, abs=0.01)
    assert closed.realised.after == pytest.approx(closed.promised.after, abs=0.01)
    assert [f.id for f in project.findings()] == ["F1", "F2"]
    assert not project.plan()


@pytest.mark.timeout(240)
def test_an_untouched_month_is_silent(opened):
    project, world = opened
    record = serve(project, world, {})
    assert project.findings() == []
    assert said(record, "attribute").startswith("no loss found in")
    assert "no drift in" in said(record, "monitor") and "above the floor" in said(record, "monitor")
    [mark] = project.adapters.state.find(Verdict, monitor=ATTRIBUTION)
    assert mark.outcomes == mark.rows == len(world.trips())


@pytest.mark.timeout(240)
def test_what_a_failed_run_judged_is_judged_again_and_what_was_published_is_not(opened):
    project, world = opened
    serve(project, world, {"delay": 60.0})
    state = project.adapters.state
    [finding] = project.findings()
    before = len(state.find(Verdict))
    state.save(replace(finding, state="rejected", reason="a strike", muted_until=datetime(2999, 1, 1, tzinfo=UTC)))
    predict(project, world.trips()[:300])
    record = project.run()
    assert len(project.findings()) == 1, "what was judged is not judged twice"
    assert {v.rows for v in state.find(Verdict)[before:]} == {300}, "new predictions of the same trips are judged"
    assert said(record, "attribute") == "causes not judged: 300 new outcomes, 500 are needed"
    assert state.get(Finding, finding.id).state == "rejected"


@pytest.mark.timeout(240)
def test_each_prediction_is_judged_once_whenever_its_outcome_comes(opened):
    """Every fourth outcome first, the earliest and the latest among them, which are too few; then those between."""
    project, world = opened
    world.deliver(DAYS, outcomes_until=LIVE)
    project.run()
    predict(project, world.trips())
    for parts in ([0], [0, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]):
        world.deliver(DAYS, outcome_of=lambda trip, parts=parts: trip % 4 in parts)
        project.run()
    found = [each for each in project.adapters.state.find(Verdict) if each.judgement != "not enough rows"]
    for monitor in ("performance", ATTRIBUTION):
        outcomes = [verdict.outcomes for verdict in found if verdict.monitor == monitor]
        assert len(outcomes) == 2 and sum(outcomes) == len(world.trips())
    assert [verdict.rows for verdict in found if verdict.monitor == "drift"] == [len(world.trips())]
    assert not project.findings()


@pytest.mark.timeout(240)
def test_equal_data_give_equal_findings(tmp_path):
    """Ids of predictions are random, and two trips of an hour leave in the same minute."""

    def found(name):
        (tmp_path / name).mkdir()
        with going_live(tmp_path / name) as (project, world):
            serve(project, world, {"delay": 60.0})
            [finding] = project.findings()
            return finding.summary, finding.evidence, finding.cost, finding.rivals, finding.rule, finding.promised

    assert found("one") == found("other")


@pytest.mark.timeout(240)
def test_a_refused_source_does_not_stop_the_judging_of_what_is_live(opened):
    """The weather is refused, so its run publishes nothing; another judges the outcomes of the trips."""
    project, world = opened
    world.deliver(DAYS, outcomes_until=LIVE)
    project.run()
    predict(project, world.trips())
    world.deliver(DAYS)
    (world.root / "weather.parquet").write_bytes(b"not parquet at all")
    before = project.release
    with pytest.raises(RunFailed, match="collect weather failed") as failed:
        project.run()
    assert failed.value.run.status == "failed" and failed.value.judged.status == "published"
    steps = {f"{step.kind} {step.node}": step for step in failed.value.judged.steps}
    assert "average precision" in steps["monitor live"].message
    assert steps["attribute live"].message.startswith("no loss found in")
    assert {key.split()[0] for key in steps} == {"collect", "drain", "monitor", "attribute"}
    after = project.release
    assert after.tables["trips"] != before.tables["trips"] and after.tables["weather"] == before.tables["weather"]
    assert after.models == before.models and after.online == before.online
    with pytest.raises(RunFailed) as again:
        project.run()
    assert again.value.judged is None, "there is nothing new to judge"

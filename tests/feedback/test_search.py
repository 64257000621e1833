"""The whole search on a small world with known faults."""

from dataclasses import replace

import numpy as np
import pytest

from mainstem.feedback.attribution import Labelled
from mainstem.feedback.case import Case
from mainstem.feedback.changes import Series, unit_change
from mainstem.feedback.search import negligible, search
from mainstem.models.metrics import metric
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.history import DAY
from mainstem.nodes.instants import instant_of
from mainstem.nodes.records import InputColumn, Measure

INPUTS = (InputColumn("delay", "float", ("feed.delay",)), InputColumn("wind", "float", ("weather.wind",)))
HOURS = 24 * 150
FAULT = 24 * 120 * 3_600_000_000
"""The fault begins after 120 days; the batch are the 30 that follow, the reference the 30 before."""


class World:
    """One event of each source an hour; twelve rows an hour read the last of each."""

    def __init__(self, seed, factors, fault=(FAULT, 2**62)):
        self.fault = fault
        random = np.random.default_rng(seed)
        self.times = np.arange(HOURS) * 3_600_000_000
        true = {
            "feed.delay": np.round(random.normal(3, 8, HOURS)),
            "weather.wind": np.round(random.gamma(4, 2, HOURS)) * 1.15078,
        }
        self.factors = factors
        self.sources = {place: self.as_sent(place, values, factors) for place, values in true.items()}
        hour = np.repeat(np.arange(HOURS), 12)
        self.hour = hour
        z = (true["feed.delay"][hour] - 6) / 4 + 0.01 * true["weather.wind"][hour]
        self.y = (random.random(len(hour)) < 1 / (1 + np.exp(-z))).astype(float)

    @property
    def faulty(self):
        return (self.times >= self.fault[0]) & (self.times <= self.fault[1])

    def as_sent(self, place, values, factors):
        return np.where(self.faulty, values * factors.get(place, 1.0), values)

    def labelled(self, start, end, rules=()):
        chosen = (self.hour >= start) & (self.hour < end)
        at = self.hour[chosen]
        columns = {}
        for column in INPUTS:
            values = self.sources[column.sources[0]].copy()
            for rule in rules:
                if f"{rule.node}.{rule.column}" == column.sources[0]:
                    values[self.faulty] *= rule.verb.factor
            columns[column.name] = values[at]
        return Labelled(Sample(columns, self.times[at] + 1), self.y[chosen])

    def case(self):
        batch = self.labelled(120 * 24, HOURS)
        history = self.labelled(0, 120 * 24)
        return Case(
            batch,
            score(batch.inputs.columns),
            self.labelled(90 * 24, 120 * 24),
            history.inputs,
            INPUTS,
            score,
            metric("average_precision"),
        )

    def read(self, node, column):
        return Series("at", self.times, self.sources[f"{node}.{column}"])

    def search(self, batch=None):
        def replay(rules):
            return self.labelled(120 * 24, HOURS, rules).inputs.columns if rules else {}

        return search(self.case(), self.read, replay)


def score(columns):
    """A model with a threshold in its head, as trees have; a monotone one would rank as before."""
    z = np.clip((columns["delay"] - 6) / 4, -3, 3) + 0.01 * columns["wind"]
    return 1 / (1 + np.exp(-z))


def test_a_fault_is_named_dated_priced_and_undone():
    found = World(0, {"feed.delay": 60.0}).search()
    assert [r.change.place for r in found.repairs] == ["feed.delay"] and not found.losses
    repair = found.repairs[0]
    assert repair.change.rule.verb.factor == pytest.approx(1 / 60)
    assert abs((repair.change.since - instant_of(FAULT)).total_seconds()) <= 2 * 3600
    assert repair.recovery.recovered.low > 0 and not repair.harmless
    assert repair.recovery.after == pytest.approx(repair.recovery.before + repair.recovery.recovered.value)
    assert repair.rivals[0].low > 0


def test_a_harmless_drift_is_shown_as_one():
    found = World(0, {"weather.wind": 0.44704}).search()
    assert [r.change.place for r in found.repairs] == ["weather.wind"] and not found.losses
    assert found.repairs[0].harmless
    assert found.repairs[0].change.rule.verb.factor == pytest.approx(1 / 0.44704)


@pytest.mark.parametrize("days", [(145, 400), (121, 125), (134, 141)])
@pytest.mark.parametrize(("place", "factor"), [("feed.delay", 60.0), ("weather.wind", 0.44704)])
def test_a_fault_of_a_part_of_the_batch_is_found_where_it_is(place, factor, days):
    world = World(0, {place: factor}, fault=(days[0] * DAY, days[1] * DAY))
    [repair] = world.search().repairs
    change = repair.change
    assert change.place == place and change.rule.verb.factor == pytest.approx(1 / factor)
    assert abs((change.since - instant_of(days[0] * DAY)).total_seconds()) <= 3 * 3600
    if days[1] < 150:
        assert change.until is not None and abs((change.until - instant_of(days[1] * DAY)).total_seconds()) <= 3 * 3600
    else:
        assert change.until is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("yearly", [1.15, 1.6, 10.0])
@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_growth_is_no_change_of_unit(seed, yearly, spread):
    """15 % a year is what knots are to mph, but nothing jumps."""
    random = np.random.default_rng(seed)
    times = np.arange(2 * 365 * 24) * 3_600_000_000
    values = random.lognormal(3, spread, len(times)) * yearly ** (times / (365 * DAY))
    rows = Series("at", times, values)
    for days in (243, 180, 90, 30):
        window = instant_of((730 - days) * DAY), instant_of(730 * DAY)
        assert unit_change("sales", "amount", rows, window, []) is None


@pytest.mark.parametrize("seed", range(6))
def test_seasons_of_the_year_and_of_the_day_are_no_change_of_unit(seed):
    random = np.random.default_rng(seed)
    times = np.arange(2 * 365 * 24) * 3_600_000_000
    year = np.sin(2 * np.pi * times / (365 * DAY))
    day = np.sin(2 * np.pi * times / DAY)
    rows = Series("at", times, 60 + 25 * year + 8 * day + random.normal(0, 4, len(times)))
    for start in range(400, 700, 30):
        window = instant_of(start * DAY), instant_of((start + 30) * DAY)
        assert unit_change("air", "temperature", rows, window, []) is None


def logistic(z):
    return 1 / (1 + np.exp(-z))


def judged(seed, outcomes):
    """The search on a world whose recorded outcomes of the batch are others."""
    world = World(seed, {})
    random = np.random.default_rng(seed + 50)
    case = world.case()
    wrong = outcomes(case.rows, random).astype(float)
    return search(replace(case, rows=replace(case.rows, outcomes=wrong)), world.read, lambda rules: {})


def flip(share):
    return lambda rows, random: np.where(random.random(len(rows)) < share, 1 - rows.outcomes, rows.outcomes)


def miss(share):
    return lambda rows, random: np.where(random.random(len(rows)) < share, 0.0, rows.outcomes)


def otherwise(z):
    return lambda rows, random: random.random(len(rows)) < logistic(z(rows.inputs.columns["delay"]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("outcomes", "shares"), [(flip(0.3), (0.3, 0.3)), (flip(0.35), (0.35, 0.35)), (miss(0.5), (0.5, 0))]
)
def test_wrong_labels_accuse_no_column(seed, outcomes, shares):
    found = judged(seed, outcomes)
    [cause] = found.causes
    assert not found.losses and cause.kind == "labels" and cause.cost.low > 0
    assert cause.flips == pytest.approx(shares, abs=0.06)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slope", [4, 8])
def test_a_changed_world_accuses_no_column(seed, slope):
    found = judged(seed, otherwise(lambda delay: -(delay - 6) / slope))
    [cause] = found.causes
    assert not found.losses and cause.kind == "world_changed" and cause.flips is None
    assert [gain.sources for gain in cause.gains] == [("feed.delay",)]


@pytest.mark.parametrize("seed", range(4))
def test_a_broken_column_is_neither(seed):
    world = World(seed, {})
    values = world.sources["feed.delay"]
    values[world.faulty] = np.random.default_rng(seed).permutation(values[world.faulty])
    found = world.search()
    assert [loss.gain.sources for loss in found.losses] == [("feed.delay",)] and not found.causes


def test_two_faults_at_once_are_kept_apart():
    found = World(0, {"feed.delay": 60.0, "weather.wind": 0.44704}).search()
    assert {r.change.place: r.harmless for r in found.repairs} == {"feed.delay": False, "weather.wind": True}


def test_an_untouched_world_is_silent_over_many_seeds():
    found = [World(seed, {}).search() for seed in range(12)]
    assert [(f.repairs, f.losses) for f in found] == [((), ())] * 12


def test_a_column_that_was_shuffled_has_lost_its_worth():
    world = World(0, {})
    values = world.sources["feed.delay"]
    values[world.times >= FAULT] = np.random.default_rng(1).permutation(values[world.times >= FAULT])
    found = world.search()
    assert [loss.gain.sources for loss in found.losses] == [("feed.delay",)] and not found.repairs
    assert found.losses[0].cost.low > 0


def test_windows_of_earlier_findings_are_no_reference():
    world = World(0, {"feed.delay": 60.0})
    rows = world.read("feed", "delay")
    window = instant_of(135 * DAY), instant_of(149 * DAY)
    earlier = [(instant_of(FAULT), instant_of(135 * DAY - 1))]
    found = unit_change("feed", "delay", rows, window, earlier)
    assert found is not None and found.rule.verb.factor == pytest.approx(1 / 60)


def test_a_fault_that_began_before_the_first_prediction_is_dated_back():
    rows = World(0, {"feed.delay": 60.0}).read("feed", "delay")
    found = unit_change("feed", "delay", rows, (instant_of(FAULT + DAY // 2), instant_of(149 * DAY)), [])
    assert found is not None and found.rule.verb.factor == pytest.approx(1 / 60)
    assert abs((found.since - instant_of(FAULT)).total_seconds()) <= 2 * 3600


def test_a_source_without_a_past_says_nothing():
    rows = World(0, {}).read("feed", "delay")
    assert unit_change("feed", "delay", rows, (instant_of(0), instant_of(150 * DAY)), []) is None


@pytest.mark.parametrize(
    ("cost", "expected"),
    [((0.05, 0.03, 0.07), False), ((0.05, -0.01, 0.11), True), ((0.005, 0.003, 0.007), True)],
)
def test_what_counts_as_nothing(cost, expected):
    assert negligible(Measure(*cost, 1000), metric=0.6) is expected

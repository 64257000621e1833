"""What a run says of a monitor: what moved, and what could not be judged."""

from mainstem.monitoring.monitor import _told
from mainstem.monitoring.verdicts import Shift


def shift(name, *, drifted=False, enough=True):
    return Shift(name, "KS", 0.5, 0.5, 0.1, 0.001, 1.0, 2.0, (0.0, 0.0), drifted, enough)


def told(*found):
    return _told([s for s in found if s.drifted], found, 200)


def test_inputs_without_enough_rows_are_named_as_not_judged():
    assert told(shift("a"), shift("b")) == "no drift in 2 inputs"
    assert told(shift("a", drifted=True), shift("b")) == "drift in 1 of 2 inputs (a)"
    assert told(shift("a"), shift("b", enough=False)) == (
        "no drift in 1 input, not judged in b: fewer than 200 rows, now or held out"
    )
    assert told(shift("b", enough=False)) == "drift not judged in b: fewer than 200 rows, now or held out"

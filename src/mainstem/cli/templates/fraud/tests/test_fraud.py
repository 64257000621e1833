"""Unit tests on a few rows: `mainstem test`."""

from mainstem.testing import assert_rows

PAYMENTS = """
    payment_id, card, merchant, category, country, amount, paid_at,              reported_at
    p1,         c1,   m1,       fuel,     DE,      60,     2025-01-05T12:00:00Z,
    p2,         c1,   m2,       travel,   IT,      900,    2025-01-05T12:10:00Z, 2025-01-07T08:00:00Z
    p3,         c2,   m2,       travel,   IT,      -5,     2025-01-05T12:20:00Z,
"""


def test_the_stream_has_the_payments_of_the_past(project):
    swipes = project.build("past_swipes", given={"payments": PAYMENTS})
    expected = """
        payment_id, card, amount, paid_at
        p1,         c1,   60.0,   2025-01-05T12:00:00Z
        p2,         c1,   900.0,  2025-01-05T12:10:00Z
    """
    assert_rows(swipes, expected)


def test_a_negative_amount_is_set_aside(project):
    swipes = project.build("past_swipes", given={"payments": PAYMENTS})
    assert [row["payment_id"] for row in swipes.quarantined] == ["p3"]

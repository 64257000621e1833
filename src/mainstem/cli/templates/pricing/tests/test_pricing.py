"""Unit tests on a few rows: `mainstem test`."""

from mainstem.testing import assert_rows

OFFERS = """
    offer_id, product, store, day,                  price, rival, sold
    o1,       p1,      east,  2025-01-05T06:00:00Z, 5.5,   5.0,   12
    o2,       p1,      west,  2025-01-05T06:00:00Z, 5.0,   5.0,   -3
"""


def test_the_tills_report_when_a_store_closes(project):
    tills = project.build("past_tills", given={"offers": OFFERS})
    expected = """
        offer_id, product, store, price, sold, closed_at
        o1,       p1,      east,  5.5,   12.0, 2025-01-05T20:00:00Z
    """
    assert_rows(tills, expected)


def test_a_negative_sale_is_set_aside(project):
    tills = project.build("past_tills", given={"offers": OFFERS})
    assert [row["offer_id"] for row in tills.quarantined] == ["o2"]

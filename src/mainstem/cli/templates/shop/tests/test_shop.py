"""Unit tests of the tables, on a few rows: `mainstem test`."""

from mainstem.testing import assert_rows

CUSTOMERS = """
    customer_no, country,     plan
    00001,       Germany,     basic
    00002,       fr,          plus
    00003,       ,            basic
"""

ORDERS = """
    order_no, customer_no, ordered_at,       amount,      channel, exported_at
    0000001,  00001,       05.01.2024 14:30, "1.020,50 €", WEB,    2024-01-06T03:00:00Z
    0000001,  00001,       05.01.2024 14:30, "1.020,50 €", Web,    2024-02-01T03:00:00Z
    0000002,  00002,       2025-03-01 09:00, "1,020.50",   tel.,   2025-03-02T03:00:00Z
    0000003,  00002,       31.02.2024 10:00, "5,00 €",     shop,   2024-03-01T03:00:00Z
    0000004,  00003,       2025-03-01 09:00, -7.00,        shop,   2025-03-02T03:00:00Z
    0000005,  00003,       2025-03-01 09:00, ,             shop,   2025-03-02T03:00:00Z
"""


def test_a_country_has_one_code(project):
    clients = project.build("clients", given={"customers": CUSTOMERS})
    assert_rows(
        clients,
        [
            {"customer_no": "00001", "country": "DE", "country_was_missing": False},
            {"customer_no": "00002", "country": "FR", "country_was_missing": False},
            {"customer_no": "00003", "country": "unknown", "country_was_missing": True},
        ],
    )


def test_both_systems_are_read_and_an_order_counts_once(project):
    purchases = project.build("purchases", given={"orders": ORDERS, "customers": CUSTOMERS})
    expected = """
        order_no, ordered_at,           amount, channel, country
        0000001,  2024-01-05T14:30:00Z, 1020.5, web,     DE
        0000002,  2025-03-01T09:00:00Z, 1020.5, phone,   FR
    """
    assert_rows(purchases, expected)


def test_what_cannot_be_read_is_set_aside(project):
    purchases = project.build("purchases", given={"orders": ORDERS, "customers": CUSTOMERS})
    assert {row["order_no"] for row in purchases.quarantined} == {"0000003", "0000004", "0000005"}


def test_a_customer_is_asked_about_while_recent_and_judged_when_90_days_are_over(project):
    purchases = """
        order_no, customer_no, ordered_at,           exported_at
        1,        a,           2025-01-10T00:00:00Z, 2025-01-11T03:00:00Z
        2,        a,           2025-02-05T00:00:00Z, 2025-02-06T03:00:00Z
        3,        b,           2025-03-10T00:00:00Z, 2025-03-11T03:00:00Z
        4,        b,           2025-05-20T00:00:00Z, 2025-05-21T03:00:00Z
    """
    checkups = project.build("checkups", given={"purchases": purchases})
    expected = """
        customer_no, asked_at,             orders_after
        a,           2025-02-01T00:00:00Z, 1
        a,           2025-03-01T00:00:00Z,
        b,           2025-05-01T00:00:00Z,
    """
    assert_rows(checkups, expected)


def test_revenue_by_month_and_country(project):
    purchases = """
        ordered_at,           country, amount
        2025-01-10T00:00:00Z, DE,      10
        2025-01-31T23:59:00Z, DE,      2.5
        2025-02-01T00:00:00Z, DE,      1
    """
    monthly = project.build("monthly", given={"purchases": purchases})
    assert_rows(monthly, "month,country,orders,revenue\n2025-01-01,DE,2,12.5\n2025-02-01,DE,1,1\n")

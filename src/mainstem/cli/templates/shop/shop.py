"""A shop: orders from CSV exports, customers from a database, tickets from an API; and who will not come back."""

import os

import ibis
from ibis import _

import mainstem as ms

HELP_DESK = os.environ.get("SHOP_URL", "http://127.0.0.1:8121")  # `python company.py` offers it

# ── collect ───────────────────────────────────────────────────────────────────────────────────────────────

TEXT = ("order_no", "customer_no", "ordered_at", "amount", "channel")

orders = ms.files(
    "data/orders/*.csv",
    time="exported_at",
    schema={**dict.fromkeys(TEXT, "string"), "exported_at": "timestamp('UTC', 6)"},
    owner="data",
    description="Monthly exports of two systems, as they come: all values are texts.",
)

customers = ms.database(
    "sqlite:///data/shop.db",
    table="customers",
    key="customer_no",
    known="always",
    owner="data",
    description="The customer database.",
)

tickets = ms.api(
    f"{HELP_DESK}/tickets",
    records="items",
    key="ticket_id",
    cursor="opened_at",
    paging="link",
    time="opened_at",
    owner="data",
    description="The help desk: what customers complain about, and how they rate the answer from 1 to 5.",
)

# ── clean and join ────────────────────────────────────────────────────────────────────────────────────────


@ms.table(
    key="customer_no",
    clean=[
        ms.clean.trim("country"),
        ms.clean.map("country", {"Germany": "DE", "de": "DE", "Deutschland": "DE", "France": "FR", "fr": "FR"}),
        ms.clean.map("country", {"Netherlands": "NL"}),
        ms.clean.impute("country", "unknown", indicator="country_was_missing"),
    ],
    checks=[ms.accepted("country", ["DE", "FR", "NL", "unknown"])],
)
def clients(customers):
    "One row per customer, with one code per country."
    return customers.drop("name")


@ms.table(
    key="order_no",
    time="ordered_at",
    clean=[
        ms.clean.deduplicate("order_no", order_by="exported_at", keep="first"),
        ms.clean.parse_date("ordered_at", ["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M"], invalid="quarantine"),
        ms.clean.parse_number("amount", locales=["de", "en"], invalid="quarantine"),
        ms.clean.trim("channel"),
        ms.clean.case("channel", "lower"),
        ms.clean.map("channel", {"online": "web", "tel.": "phone"}),
    ],
    checks=[
        ms.between("amount", 0, 100_000, severity="quarantine"),  # test orders are negative
        ms.not_null("amount", severity="quarantine"),
        ms.accepted("channel", ["web", "shop", "phone"]),
        ms.foreign_key("customer_no", to="customers"),
        ms.expression(_.amount <= 2_000, name="amounts are in euros, not in cents"),
        ms.anomaly("mean", "amount"),  # judged when there are five earlier snapshots
    ],
)
def purchases(orders, clients):
    "One row per order, with the country and the plan of the customer."
    known = clients.select("customer_no", "country", "plan")
    return ms.join(orders, known, on="customer_no", expect="many_to_one", coverage=0.99)


# ── learn: who will not come back? Asked on the first day of each month about recent customers ────────────
# `grace` is how far back the online store answers: these data end in 2026.

LATER = 90  # days


@ms.table(
    key=["customer_no", "asked_at"],
    time="asked_at",
    assume_known={
        "customer_no": "a customer is asked about after the first order",
        "asked_at": "the calendar is known",
    },
)
def checkups(purchases):
    "Customers who ordered in the last 60 days, at the start of a month; and their orders in the 90 days after."
    until = purchases.aggregate(until=_.ordered_at.max())
    started = purchases.ordered_at.truncate("M").cast("timestamp('UTC', 6)")
    months = purchases.select(asked_at=started).distinct()
    known = purchases.select("customer_no", "ordered_at", "exported_at")
    recent = months.asked_at <= known.ordered_at + ibis.interval(days=60)
    asked = months.join(known, [months.asked_at > known.exported_at, recent])
    asked = asked.select("customer_no", "asked_at").distinct()
    later = purchases.select("ordered_at", buyer="customer_no")
    after = asked.left_join(
        later,
        [
            asked.customer_no == later.buyer,
            later.ordered_at >= asked.asked_at,
            later.ordered_at < asked.asked_at + ibis.interval(days=LATER),
        ],
    )
    counted = after.group_by("customer_no", "asked_at").agg(orders_after=_.ordered_at.count())
    told = counted.cross_join(until)
    over = told.asked_at + ibis.interval(days=LATER) <= told.until
    return told.mutate(orders_after=ibis.ifelse(over, told.orders_after, None)).drop("until")


habits = ms.feature_view(
    purchases,
    key="customer_no",
    windows=["30d", "90d", "360d"],
    grace="3650d",
    orders=_.count(),
    spent=_.amount.sum(),
    quiet=ms.time_since_last(),
    description="How often a customer orders.",
)

complaints = ms.feature_view(
    tickets,
    key="customer_no",
    windows="90d",
    grace="3650d",
    tickets=_.count(),
    rating=_.rating.min(),
    description="What the customer told the help desk.",
)

churn = ms.model(
    examples=checkups,
    prediction_time=_.asked_at,
    target=_.orders_after == 0,  # null while the 90 days are not over: such rows are not used
    features=[habits, complaints],
    metric="average_precision",
    gap="90d",
    assume_known={"customer_no": "the request names the customer"},
    owner="ml",
    description="Will the customer order nothing in the next 90 days?",
)

retention = ms.endpoint(churn, monitors=[ms.drift()], owner="ml")

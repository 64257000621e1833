"""What should a product cost today? The price that earns most, near the usual one, and never below its cost."""

import ibis
from ibis import _

import mainstem as ms

# ── collect: what was offered and sold, and what products cost the shop ───────────────────────────────────

offers = ms.files(
    "data/offers/*.csv",
    key="offer_id",
    time="day",
    schema={
        "offer_id": "string",
        "product": "string",
        "store": "string",
        "day": "timestamp('UTC', 6)",
        "price": "float64",
        "rival": "float64",
        "sold": "float64",
    },
    known={
        "*": _.day - ibis.interval(hours=1),  # prices are set before the shops open
        "sold": _.day + ibis.interval(days=1),
    },
    owner="data",
    description="A row for each product, store and day: our price, that of the rival, and how many were sold.",
)

costs = ms.files(
    "data/costs.csv",
    key=["product", "since"],
    time="since",
    schema={"product": "string", "since": "timestamp('UTC', 6)", "cost": "float64"},
    known="since",
    owner="data",
    description="What a product costs the shop, from a day on.",
)


tills = ms.stream(
    "tills",
    schema={
        "offer_id": "string",
        "product": "string",
        "store": "string",
        "price": "float64",
        "sold": "float64",
        "closed_at": "timestamp('UTC', 6)",
    },
    key="offer_id",
    time="closed_at",
    history="past_tills",
    owner="data",
    description="What the tills report when a store closes.",
)


@ms.table(
    key="offer_id",
    time="closed_at",
    checks=[ms.between("price", 0.01, 1_000), ms.between("sold", 0, 10_000, severity="quarantine")],
)
def past_tills(offers):
    "What the tills would have reported before they did."
    return offers.select("offer_id", "product", "store", "price", "sold", closed_at=_.day + ibis.interval(hours=14))


# ── features ──────────────────────────────────────────────────────────────────────────────────────────────

shelf = ms.feature_view(
    tills,
    key=["product", "store"],
    windows=["7d", "28d"],
    price=_.price.mean(),
    sold=_.sold.mean(),
    description="How a product sells in a store.",
)

supply = ms.feature_view(costs, key="product", columns=["cost"], description="What a product costs now.")

# ── learn how many are sold at a price ────────────────────────────────────────────────────────────────────

demand = ms.model(
    examples=offers,
    prediction_time=_.day,
    target=_.sold,
    task="count",
    features=[
        shelf,
        supply,
        "price",
        ms.on_demand(
            dearer=_.price / _.rival,
            changed=_.price / _.shelf__price_28d,
            weekday=_.day.day_of_week.index(),
        ),
    ],
    gap="1d",
    monotone={"price": -1},
    owner="ml",
    description="How many will be sold at this price today?",
)

# ── decide: the price that earns most, within 20 % of the usual one ───────────────────────────────────────

quote = ms.endpoint(
    demand,
    candidates=ms.grid(price=ms.steps((_.shelf__price_28d * 0.8).round(2), _.shelf__price_28d * 1.2, 0.05)),
    decide=ms.best((_.price - _.supply__cost) * _.score, where=_.price > _.supply__cost),
    explore=ms.epsilon(0.1, within="3%"),
    fallback={"price": 4.99},
    monitors=[ms.value(floor=0, min_rows=200)],
    owner="ml",
)

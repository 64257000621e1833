"""Is a card payment a fraud? Asked while it is made, and answered with what to do: allow, review or block."""

import ibis
from ibis import _

import mainstem as ms

# ── collect: the bank's exports, its card register, and payments as they are made ─────────────────────────

PAYMENT = {
    "payment_id": "string",
    "card": "string",
    "merchant": "string",
    "category": "string",
    "country": "string",
    "amount": "float64",
    "paid_at": "timestamp('UTC', 6)",
}

payments = ms.files(
    "data/payments/*.csv",
    key="payment_id",
    time="paid_at",
    schema={**PAYMENT, "reported_at": "timestamp('UTC', 6)"},
    known={
        "*": _.paid_at - ibis.interval(seconds=1),  # the terminal asks before the payment is made
        "reported_at": "reported_at",
    },
    owner="data",
    description="Monthly exports of payments. A fraud has `reported_at`, once its owner noticed it.",
)

cards = ms.database(
    "sqlite:///data/bank.db",
    table="cards",
    key="card",
    known="always",
    owner="data",
    description="The register of cards: where the owner lives, and the monthly limit.",
)

swipes = ms.stream(
    "swipes",
    schema=PAYMENT,
    key="payment_id",
    time="paid_at",
    history="past_swipes",
    owner="data",
    description="Each payment when it is made.",
)


@ms.table(
    key="payment_id",
    time="paid_at",
    checks=[ms.not_null("card", "merchant", "amount"), ms.between("amount", 0, 50_000, severity="quarantine")],
)
def past_swipes(payments):
    "What the stream would have said before it began."
    return payments.select(*PAYMENT)


# ── features: declared once, for training and for live requests ───────────────────────────────────────────

owner = ms.feature_view(cards, key="card", columns=["home", "monthly_limit"], description="Who has the card.")

recent = ms.feature_view(
    swipes,
    key="card",
    windows=["1h", "1d", "30d"],
    payments=_.count(),
    spent=_.amount.sum(),
    typical=_.amount.mean(),
    tiny=(_.amount < 3).sum(),
    countries=_.country.nunique(),
    quiet=ms.time_since_last(),
    description="What the card was used for.",
)

shop = ms.feature_view(
    swipes,
    key="merchant",
    windows=["7d"],
    payments=_.count(),
    typical=_.amount.mean(),
    description="What the merchant usually sells.",
)

# ── learn from payments that are old enough to know ───────────────────────────────────────────────────────

fraud = ms.model(
    examples=payments,
    prediction_time=_.paid_at,
    target=ms.outcome(_.reported_at.notnull(), after="14d"),
    features=[
        owner,
        recent,
        shop,
        "amount",
        "category",
        ms.on_demand(
            abroad=_.country != _.owner__home,
            unusual=_.amount / _.recent__typical_30d,
            dear=_.amount / _.shop__typical_7d,
            share_of_limit=(_.recent__spent_30d.fill_null(0) + _.amount) / _.owner__monthly_limit,
        ),
    ],
    metric="average_precision",
    owner="ml",
    description="Will the owner report this payment as a fraud?",
)

# ── decide: whichever costs least. 20 reviews a day is what the team can do ───────────────────────────────

authorise = ms.endpoint(
    fraud,
    on=swipes,  # a payment asks, and is in the features of the next one
    decide=ms.cheapest(
        allow=_.score * (_.amount + 15),  # a fraud is refunded, and handled for 15
        review=4 + 0.1 * _.score * (_.amount + 15),  # a call costs 4, and one fraud in ten passes
        block=(1 - _.score) * (0.03 * _.amount + 8),  # an honest customer is lost to the merchant, and calls
        at_most={"review": "20/1d"},
    ),
    latency=ms.latency("500ms", otherwise="review"),  # the terminal does not wait longer
    monitors=[ms.drift(), ms.performance(0.4), ms.value(floor=0)],
    owner="ml",
)

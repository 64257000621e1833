"""A bank, made up: cards, payments and frauds of January to June 2025, the same each time.

python bank.py          # the exports until May, as of 1 June
python bank.py july     # the exports until June, with the frauds that were reported by 20 July
"""

from __future__ import annotations

import csv
import random
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START, LIVE, END = (datetime(2025, month, 1, tzinfo=UTC) for month in (1, 6, 7))
LATER = datetime(2025, 7, 20, tzinfo=UTC)
CARDS, MERCHANTS = 400, 120
COUNTRIES = ["DE", "FR", "IT", "NL", "PL"]
CATEGORIES = {
    "kiosk": 3,
    "groceries": 35,
    "fuel": 60,
    "restaurant": 30,
    "fashion": 70,
    "travel": 220,
    "electronics": 180,
}
"""What is sold, and the median amount."""
LOOT = ("electronics", "travel", "fashion")
COLUMNS = ["payment_id", "card", "merchant", "category", "country", "amount", "paid_at", "reported_at"]


@dataclass(frozen=True)
class Card:
    card: str
    home: str
    monthly_limit: int
    pace: float
    """Payments a day."""
    purse: float
    """How much the owner spends, beside others."""


class Bank:
    """The bank's data. `directory` is that of the project."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        chance = random.Random(7)
        self.cards = [
            Card(
                f"c{n:04}",
                chance.choice(COUNTRIES),
                chance.choice([500, 1_000, 2_000, 5_000]),
                chance.uniform(0.2, 1.2),
                chance.lognormvariate(0, 0.35),
            )
            for n in range(CARDS)
        ]
        kinds = list(CATEGORIES)
        self.merchants = [
            (f"m{n:03}", kinds[n % len(kinds)], chance.choice(COUNTRIES), chance.lognormvariate(0, 0.3))
            for n in range(MERCHANTS)
        ]
        self.payments = sorted(self._all(chance), key=lambda payment: payment["paid_at"])
        for number, payment in enumerate(self.payments):
            payment["payment_id"] = f"p{number:06}"

    def _all(self, chance: random.Random) -> Iterator[dict[str, Any]]:
        for card in self.cards:
            near = [m for m in self.merchants if m[2] == card.home]
            trip = START + (END - START) * chance.random() if chance.random() < 0.7 else END
            back = trip + timedelta(days=chance.uniform(4, 14))
            away = chance.choice(COUNTRIES)
            abroad = [m for m in self.merchants if m[2] == away]
            time = START
            while (
                time := time + timedelta(days=chance.expovariate(card.pace * (2 if trip < time < back else 1)))
            ) < END:
                hours = timedelta(hours=chance.gauss(14, 3.5) % 24)
                paid_at = time.replace(hour=0, minute=0, second=0, microsecond=0) + hours
                around = abroad if trip < paid_at < back else near if chance.random() < 0.93 else self.merchants
                if paid_at < END:
                    yield self._honest(chance, card, chance.choice(around), paid_at)
            if chance.random() < 0.4:
                yield from self._stolen(chance, card)

    def _honest(self, chance: random.Random, card: Card, merchant: Any, paid_at: datetime) -> dict[str, Any]:
        amount = CATEGORIES[merchant[1]] * merchant[3] * card.purse * chance.lognormvariate(0, 0.7)
        return _payment(card, merchant, amount, paid_at)

    def _stolen(self, chance: random.Random, card: Card) -> Iterator[dict[str, Any]]:
        """Yield the payments of a thief: perhaps a small one to try the card, then dear ones, mostly abroad."""
        begun = START + (END - START) * chance.random()
        noticed = begun + timedelta(days=chance.uniform(0.5, 12))
        far = [m for m in self.merchants if m[2] != card.home and m[1] in LOOT]
        time, tries = begun, chance.random() < 0.5
        for number in range(chance.randint(1, 6)):
            merchant = chance.choice(far if chance.random() < 0.6 else self.merchants)
            amount = CATEGORIES[merchant[1]] * merchant[3] * chance.lognormvariate(0.5, 0.7)
            amount = chance.uniform(0.5, 5) if tries and number == 0 else amount
            reported = max(noticed, time) + timedelta(hours=chance.uniform(1, 6))
            if time < END:
                # A few are never noticed.
                yield {
                    **_payment(card, merchant, amount, time),
                    "reported_at": reported if chance.random() < 0.95 else None,
                }
            time += timedelta(minutes=chance.expovariate(1 / 60))

    # ── what others see ──────────────────────────────────────────────────────────────────────────────────

    def lay_out(self, until: datetime, now: datetime) -> None:
        """Write the register of cards, and an export of each month before `until`, as of `now`."""
        place = self.directory / "data"
        (place / "payments").mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(place / "bank.db") as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS cards (card TEXT PRIMARY KEY, home TEXT, monthly_limit INTEGER)"
            )
            rows = [(card.card, card.home, card.monthly_limit) for card in self.cards]
            database.executemany("INSERT OR REPLACE INTO cards VALUES (?, ?, ?)", rows)
        database.close()
        for month in range(1, until.month):
            some = [payment for payment in self.payments if payment["paid_at"].month == month]
            with (place / "payments" / f"2025-{month:02}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(_exported(payment, now) for payment in some)

    def live(self, begin: datetime = LIVE, end: datetime = END) -> list[dict[str, Any]]:
        """Return the payments of a period as they arrive, without `reported_at`."""
        found = [payment for payment in self.payments if begin <= payment["paid_at"] < end]
        return [{n: _text(v) for n, v in payment.items() if n != "reported_at"} for payment in found]


def _payment(card: Card, merchant: Any, amount: float, paid_at: datetime) -> dict[str, Any]:
    name, category, country, _ = merchant
    told = {"card": card.card, "merchant": name, "category": category, "country": country}
    return {**told, "amount": round(max(amount, 0.5), 2), "paid_at": paid_at, "reported_at": None}


def _exported(payment: dict[str, Any], now: datetime) -> dict[str, Any]:
    reported = payment["reported_at"]
    return {
        **{n: _text(v) for n, v in payment.items()},
        "reported_at": _text(reported) if reported and reported < now else "",
    }


def _text(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def main() -> None:
    bank = Bank(Path(__file__).parent)
    later = sys.argv[1:] == ["july"]
    bank.lay_out(END if later else LIVE, LATER if later else LIVE)
    print(f"data/: {len(bank.cards)} cards; payments until {'30 June' if later else '31 May'} 2025")


if __name__ == "__main__":
    main()

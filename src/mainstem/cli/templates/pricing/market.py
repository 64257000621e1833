"""A market, made up: products, stores, a rival, and what customers buy at a price, from January to June 2025.

python market.py        # what was offered and sold until May
"""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START, LIVE, END = (datetime(2025, month, 1, 6, tzinfo=UTC) for month in (1, 6, 7))
STORES = ["north", "south", "east", "west", "centre"]
PRODUCTS = 20
WEEK = [0.9, 0.85, 0.9, 1.0, 1.25, 1.5, 0.6]
"""How much is sold on each day of the week, Monday first."""


@dataclass(frozen=True)
class Product:
    product: str
    cost: float
    usual: float
    """The price that the shop used to ask."""
    sells: float
    """How many a store sells a day at the usual price."""
    elasticity: float
    """By how many per cent fewer are sold if the price is one per cent higher."""


class Market:
    """What customers do. `directory` is that of the project."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        chance = random.Random(5)
        self.products = []
        for number in range(PRODUCTS):
            cost = round(chance.uniform(1.5, 9), 2)
            margin = chance.uniform(1.25, 1.9)
            sells, elasticity = chance.uniform(6, 30), chance.uniform(1.6, 4)
            self.products.append(Product(f"p{number:02}", cost, round(cost * margin, 2), sells, elasticity))

    def days(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        while begin < end:
            yield begin
            begin += timedelta(days=1)

    def rival(self, product: Product, day: datetime) -> float:
        """Return the price of the rival: about the usual one, lower in some weeks."""
        chance = random.Random(f"{product.product} {day:%G-%V}")
        return round(product.usual * chance.choice([0.85, 0.95, 1.0, 1.0, 1.05]), 2)

    def sold(self, product: Product, store: str, day: datetime, price: float) -> int:
        """Return how many are sold at a price. The same question has the same answer."""
        size = 0.6 + 0.2 * STORES.index(store)
        expected = product.sells * size * WEEK[day.weekday()]
        expected *= (price / product.usual) ** -product.elasticity
        expected *= (price / self.rival(product, day)) ** -0.8
        chance = random.Random(f"{product.product} {store} {day:%F}")
        return _poisson(min(expected, 500), chance)

    def usually(self, product: Product, store: str, day: datetime) -> float:
        """Return what the shop asked before it had a model: the usual price, rounded tries around it, and sales."""
        chance = random.Random(f"price {product.product} {store} {day:%G-%V}")
        return round(product.usual * chance.choice([0.8, 0.9, 0.95, 1.0, 1.0, 1.0, 1.05, 1.1, 1.2]), 2)

    def offers(self, begin: datetime, end: datetime) -> Iterator[dict[str, Any]]:
        """Yield what was offered and sold on each day."""
        for day in self.days(begin, end):
            for product in self.products:
                for store in STORES:
                    price = self.usually(product, store, day)
                    yield {
                        **self.asked(product, store, day),
                        "price": price,
                        "sold": self.sold(product, store, day, price),
                    }

    def asked(self, product: Product, store: str, day: datetime) -> dict[str, Any]:
        """Return what the shop knows before it sets a price."""
        name = f"{product.product}-{store}-{day:%F}"
        return {
            "offer_id": name,
            "product": product.product,
            "store": store,
            "day": day.isoformat(),
            "rival": self.rival(product, day),
        }

    def lay_out(self) -> None:
        """Write what was offered until May, a file for each month, and what products cost."""
        place = self.directory / "data" / "offers"
        place.mkdir(parents=True, exist_ok=True)
        rows = list(self.offers(START, LIVE))
        for month in sorted({row["day"][:7] for row in rows}):
            _write(place / f"{month}.csv", [row for row in rows if row["day"][:7] == month])
        since = START.isoformat()
        costs = [{"product": each.product, "since": since, "cost": each.cost} for each in self.products]
        _write(self.directory / "data" / "costs.csv", costs)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _poisson(mean: float, chance: random.Random) -> int:
    """Return a draw of the Poisson distribution (Knuth, 1969)."""
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count, product = count + 1, product * chance.random()
    return count


if __name__ == "__main__":
    Market(Path(__file__).parent).lay_out()
    print(f"data/: {PRODUCTS} products in {len(STORES)} stores, until 31 May 2025")

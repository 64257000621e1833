"""The systems of a small shop: monthly order exports, a customer database, and the API of the help desk.

    python company.py                  lay the data out and offer the API on 127.0.0.1:8121 until Ctrl-C
    python company.py export 2026-01   add the export of a month (with `--cents`, a faulty one: amounts are in cents)

Everything is made up, by a generator with a fixed seed. The exports are messy, as in real life: until 2024 the old
system wrote German dates and numbers, since 2025 the new one writes English ones. Orders are exported twice. Channels
and countries are written in several ways. Values are missing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SEED, CUSTOMERS, PORT, PAGE = 7, 600, 8121, 500
START, END, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)

COUNTRIES = {"DE": ["DE", "Germany", "de ", "Deutschland"], "FR": ["FR", "France", "fr"], "NL": ["NL", "Netherlands"]}
CHANNELS = {"web": ["web", "Web", "WEB ", "online"], "shop": ["shop", "Shop"], "phone": ["phone", "Phone", "tel."]}
TOPICS = ["delivery", "damaged", "wrong item", "question"]


@dataclass(frozen=True)
class Order:
    number: int
    customer: int
    at: datetime
    amount: float
    channel: str


@dataclass(frozen=True)
class Ticket:
    number: int
    customer: int
    at: datetime
    topic: str
    rating: int


class Company:
    """All that happened from 2024 to January 2026. A bad experience makes a customer leave more often."""

    def __init__(self) -> None:
        chance = random.Random(SEED)
        self.customers = [(number, *_person(number, chance)) for number in range(1, CUSTOMERS + 1)]
        orders: list[Order] = []
        tickets: list[Ticket] = []
        for number in range(1, CUSTOMERS + 1):
            _live(number, chance, orders, tickets)
        orders.sort(key=lambda order: (order.at, order.customer))
        tickets.sort(key=lambda ticket: (ticket.at, ticket.customer))
        self.orders = [Order(n, o.customer, o.at, o.amount, o.channel) for n, o in enumerate(orders, 1)]
        self.tickets = [Ticket(n, t.customer, t.at, t.topic, t.rating) for n, t in enumerate(tickets, 1)]


def _person(number: int, chance: random.Random) -> tuple[str, str | None, str]:
    country = chance.choices(list(COUNTRIES), [6, 3, 1])[0]
    written = None if chance.random() < 0.03 else chance.choice(COUNTRIES[country])
    return f"Customer {number}", written, chance.choices(["basic", "plus"], [7, 3])[0]


def _live(number: int, chance: random.Random, orders: list[Order], tickets: list[Ticket]) -> None:
    """Add the orders and tickets of one customer, until they leave or time is over."""
    at = START + timedelta(days=chance.uniform(0, 400))
    every = chance.uniform(14, 45)
    basket = chance.lognormvariate(3.6, 0.4)
    trouble = chance.choice([0.03, 0.08, 0.35])
    while at < LAST:
        amount = round(basket * chance.lognormvariate(0, 0.3), 2)
        channel = chance.choices(list(CHANNELS), [7, 2, 1])[0]
        at = at.replace(microsecond=0)
        orders.append(Order(0, number, at, amount, channel))
        leaves = 0.03
        if chance.random() < trouble:
            bad = chance.random() < 0.7
            rating = chance.choice([1, 1, 2]) if bad else chance.choice([4, 5])
            written = (at + timedelta(days=chance.uniform(1, 6))).replace(microsecond=0)
            tickets.append(Ticket(0, number, written, chance.choice(TOPICS), rating))
            leaves = 0.5 if bad else 0.03
        if chance.random() < leaves:
            return
        at += timedelta(days=chance.expovariate(1 / every) + 1)


class Systems:
    """The company's data below `root`/data."""

    def __init__(self, root: Path) -> None:
        self.company = Company()
        self.data = root / "data"

    def lay_out(self) -> None:
        """Write the database and the exports of 2024 and 2025. What is there stays."""
        (self.data / "orders").mkdir(parents=True, exist_ok=True)
        self._write_customers()
        for year in (2024, 2025):
            for month in range(1, 13):
                path = self.data / "orders" / f"{year}-{month:02}.csv"
                if not path.exists():
                    self.export(f"{year}-{month:02}")

    def export(self, month: str, *, cents: bool = False) -> Path:
        """Write the export of one month: its orders, and some of the month before again."""
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        chance = random.Random(f"{SEED} {month}")
        before = [o for o in self.company.orders if _month(o.at) == _month(first - timedelta(days=1))]
        rows = [o for o in self.company.orders if _month(o.at) == month]
        again = [o for o in before[-60:] if chance.random() < 0.2]
        path = self.data / "orders" / f"{month}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["order_no", "customer_no", "ordered_at", "amount", "channel", "exported_at"])
            # A night's export has the orders of the day; what is exported again comes with the last one of the month.
            end = (first + timedelta(days=32)).replace(day=1, hour=3)
            for order, late in [*((o, False) for o in rows), *((o, True) for o in again)]:
                night = end if late else (order.at + timedelta(days=1)).replace(hour=3, minute=0, second=0)
                out.writerow([*_written(order, chance, cents), night.strftime("%Y-%m-%dT%H:%M:%SZ")])
        return path

    def _write_customers(self) -> None:
        with sqlite3.connect(self.data / "shop.db") as db:
            db.execute("DROP TABLE IF EXISTS customers")
            db.execute("CREATE TABLE customers (customer_no TEXT PRIMARY KEY, name TEXT, country TEXT, plan TEXT)")
            rows = [(f"{number:05}", *person) for number, *person in self.company.customers]
            db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
        db.close()

    def tickets(self, since: str, page: int) -> dict[str, Any]:
        """Return one page of the help desk's tickets of 2024 and 2025, oldest first."""
        found = [t for t in self.company.tickets if t.at < END and _iso(t.at) >= since]
        items = [
            {
                "ticket_id": ticket.number,
                "customer_no": f"{ticket.customer:05}",
                "opened_at": _iso(ticket.at),
                "topic": ticket.topic,
                "rating": ticket.rating,
            }
            for ticket in found[(page - 1) * PAGE : page * PAGE]
        ]
        return {"items": items, "page": page, "more": len(found) > page * PAGE}


def _written(order: Order, chance: random.Random, cents: bool) -> list[str]:
    """Return an order as an export writes it: the old system until 2024, the new one since 2025."""
    old = order.at.year < 2025
    when = order.at.strftime("%d.%m.%Y %H:%M" if old else "%Y-%m-%d %H:%M")
    amount = f"{order.amount * 100:.0f}" if cents else f"{order.amount:,.2f}"
    if old:
        amount = amount.replace(",", " ").replace(".", ",").replace(" ", ".") + " €"
    fate = chance.random()
    if fate < 0.004:
        when = "31.02.2024 10:00" if old else "2025-02-31 10:00"  # a day that does not exist
    elif fate < 0.010:
        amount = f"-{amount}"  # a test order
    elif fate < 0.020:
        amount = ""
    channel = chance.choice(CHANNELS[order.channel])
    return [f"{order.number:07}", f"{order.customer:05}", when, amount, channel]


def _month(at: datetime) -> str:
    return at.strftime("%Y-%m")


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Api(BaseHTTPRequestHandler):
    """The help desk: `/tickets?since=…&page=…`."""

    def __init__(self, systems: Systems, *args: Any) -> None:
        self.systems = systems
        super().__init__(*args)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        if place.path != "/tickets":
            return self._answer(200 if place.path == "/" else 404, {"tickets": "/tickets"})
        page, since = int(query.get("page", "1")), query.get("opened_at", "").replace(" ", "+")
        found = self.systems.tickets(_utc(since), page)
        host = f"http://{self.headers['Host']}"
        following = f"{host}/tickets?page={page + 1}&opened_at={_utc(since)}" if found.pop("more") else None
        return self._answer(200, {**found, "next": following})

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""


def _utc(text: str) -> str:
    return _iso(datetime.fromisoformat(text).astimezone(UTC)) if text else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=["offer", "export"], default="offer")
    parser.add_argument("month", nargs="?", default="2026-01")
    parser.add_argument("--cents", action="store_true")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SHOP_PORT", PORT)))
    asked = parser.parse_args()
    systems = Systems(Path(__file__).parent)
    systems.lay_out()
    if asked.action == "export":
        path = systems.export(asked.month, cents=asked.cents)
        print(f"wrote {path.relative_to(systems.data.parent)}{' with amounts in cents' if asked.cents else ''}")
        return
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), partial(Api, systems))
    print(f"the help desk is at http://127.0.0.1:{server.server_port}/tickets", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()

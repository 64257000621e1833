"""Live June again: each morning a running server sets the prices, and in the evening the tills report what was sold.

python replay.py http://127.0.0.1:8100
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from market import END, LIVE, STORES, Market


class Server:
    """One keep-alive connection to `mainstem serve`."""

    def __init__(self, url: str) -> None:
        place, key = urlsplit(url), os.environ.get("MAINSTEM_KEY")
        self.connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=60)
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def post(self, path: str, body: Any) -> Any:
        self.connection.request("POST", path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"POST {path} was answered with {answer.status}: {text.decode()[:500]}")
        return json.loads(text)

    def close(self) -> None:
        self.connection.close()


@dataclass
class Earned:
    """What was earned with the prices of the server, and what the prices of before would have earned."""

    prices: int = 0
    earned: float = 0.0
    before: float = 0.0


def replay(market: Market, url: str, begin: datetime = LIVE, end: datetime = END) -> Earned:
    """Ask for the prices of each day, sell at them, and report what was sold."""
    found = Earned()
    with closing(Server(url)) as server:
        for day in market.days(begin, end):
            places = [(product, store) for product in market.products for store in STORES]
            asked = [{**market.asked(*place, day), "time": day.isoformat()} for place in places]
            answers = server.post("/predict/quote", {"rows": asked})["predictions"]
            reports, outcomes = [], []
            for (product, store), row, answer in zip(places, asked, answers, strict=True):
                price, usual = answer["decision"]["price"], market.usually(product, store, day)
                sold = market.sold(product, store, day, price)
                found.prices += 1
                found.earned += (price - product.cost) * sold
                found.before += (usual - product.cost) * market.sold(product, store, day, usual)
                told = {name: row[name] for name in ("offer_id", "product", "store")}
                closed = (day + timedelta(hours=14)).isoformat()
                reports.append({**told, "price": price, "sold": float(sold), "closed_at": closed})
                outcomes.append({"id": answer["decision"]["id"], "value": float(sold)})
            server.post("/events/tills", {"events": reports, "backfill": True})
            server.post("/outcomes/quote", outcomes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8100")
    parser.add_argument("--days", type=float, help="so many days only")
    asked = parser.parse_args()
    end = LIVE + timedelta(days=asked.days) if asked.days else END
    found = replay(Market(Path(__file__).parent), asked.url, end=end)
    print(f"{found.prices:,} prices earned {found.earned:,.0f}; those of before would have earned {found.before:,.0f}")


if __name__ == "__main__":
    main()

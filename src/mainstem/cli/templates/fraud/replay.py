"""Live June again: every payment asks, six hours at a time, against a running server.

    python replay.py http://127.0.0.1:8100

Payments are sent with `"backfill": true`, so each counts as having arrived when it happened. An answer sees the
payments before its own. So June is answered as it would have been.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bank import END, LIVE, Bank

SPAN = 6
"""Hours per request."""


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


def replay(bank: Bank, url: str, begin: datetime = LIVE, end: datetime = END) -> Counter[str]:
    """Send the payments of a time, and return how often each decision was taken.

    An answer has the payments before its own, so how many a request carries changes no answer.
    """
    decided: Counter[str] = Counter()
    with closing(Server(url)) as server:
        for _, group in groupby(bank.live(begin, end), _span):
            answers = server.post("/predict/authorise", {"rows": list(group), "backfill": True})["predictions"]
            decided.update(answer["decision"] for answer in answers)
    return decided


def _span(payment: dict[str, Any]) -> str:
    day, hour = payment["paid_at"][:13].split("T")
    return f"{day}T{int(hour) // SPAN}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8100")
    parser.add_argument("--days", type=float, help="so many days only")
    asked = parser.parse_args()
    end = LIVE + timedelta(days=asked.days) if asked.days else END
    decided = replay(Bank(Path(__file__).parent), asked.url, end=end)
    print(", ".join(f"{count:,} {decision}" for decision, count in sorted(decided.items())))


if __name__ == "__main__":
    main()

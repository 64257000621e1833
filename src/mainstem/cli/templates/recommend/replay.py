"""Live June again: each evening a running server fills the first page of each viewer, who watches one film or none.

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

from cinema import END, LIVE, Cinema


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
class Watched:
    """How many pages were shown, on how many of them a film was watched, and on how many of the old pages."""

    pages: int = 0
    films: int = 0
    before: int = 0


def replay(cinema: Cinema, url: str, begin: datetime = LIVE, end: datetime = END) -> Watched:
    """Ask for the page of each viewer and evening, watch, and report what was watched."""
    found = Watched()
    _, seen = cinema.past()
    former = {viewer: set(names) for viewer, names in seen.items()}
    with closing(Server(url)) as server:
        for evening in cinema.evenings(begin, end):
            viewers = cinema.present(evening)
            rows = [{"viewer": viewer, "time": evening.isoformat()} for viewer in viewers]
            answers = server.post("/predict/first_page", {"rows": rows})["predictions"]
            views, outcomes = [], []
            for viewer, answer in zip(viewers, answers, strict=True):
                page = {chosen["film"]: chosen for chosen in answer["decision"]}
                watched = cinema.watches(viewer, list(page), seen.setdefault(viewer, set()), evening)
                seen[viewer].update(watched)
                outcomes += [{"id": chosen["id"], "value": name in watched} for name, chosen in page.items()]
                views += [
                    {
                        "view_id": f"{viewer}-{name}-{evening:%F}-live",
                        "viewer": viewer,
                        "film": name,
                        "genre": cinema.by_name[name].genre,
                        "watched_at": (evening + timedelta(hours=2)).isoformat(),
                    }
                    for name in watched
                ]
                old = former.setdefault(viewer, set())
                would = cinema.watches(viewer, cinema.old_page(viewer, evening), old, evening)
                old.update(would)
                found.pages, found.films, found.before = (
                    found.pages + 1,
                    found.films + len(watched),
                    found.before + len(would),
                )
            server.post("/outcomes/first_page", outcomes)
            if views:
                server.post("/events/views", {"events": views, "backfill": True})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8100")
    parser.add_argument("--days", type=float, help="so many days only")
    asked = parser.parse_args()
    end = LIVE + timedelta(days=asked.days) if asked.days else END
    found = replay(Cinema(Path(__file__).parent), asked.url, end=end)
    print(f"{found.pages:,} pages: a film was watched on {found.films:,}; on {found.before:,} of the pages of before")


if __name__ == "__main__":
    main()

"""A cinema at home, made up: films, viewers, and what they watch, from January to June 2025; always the same.

python cinema.py        # what was shown and watched until May
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START, LIVE, END = (datetime(2025, month, 1, 18, tzinfo=UTC) for month in (1, 6, 7))
GENRES = ["action", "comedy", "crime", "documentary", "drama", "family", "horror", "romance", "science fiction"]
FILMS, VIEWERS, PAGE = 300, 250, 10


@dataclass(frozen=True)
class Film:
    film: str
    title: str
    genre: str
    year: int
    appeal: float


class Cinema:
    """Films and viewers. `directory` is that of the project."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        chance = random.Random(3)
        self.films = [
            Film(f"f{n:03}", f"Film {n}", GENRES[n % len(GENRES)], chance.randint(1960, 2025), chance.random() ** 2)
            for n in range(FILMS)
        ]
        self.by_name = {film.film: film for film in self.films}
        self.tastes = {
            f"v{n:03}": {genre: chance.random() ** 4 for genre in GENRES} | {"new": chance.uniform(-1, 1)}
            for n in range(VIEWERS)
        }

    def likes(self, viewer: str, film: Film) -> float:
        """Return how much a viewer likes a film, from 0 to about 1.5."""
        tastes = self.tastes[viewer]
        return tastes[film.genre] + 0.4 * film.appeal + 0.2 * tastes["new"] * (film.year - 1990) / 35

    def watches(self, viewer: str, page: Sequence[str], seen: set[str], evening: datetime) -> list[str]:
        """Return what a viewer watches of a page: at most one film, a liked one likelier, hardly ever one twice."""
        chance = random.Random(f"{viewer} {evening:%F}")
        for place, name in enumerate(page):
            wish = max(0.0, self.likes(viewer, self.by_name[name])) * (0.05 if name in seen else 1)
            if chance.random() < 0.22 * wish**1.5 * 0.96**place:
                return [name]
        return []

    def present(self, evening: datetime) -> list[str]:
        """Return who is there on an evening."""
        return [viewer for viewer in self.tastes if random.Random(f"there {viewer} {evening:%F}").random() < 0.35]

    def old_page(self, viewer: str, evening: datetime) -> list[str]:
        """Return the page before there was a model: the most appealing films, and some at random."""
        chance = random.Random(f"page {viewer} {evening:%F}")
        known = sorted(self.films, key=lambda film: -film.appeal)[:60]
        page = [*chance.sample(known, PAGE // 2), *chance.sample(self.films, PAGE // 2)]
        return list(dict.fromkeys(film.film for film in page))

    def evenings(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        while begin < end:
            yield begin
            begin += timedelta(days=1)

    def shown(self, begin: datetime, end: datetime, seen: dict[str, set[str]]) -> Iterator[dict[str, Any]]:
        """Yield what the old pages showed and what was watched of them. `seen` grows with it."""
        for evening in self.evenings(begin, end):
            for viewer in self.present(evening):
                page = self.old_page(viewer, evening)
                watched = self.watches(viewer, page, seen.setdefault(viewer, set()), evening)
                seen[viewer].update(watched)
                for name in page:
                    yield {
                        "shown_id": f"{viewer}-{name}-{evening:%F}",
                        "viewer": viewer,
                        "film": name,
                        "genre": self.by_name[name].genre,
                        "shown_at": evening.isoformat(),
                        "watched": str(name in watched).lower(),
                    }

    def past(self) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
        """Return what was shown until May, and what each viewer has seen by then."""
        seen: dict[str, set[str]] = {}
        return list(self.shown(START, LIVE, seen)), seen

    def lay_out(self) -> int:
        """Write the catalogue, and what was shown until May, a file for each month."""
        place = self.directory / "data" / "shown"
        place.mkdir(parents=True, exist_ok=True)
        rows, _ = self.past()
        for month in sorted({row["shown_at"][:7] for row in rows}):
            _write(place / f"{month}.csv", [row for row in rows if row["shown_at"][:7] == month])
        columns = ("film", "title", "genre", "year")
        _write(self.directory / "data" / "films.csv", [{n: getattr(f, n) for n in columns} for f in self.films])
        return len(rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    count = Cinema(Path(__file__).parent).lay_out()
    print(f"data/: {FILMS} films, {VIEWERS} viewers, {count:,} films shown until 31 May 2025")

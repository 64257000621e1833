"""Which ten films should this viewer see first? Popular ones, scored for the viewer, of several genres."""

import ibis
from ibis import _

import mainstem as ms
from mainstem.graph.named import named

# ── collect: the catalogue, what was shown to whom, and what is watched ───────────────────────────────────

films = ms.files(
    "data/films.csv",
    key="film",
    schema={"film": "string", "title": "string", "genre": "string", "year": "int64"},
    known="always",
    owner="data",
    description="The catalogue.",
)

shown = ms.files(
    "data/shown/*.csv",
    key="shown_id",
    time="shown_at",
    schema={
        "shown_id": "string",
        "viewer": "string",
        "film": "string",
        "genre": "string",
        "shown_at": "timestamp('UTC', 6)",
        "watched": "boolean",
    },
    known={
        "*": _.shown_at - ibis.interval(seconds=1),
        "watched": _.shown_at + ibis.interval(hours=6),  # the evening is over
    },
    owner="data",
    description="A row for each film on the first page of an evening, and whether it was watched.",
)

views = ms.stream(
    "views",
    schema={
        "view_id": "string",
        "viewer": "string",
        "film": "string",
        "genre": "string",
        "watched_at": "timestamp('UTC', 6)",
    },
    key="view_id",
    time="watched_at",
    history="past_views",
    owner="data",
    description="A film that a viewer watched to its end.",
)


@ms.table(key="view_id", time="watched_at", checks=[ms.not_null("viewer", "film"), ms.foreign_key("film", to="films")])
def past_views(shown):
    "What the stream would have said before it began."
    seen = shown.filter(_.watched)
    columns = {"view_id": seen.shown_id, "watched_at": seen.shown_at + ibis.interval(hours=2)}
    return seen.select("viewer", "film", "genre", *named(columns))


@ms.table(key="film")
def popular(films, views):
    "The catalogue, and how often each film was watched in the last four weeks."
    until = views.aggregate(until=_.watched_at.max())
    lately = views.cross_join(until).filter(_.watched_at > _.until - ibis.interval(days=28))
    counted = lately.group_by("film").agg(views=_.count())
    return films.left_join(counted, "film").drop("film_right").mutate(views=_.views.fill_null(0))


# ── features ──────────────────────────────────────────────────────────────────────────────────────────────

viewer = ms.feature_view(
    views, key="viewer", windows=["28d"], views=_.count(), genres=_.genre.nunique(), description="How much one watches."
)

taste = ms.feature_view(
    views, key=["viewer", "genre"], windows=["28d", "140d"], views=_.count(), description="What a viewer likes."
)

film = ms.feature_view(views, key="film", windows=["7d", "28d"], views=_.count(), description="What is in fashion.")

title = ms.feature_view(films, key="film", columns=["year"], description="The catalogue, by film.")

again = ms.feature_view(
    views, key=["viewer", "film"], windows=["140d"], views=_.count(), description="Films that were seen already."
)

# ── learn ─────────────────────────────────────────────────────────────────────────────────────────────────

like = ms.model(
    examples=shown,
    prediction_time=_.shown_at,
    target=_.watched,
    features=[
        viewer,
        taste,
        film,
        title,
        again,
        "genre",
        ms.on_demand(
            share=_.taste__views_140d / ibis.greatest(_.viewer__views_28d, 1), seen=_.again__views_140d.fill_null(0) > 0
        ),
    ],
    metric="average_precision",
    gap="1d",
    owner="ml",
    description="Will the viewer watch this film tonight?",
)

# ── decide: ten unseen films, no more than three of a genre, one place in twenty to try something ────────────────

first_page = ms.endpoint(
    like,
    candidates=ms.candidates(popular, key="film", by="views", limit=150, without=again),
    decide=ms.top(10, by=_.score, at_most={"genre": 3}),
    explore=0.05,
    fallback=ms.candidates(popular, key="film", by="views", limit=10),
    monitors=[ms.value(floor=0)],
    owner="ml",
)

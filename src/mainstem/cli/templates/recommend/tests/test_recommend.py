"""Unit tests on a few rows: `mainstem test`."""

from mainstem.testing import assert_rows

FILMS = """
    film, title, genre,  year
    f1,   One,   drama,  1999
    f2,   Two,   comedy, 2010
"""

SHOWN = """
    shown_id, viewer, film, genre, shown_at,             watched
    s1,       v1,     f1,   drama, 2025-01-05T18:00:00Z, true
    s2,       v1,     f2,   drama, 2025-01-05T18:00:00Z, false
"""

VIEWS = """
    view_id, viewer, film, genre,  watched_at
    s1,      v1,     f1,   drama,  2025-01-05T20:00:00Z
    s3,      v2,     f1,   drama,  2025-02-01T20:00:00Z
    s4,      v3,     f1,   drama,  2025-02-02T20:00:00Z
"""


def test_a_film_that_was_watched_is_a_view(project):
    views = project.build("past_views", given={"shown": SHOWN, "films": FILMS})
    expected = """
        view_id, viewer, film, watched_at
        s1,      v1,     f1,   2025-01-05T20:00:00Z
    """
    assert_rows(views, expected)


def test_only_the_last_four_weeks_make_a_film_popular(project):
    popular = project.build("popular", given={"films": FILMS, "views": VIEWS})
    assert_rows(popular, [{"film": "f1", "views": 2}, {"film": "f2", "views": 0}])

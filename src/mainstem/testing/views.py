"""Views over the suite's events that together cover every aggregation and every rule of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ibis import _

from mainstem.features.views.view import CompiledView
from mainstem.nodes import reductions as ms
from mainstem.testing.features import example_view

EVERY: Mapping[str, Mapping[str, Any]] = {
    "sums": {
        "rows": _.count(),
        "numbers": _.number.count(),
        "any": _.count(where=_.flag),
        "total": _.number.sum(),
        "whole": _.whole.sum(),
        "mean": _.number.mean(),
        "some": _.whole.mean(where=_.flag),
        "share": ms.share(_.whole > 1),
        "bins": ms.histogram(_.number, [-1, 0, 0.5, 10]),
        "halves": ms.histogram(_.whole, [0], where=_.flag),
        "level": ms.by(_.text, ["x", "é"], _.number.sum()),
    },
    "selection": {
        "low": _.number.min(),
        "high": _.number.max(),
        "first_text": _.text.min(),
        "some_flag": _.flag.any(),
        "all_flags": _.flag.all(),
        "first": _.text.first(),
        "first_at": _.at.first(),
        "last": _.text.last(),
        "last_number": _.number.last(),
        "last_flag": _.flag.last(),
        "least": _.text.argmin(_.number),
        "most": _.number.argmax(_.whole),
        "most_flagged": _.at.argmax(_.flag, where=_.whole > -3),
        "most_text": _.whole.argmin(_.text),
    },
    "moments": {
        "spread": _.number.std(),
        "spread_all": _.number.var(how="pop"),
        "whole_spread": _.whole.var(),
        "flag_spread": _.flag.std(how="pop"),
        "skew": ms.skew(_.number),
        "whole_skew": ms.skew(_.whole, how="pop"),
        "kurtosis": _.number.kurtosis(),
        "whole_kurtosis": _.whole.kurtosis(how="pop"),
    },
    "lists": {
        "first_3": ms.first_k(_.text, 3),
        "last_2": ms.last_k(_.number, 2, where=_.whole > 0),
        "last_flags": ms.last_k(_.flag, 9),
        "top_2": ms.top_k(_.number, 2),
        "bottom_3": ms.bottom_k(_.text, 3),
        "bottom_1": ms.windowed(ms.bottom_k(_.whole, 1), "6min", "12min"),
        "texts": _.text.nunique(),
        "different": _.number.approx_nunique(),
        "median": _.number.median(),
        "third": _.whole.quantile(1 / 3),
        "mode": _.number.mode(),
        "text_mode": _.text.mode(),
        "flag_mode": _.flag.mode(),
    },
    "clock": {
        "since": ms.time_since_last(),
        "since_text": ms.time_since_last(_.text, where=_.flag),
        "rate": ms.rate(),
        "number_rate": ms.rate(_.number, per="1min"),
        "ewma": ms.ewma(_.number, "1min"),
        "whole_ewma": ms.ewma(_.whole, "20min"),
        "forgetful": ms.ewma(_.number, "1ms"),
        "slope": ms.slope(_.number, per="1min"),
        "whole_slope": ms.slope(_.whole),
    },
}
"""The built-in aggregations, by their module in the algebra."""

FEW: Mapping[str, Any] = {
    "rows": _.count(),
    "spread": _.number.std(),
    "last": _.text.last(),
    "most": _.number.argmax(_.whole),
    "recent": ms.last_k(_.text, 2),
    "median": _.number.median(),
    "since": ms.time_since_last(),
}


USED: Mapping[str, Any] = {"n": _.count(), "low": _.number.min(), "mean": _.number.mean(), "last": _.text.last()}


def view_of(**settings: Any) -> CompiledView:
    """Return an example view whose online state has no expiry, so that histories of all times can share it."""
    return example_view(**settings, grace="4000000d")


VIEWS: Mapping[str, Callable[[], CompiledView]] = {
    **{name: partial(view_of, windows=["2min", "10min"], **own) for name, own in EVERY.items()},
    "closed": lambda: view_of(windows=["4min"], closed="both", resolution="2min", **FEW),
    "exact": lambda: view_of(windows=["3min"], resolution="0s", order_by="turn", **FEW),
    "ordered": lambda: view_of(windows=["4min"], order_by="number", **FEW),
    "pair": lambda: view_of(key=["who", "where"], windows=["5min"], last=_.text.last(), n=_.count()),
    "shortlists": lambda: view_of(
        windows=["2min", "10min"],
        first_3=ms.first_k(_.text, 3),
        last_2=ms.last_k(_.number, 2, where=_.whole > 0),
        last_flags=ms.last_k(_.flag, 9),
        top_2=ms.top_k(_.number, 2),
        bottom_3=ms.bottom_k(_.text, 3),
        bottom_1=ms.bottom_k(_.whole, 1),
        total=_.whole.sum(),
    ),
    "collected": lambda: view_of(key=["where", "who"], windows=["5min"], last=ms.last_k(_.whole, 2)),
    "global": lambda: view_of(key=(), windows=["4min"], **FEW),
    "global_latest": lambda: view_of(key=(), columns=["number", "text"], ttl="6min"),
    "chained": lambda: view_of(
        using={"place": {"key": "where", "windows": ["3min"], "grace": "4000000d", **USED}},
        windows=["4min"],
        above=(_.number - _.place__low_3min).mean(),
        level=_.place__mean_3min.mean(),
        busy=_.place__n_3min.max(),
        quiet=_.count(where=_.place__last_3min.isnull()),
        text=_.place__last_3min.last(),
    ),
    "chained_twice": lambda: view_of(
        using={
            "place": {"key": "where", "columns": ["text", "at"], "ttl": "4min", "grace": "2min"},
            "text": {"key": "place__text", "windows": ["5min"], "closed": "both", **USED},
        },
        key=["who", "where"],
        columns=["text__n_5min", "text__mean_5min", "place__at", "whole"],
        closed="both",
    ),
    "chained_changes": lambda: view_of(
        using={"all": {"key": (), "windows": ["3min"], "grace": "2min", **USED}},
        changes=True,
        windows=["4min"],
        above=(_.number - _.all__low_3min).mean(),
        level=_.all__mean_3min.max(),
        busy=_.all__n_3min.sum(),
    ),
    "changes": lambda: view_of(changes=True, windows=["4min"], **FEW),
    "changes_closed": lambda: view_of(changes=True, windows=["3min"], closed="both", order_by="turn", **FEW),
    "changes_latest": lambda: view_of(changes=True, columns=["number", "text"], ttl="6min"),
    "latest": lambda: view_of(columns=["number", "whole", "flag", "text", "at"]),
    "ttl": lambda: view_of(columns=["text", "whole"], ttl="3min", order_by="number"),
    "latest_closed": lambda: view_of(key=["where", "who"], columns=["number"], closed="both"),
}
"""The aggregations, then the rules."""

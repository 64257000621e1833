"""Candidates that the profile's engine fits: refused where it cannot."""

from __future__ import annotations

from mainstem.errors import DefinitionError
from mainstem.nodes.definition import Graph
from mainstem.nodes.models import Model
from mainstem.settings import Profile


def without_spread(graph: Graph, profile: Profile, profile_name: str) -> Graph:
    """Return the graph without models that the profile's engine cannot fit. They are `broken` in it."""
    problem = _problem(profile)
    if problem is None or not any(node.candidates for node in graph.of(Model).values()):
        return graph
    from mainstem.models.training.declared import is_spread

    got, hint = problem
    found = {
        name: DefinitionError(
            f"{name!r} has a candidate that Spark fits, and the profile's engine is not Spark",
            where=graph[name].where,
            got=f"{got}, in [profile.{profile_name}]",
            expected='engine = "spark" or "auto", with a master other than sc://…',
            hint=hint,
        )
        for name, node in graph.of(Model).items()
        if is_spread(node)
    }
    return graph.without(found) if found else graph


def _problem(profile: Profile) -> tuple[str, str] | None:
    """Return what the profile has instead, and what to do."""
    if profile.engine == "duckdb":
        return 'engine = "duckdb"', '"xgboost" fits in this process, on about `training_rows` rows'
    if (master := profile.spark.get("master", "")).startswith("sc://"):
        return f"spark.master = {master!r}", "xgboost.spark requires a classic session: spark://…, yarn or k8s://…"
    return None

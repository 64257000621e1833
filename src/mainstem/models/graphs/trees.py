"""LightGBM's trees as an ONNX subgraph, exact to the float64 threshold.

The converter of onnxmltools rounds thresholds to float32 and sums leaves in float32. It sent 2 of 20,000 rows down the
wrong branch (a difference of 3.7e-4). ONNX has float64 trees since ai.onnx.ml 3, so they are written directly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mainstem.models.graphs.builder import ML, Builder


@dataclass
class _Nodes:
    """The attributes of TreeEnsembleRegressor as parallel lists: one entry per tree node, and per leaf."""

    tree: list[int] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    mode: list[str] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing_is_yes: list[int] = field(default_factory=list)
    leaf_tree: list[int] = field(default_factory=list)
    leaf_node: list[int] = field(default_factory=list)
    leaf_target: list[int] = field(default_factory=list)
    leaf_value: list[float] = field(default_factory=list)

    def add_tree(self, number: int, structure: dict[str, Any], target: int) -> None:
        waiting: list[tuple[dict[str, Any], int, str]] = [(structure, -1, "")]
        count = 0
        while waiting:
            part, parent, branch = waiting.pop()
            position = self._add_node(number, count, part, target)
            if parent >= 0:
                getattr(self, branch)[parent] = count
            count += 1
            if "split_index" in part:
                waiting += [(part["right_child"], position, "no"), (part["left_child"], position, "yes")]

    def _add_node(self, tree: int, node: int, part: dict[str, Any], target: int) -> int:
        splits = "split_index" in part
        threshold = _bound(float(part["threshold"])) if splits else 0.0
        self.tree.append(tree)
        self.node.append(node)
        self.feature.append(part["split_feature"] if splits else 0)
        self.mode.append("BRANCH_LEQ" if splits else "LEAF")
        self.threshold.append(threshold)
        self.yes.append(0)
        self.no.append(0)
        self.missing_is_yes.append(int(splits and _missing_goes_left(part, threshold)))
        if not splits:
            self.leaf_tree.append(tree)
            self.leaf_node.append(node)
            self.leaf_target.append(target)
            self.leaf_value.append(float(part["leaf_value"]))
        return len(self.tree) - 1


def _bound(threshold: float) -> float:
    # A missing-value split has the threshold 1e300. LightGBM sends +inf to the same side.
    return np.inf if threshold >= 1e300 else threshold


def _missing_goes_left(part: dict[str, Any], threshold: float) -> bool:
    # LightGBM reads NaN as 0 if a feature had no NaN in training.
    return bool(part["default_left"]) if part["missing_type"] == "NaN" else threshold >= 0.0


def ensemble(builder: Builder, matrix: str, dump: dict[str, Any]) -> str:
    """Add the raw scores [n, trees per iteration], float64, of a model from `Booster.dump_model()`."""
    targets = int(dump["num_tree_per_iteration"])
    nodes = _Nodes()
    for number, tree in enumerate(dump["tree_info"]):
        nodes.add_tree(number, tree["tree_structure"], number % targets)
    raw = builder.add(
        "TreeEnsembleRegressor",
        builder.cast(matrix, "DOUBLE"),
        domain=ML,
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=nodes.tree,
        nodes_nodeids=nodes.node,
        nodes_featureids=nodes.feature,
        nodes_modes=nodes.mode,
        nodes_values_as_tensor=builder.tensor(np.array(nodes.threshold)),
        nodes_truenodeids=nodes.yes,
        nodes_falsenodeids=nodes.no,
        nodes_missing_value_tracks_true=nodes.missing_is_yes,
        target_treeids=nodes.leaf_tree,
        target_nodeids=nodes.leaf_node,
        target_ids=nodes.leaf_target,
        target_weights_as_tensor=builder.tensor(np.array(nodes.leaf_value)),
    )
    return builder.cast(raw, "DOUBLE")

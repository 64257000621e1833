"""Files of SQL tables: the query, and what the comments above it declare.

    -- One row per customer and month.
    -- key: customer_id, month
    -- check: not_null(customer_id)
    -- check: expression("amount >= refund", severity="quarantine")
    SELECT … WHERE country = $country

A comment `-- word: value` is a directive. A lower-case word that is not known, or a directive below the first line of
the query, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes import checks, tables
from mainstem.nodes.anomalies import anomaly
from mainstem.nodes.base import Origin
from mainstem.nodes.clean import MAKERS as CLEANING
from mainstem.settings import FILE
from mainstem.tables.sql_conditions import SqlCondition
from mainstem.tables.sql_params import bound, check_params

ONCE = (
    "key",
    "time",
    "incremental",
    "interval",
    "lookback",
    "write",
    "versions",
    "sort",
    "partition",
    "description",
    "owner",
)
REPEATED = ("check", "clean", "assume_known")
DIRECTIVES = (*ONCE, *REPEATED)

_COMMENT = re.compile(r"--\s*(?P<word>\w+)\s*:(?P<value>.*)")
_BELOW = re.compile(rf"(?:--|/\*+|\*)\s*(?P<word>{'|'.join(DIRECTIVES)})\s*:", re.IGNORECASE)


class Directive(NamedTuple):
    """One comment `-- word: value`, and its line."""

    word: str
    value: str
    origin: Origin


def parse_file(path: Path, params: Mapping[str, Any] | None = None) -> tables.Table:
    """Return the table that `sql/…/NAME.sql` declares. `params` are the values of `$name` in the query.

    Comments above the query may set `-- key: flight_id`, `-- time: scheduled_at`, `-- description: …`, `-- owner: …`,
    `-- sort: carrier, scheduled_at`, `-- partition: month(scheduled_at)`,
    `-- incremental: sold_at` with `-- interval: 1d` and `-- lookback: 3d`, `-- write: merge`, `-- versions: true`, and
    any number of `-- check: not_null(origin)`, `-- clean: trim("carrier")` and `-- assume_known: column: reason`.
    Checks and verbs use Python's syntax. Raises `DefinitionError`.
    """
    text, values = path.read_text(encoding="utf-8-sig"), params or {}
    check_params(values, f"{FILE}, [params]")
    found = list(_directives(path, text))
    said = _once(found)
    return tables.sql(
        path.stem,
        bound(text, values, path),
        origin=Origin(str(path), 1),
        key=re.split(r"\s*,\s*", said["key"]) if "key" in said else None,
        time=said.get("time"),
        sort=re.split(r"\s*,\s*", said["sort"]) if "sort" in said else None,
        partition=re.split(r"\s*,\s*", said["partition"]) if "partition" in said else None,
        incremental=said.get("incremental"),
        interval=said.get("interval"),
        lookback=said.get("lookback"),
        write=said.get("write"),  # type: ignore[arg-type]
        versions=_flag("versions", found),
        clean=[_made(each, values, CLEANING, "verb") for each in found if each.word == "clean"],
        checks=[_made(each, values, _MAKERS, "check") for each in found if each.word == "check"],
        assume_known=_assumptions(each for each in found if each.word == "assume_known"),
        description=said.get("description") or _prose(text),
        owner=said.get("owner"),
    )


def _directives(path: Path, text: str) -> Iterator[Directive]:
    """Yield the directives above the query. Raises `DefinitionError` for others."""
    above = True
    for number, line in enumerate(text.splitlines(), 1):
        stripped, here = line.strip(), Origin(str(path), number, line.strip())
        above = above and (not stripped or stripped.startswith("--"))
        if above and (comment := _COMMENT.fullmatch(stripped)) and _is_directive(comment["word"]):
            yield _known(comment["word"], comment["value"].strip(), here)
        elif not above and (misplaced := _BELOW.match(stripped)):
            raise DefinitionError(
                f"the directive {misplaced['word']!r} is not above the query",
                where=str(here),
                hint=f"write `-- {misplaced['word'].lower()}: …` in a line of its own, above the first line of SQL",
            )


def _is_directive(word: str) -> bool:
    """Return whether a comment's word is meant as a directive: any lower-case word, or one that looks like a known
    one."""
    return word == word.lower() or close_matches(word.lower(), DIRECTIVES) is not None or word.lower() in DIRECTIVES


def _known(word: str, value: str, origin: Origin) -> Directive:
    if word not in DIRECTIVES:
        raise DefinitionError(
            f"unknown directive {word!r}",
            where=str(origin),
            expected=f"one of {', '.join(DIRECTIVES)}",
            hint=close_matches(word.lower(), DIRECTIVES) or "a sentence that is no directive has no word with a colon",
        )
    if not value:
        raise DefinitionError(f"the directive {word!r} has no value", where=str(origin), expected=f"-- {word}: …")
    return Directive(word, value, origin)


def _once(found: list[Directive]) -> dict[str, str]:
    said: dict[str, str] = {}
    for word, value, origin in found:
        if word in ONCE and word in said:
            raise DefinitionError(
                f"the directive {word!r} is given twice", where=str(origin), hint="several columns: -- key: a, b"
            )
        if word in ONCE:
            said[word] = value
    return said


def _flag(word: str, found: list[Directive]) -> bool:
    given = next((each for each in found if each.word == word), None)
    if given is None:
        return False
    if given.value not in ("true", "false"):
        raise DefinitionError(
            f"the directive {word!r} is true or false",
            where=str(given.origin),
            got=given.value,
            expected=f"-- {word}: true",
        )
    return given.value == "true"


def _assumptions(found: Iterator[Directive]) -> dict[str, str]:
    assumed: dict[str, str] = {}
    for _, value, origin in found:
        column, _, reason = (part.strip() for part in value.partition(":"))
        if not reason:
            expected = f"-- assume_known: {column}: why it may be used"
            raise DefinitionError("an assumption requires a reason", where=str(origin), expected=expected)
        if column in assumed:
            raise DefinitionError(f"`assume_known` is given twice for {column!r}", where=str(origin))
        assumed[column] = reason
    return assumed


def _prose(text: str) -> str | None:
    """Return an opening comment that is not a directive: the description."""
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    comment = _COMMENT.fullmatch(first.strip())
    is_prose = first.startswith("--") and not (comment and _is_directive(comment["word"]))
    return (first.removeprefix("--").strip() or None) if is_prose else None


# ── checks and verbs in comments ──────────────────────────────────────────────────────────────────────


_MAKERS: Mapping[str, Any] = {
    name: getattr(checks, name)
    for name in ("not_null", "unique", "between", "accepted", "foreign_key", "row_count", "fresh", "expression")
} | {"anomaly": anomaly}


def _made(directive: Directive, params: Mapping[str, Any], makers: Mapping[str, Any], kind: str) -> Any:
    """Return what is made by `not_null(origin)` or `between("distance", 1, 6000, severity="quarantine")`.

    Arguments are names and literals; code is not evaluated. The condition of `expression` is SQL.
    """
    import ast

    text, origin = directive.value, directive.origin
    try:
        call: Any = ast.parse(text, mode="eval").body
        make = makers[call.func.id]
        positional = [_argument(node) for node in call.args]
        named = {keyword.arg: _argument(keyword.value) for keyword in call.keywords}
        if make is checks.expression:
            positional, named = _with_condition(positional, named, params, origin)
        return make(*positional, **named)
    except DefinitionError as problem:
        problem.where = str(origin)
        raise
    except (SyntaxError, AttributeError, KeyError, TypeError, ValueError) as error:
        name = re.match(r"\w*", text)
        raise DefinitionError(
            f"{text!r} is not a {kind}",
            where=str(origin),
            got=str(error),
            expected=f"one of {', '.join(makers)}",
            hint=close_matches(name[0] if name else text, makers),
        ) from error


def _with_condition(
    positional: list[Any], named: dict[str, Any], params: Mapping[str, Any], origin: Origin
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of `expression` with its text as a condition."""
    written = positional[0] if positional else named.get("condition")
    if not isinstance(written, str):
        raise DefinitionError(
            "a condition is a text of SQL", got=repr(written), expected='expression("amount >= 0", name="amount")'
        )
    condition = SqlCondition(bound(written, params, Path(origin.file)))
    rest = {name: value for name, value in named.items() if name != "condition"}
    return [condition, *positional[1:]], {"name": written, **rest}


def _argument(node: Any) -> Any:
    import ast

    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)

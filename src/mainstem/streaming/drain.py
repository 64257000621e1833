"""Drain a log into the lake: acknowledged entries become rows exactly once.

The snapshot's cursor is the next offset, so rows and cursor are one commit. The log is trimmed in the next run, below
the end of the *published* snapshot, so after a failed run or a crash all entries are still there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from mainstem.checks.audit import judge, keep_aside, ordered, set_aside, subject_of
from mainstem.checks.examine import refuse
from mainstem.checks.unusual import unusual
from mainstem.checks.violations import declared
from mainstem.graph.lineage import leaves
from mainstem.logs.outcomes import outcome_row, outcomes_of, outcomes_table
from mainstem.logs.predictions import prediction_row
from mainstem.logs.records import event_row, events_of, predictions_of
from mainstem.logs.shadows import SCHEMA, shadowed_row, shadows_of, shadows_table
from mainstem.nodes.checks import Check, Unique
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.records import now
from mainstem.nodes.sources import Stream
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Store
from mainstem.sources.inspection import settled
from mainstem.statistics.keeping import Counting
from mainstem.streaming.drafts import Draft, Logged, topic_positions
from mainstem.streaming.ingest import AHEAD
from mainstem.streaming.outcomes import outcome_schema
from mainstem.streaming.predictions import BEFORE, prediction_schema
from mainstem.streaming.reingesting import Again, again, doubtful, still_broken
from mainstem.streaming.taking import Taking
from mainstem.streaming.unreadable import dead_letters, keep


class Drain:
    """The executor of `drain` steps: a stream's events, or an endpoint's predictions, outcomes and shadows."""

    def __init__(self, log: Store, taking: Taking | None = None, reingest: frozenset[str] = frozenset()) -> None:
        """With `taking`, topics that feed streams are taken first. What was set aside of the streams `reingest` comes
        in again."""
        self.log, self.taking, self.reingest = log, taking, reingest

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Commit the entries of the log that are not in the lake yet. Raises `StorageError`.

        Raises `CheckFailed` if a check of severity `error` finds violations. The run then publishes nothing.
        """
        node = context.graph[step.node].node
        if isinstance(node, Endpoint):
            return self._predictions(step.node, context)
        assert isinstance(node, Stream)
        return self._events(step.node, node, context)

    def _predictions(self, name: str, context: Context) -> StepResult:
        schema = prediction_schema(context.graph, name)
        log, told = self.log, outcome_schema(context.graph, name)
        drafts = [Logged(f"predictions.{name}", predictions_of(name), schema, prediction_row, log, context, BEFORE)]
        if outcomes_table(name) in context.release.tables or log.end(outcomes_of(name)):
            drafts.append(Logged(outcomes_table(name), outcomes_of(name), told, outcome_row, log, context))
        if shadows_table(name) in context.release.tables or log.end(shadows_of(name)):
            drafts.append(Logged(shadows_table(name), shadows_of(name), SCHEMA, shadowed_row, log, context))
        tables = {each.table: each.commit(each.write()) for each in drafts}
        for each in drafts:
            tables |= keep(context, each.table, each.unreadable)
        rows, lost = sum(each.rows for each in drafts), sum(len(each.unreadable) for each in drafts)
        words = {outcomes_table(name): "outcomes", shadows_table(name): "scores of shadows"}
        said = [f"{each.rows:,} {words[each.table]}" for each in drafts[1:] if each.rows]
        return StepResult(
            tables=tables,
            rows_in=rows,
            published=rows - lost,
            quarantined=lost,
            message="; ".join(filter(None, [*said, *(each.message for each in drafts)])),
        )

    def _events(self, name: str, node: Stream, context: Context) -> StepResult:
        schema = context.graph[name].schema or {}
        draft = Draft(name, events_of(name), schema, event_row, self.log, context)
        lost = self._take(draft, name, node, context)
        retaken = self._again(draft, name, context) if name in self.reingest else Again()
        doubts = doubtful(context, name, draft.start, draft.base, draft.release) if name in self.reingest else None
        subject = subject_of(context, name, _checks(node))
        written = (*draft.write(retaken.entries), *draft.taken_back(doubts))
        good, aside, results = set_aside(context, subject, written, draft.target)
        aside = (*aside, *still_broken(context, name, doubts))
        counting = Counting(context, draft.target, good, base=draft.kept)
        snapshot = draft.commit(good)
        counted = counting.of(snapshot)
        judged = (*judge(context, subject, snapshot), *unusual(context, subject, counted))
        results = ordered(subject.checks, results, judged)
        refuse(name, results, where=context.graph[name].where, kept=snapshot.id)
        anew = draft.base is None or doubts is not None
        apart = keep_aside(context, name, aside, replaced="all" if anew else frozenset(), release=draft.release)
        letters = dead_letters(context, name, self.log)
        quarantined = sum(file.rows for file in aside) + len(draft.unreadable)
        unread = keep(context, name, [*draft.unreadable, *letters.found], letters.end, retaken.left)
        return StepResult(
            tables={name: snapshot, **apart, **unread},
            cutovers=_cutover(name, node, context),
            rows_in=draft.rows + len(letters.found),
            published=draft.rows - quarantined,
            quarantined=quarantined + len(letters.found),
            checks=results,
            message="; ".join(filter(None, (lost, retaken.message, draft.message, letters.message))),
            records=(counted,),
        )

    def _again(self, draft: Draft, name: str, context: Context) -> Again:
        ahead = AHEAD if self.taking is None else self.taking.ahead
        return again(context, name, self.log, ahead, draft.refused, draft.lacking)

    def _take(self, draft: Draft, name: str, node: Stream, context: Context) -> str:
        """Take what is new in the topic that feeds a stream. Return a text about messages that are lost."""
        if not isinstance(node.from_, Kafka):
            return ""
        draft.topic = node.from_.topic
        if self.taking is None:
            return ""
        draft.observed = settled(node.from_, self.taking.root)
        return self.taking(context, name, node.from_, self.log, topic_positions(draft.base, draft.topic))


def _checks(node: Stream) -> tuple[Check, ...]:
    """Return the stream's checks. A client resends after a lost answer, so a repeated key is reported and does not
    block.

    In a stream of changes a key occurs once per change.
    """
    if node.changes:
        return node.checks
    own = set(node.checks)
    return tuple(
        replace(check, severity="warn") if isinstance(check, Unique) and check not in own else check
        for check in declared(node)
    )


def _cutover(name: str, node: Stream, context: Context) -> dict[str, datetime]:
    """Return the instant from which events count. It is recorded once: right after the last row of the history, or that
    of the run if it has none yet."""
    if name in context.release.cutovers or node.history is None:
        return {}
    past = context.graph[context.graph.name_of(node.history)]
    assert past.read is not None
    with context.session(leaves(past.read)) as session:
        latest = session.fetch(past.read.aggregate(latest=past.read[node.time].max()))["latest"][0].as_py()
    return {name: now() if latest is None else latest + timedelta(microseconds=1)}

"""Answers of predictions as JSON, and their counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.logs.records import CHAMPION
from mainstem.nodes.instants import instant_of
from mainstem.nodes.latencies import LATE
from mainstem.serving.answer import Answer
from mainstem.serving.choosing import Chosen
from mainstem.serving.forecasting import Forecasted
from mainstem.serving.http.messages import Response, encode
from mainstem.serving.predictor import Predictor
from mainstem.serving.service import Service
from mainstem.streaming.rows import iso


def response(predictor: Predictor, body: Any, found: Sequence[dict[str, Any]]) -> Response:
    """Return the response to a body: one answer to one row, or a list. Answers are encoded one by one, so that other
    threads take turns meanwhile."""
    head = _head(predictor)
    if isinstance(body, dict) and "rows" not in body:
        return Response(encode({**head, **found[0]}))
    rows = b",".join(encode(each) for each in found)
    return Response(encode(head)[:-1] + b',"predictions":[' + rows + b"]}")


def counted(
    service: Service, predictor: Predictor, answers: Sequence[Answer | Chosen | Forecasted]
) -> list[dict[str, Any]]:
    """Count many answers, and return them as JSON has them."""
    count(service, predictor, answers)
    return [shown(answer) for answer in answers]


def _head(predictor: Predictor) -> dict[str, Any]:
    return {"endpoint": predictor.name, "model": predictor.version.model, "version": predictor.version.id}


def count(service: Service, predictor: Predictor, answers: Sequence[Answer | Chosen | Forecasted]) -> None:
    """Count predictions and decisions of each version that answered."""
    by = dict[str, list[Answer | Chosen | Forecasted]]()
    for answer in answers:
        version = (isinstance(answer, (Answer, Chosen)) and answer.version) or predictor.version.id
        by.setdefault(version, []).append(answer)
    for version, some in by.items():
        unknown = sum(any(flag.startswith("unknown:") for flag in answer.flags) for answer in some)
        service.metrics.predicted(predictor.name, version, len(some), unknown)
        service.metrics.late(predictor.name, sum(LATE in answer.flags for answer in some))
        each_one = [one for each in some for one in (each.items if isinstance(each, Forecasted) else (each,))]
        made = [one.decision for one in each_one if isinstance(one, Answer) and decides(one)]
        service.metrics.decided(predictor.name, version, made)


def decides(answer: Answer) -> bool:
    """Return whether the endpoint decides: by a policy, or by a threshold of its own or of the version."""
    return answer.decision is not None or answer.policy is not None


def shown(answer: Answer | Chosen | Forecasted) -> dict[str, Any]:
    """Return an answer as JSON. A binary score is P(true); several scores are shown by name too.

    `decision` is present if the endpoint has a policy, or the endpoint or the version a threshold. `version` is present
    if it is not the champion.
    """
    if isinstance(answer, (Chosen, Forecasted)):
        by = {"version": answer.version} if isinstance(answer, Chosen) and answer.role != CHAMPION else {}
        return {"id": answer.id, **by, "time": iso(instant_of(answer.time)), **answer.shown()}
    found: dict[str, Any] = {
        "id": answer.id,
        **({} if answer.role == CHAMPION else {"version": answer.version}),
        "time": iso(instant_of(answer.time)),
        "score": answer.score,
        **({"decision": answer.decision} if decides(answer) else {}),
        **({} if answer.policy is None else {"values": answer.values, "policy": answer.policy}),
        **({} if answer.label is None else {"label": answer.label}),
        **({} if not answer.scores else {"scores": answer.scores}),
        "features": answer.features,
    }
    return {**found, "flags": list(answer.flags)} if answer.flags else found

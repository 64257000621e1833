"""The Open Inference Protocol, version 2: paths, tensors and errors as its REST specification has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.project.live import service
from mainstem.serving.keys import create

TENSOR = {"name", "shape", "datatype", "data"}


def body(worlds: Any, count: int = 2, **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": "flight_id", "shape": [count, 1], "datatype": "BYTES", "data": [[f"F{n}"] for n in range(count)]},
        {"name": "distance", "shape": [count], "datatype": "FP32", "data": [500.0 + n for n in range(count)]},
        {"name": "time", "shape": [count], "datatype": "BYTES", "data": [worlds.NOON.isoformat()] * count},
    ]
    return {"inputs": inputs, **more}


def outputs(answer: Any) -> dict[str, Any]:
    found = answer.json()["outputs"]
    assert all(set(each) == TENSOR for each in found)
    return {each["name"]: each for each in found}


def test_the_server_and_the_model_are_told(http: Any) -> None:
    from mainstem import __version__

    assert http.get("/v2").json() == {"name": "mainstem", "version": __version__, "extensions": []}
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/arrivals", "/v2/models/arrivals/versions/late-1", "/v2/models/arrivals/versions/1"):
        told = http.get(path).json()
        assert (told["name"], told["versions"], told["platform"]) == ("arrivals", ["late-1"], "mainstem")
        assert told["inputs"][:2] == [
            {"name": "flight_id", "datatype": "BYTES", "shape": [-1]},
            {"name": "distance", "datatype": "FP64", "shape": [-1]},
        ]
        assert [each["name"] for each in told["outputs"]] == ["id", "time", "score", "flags"]
        assert http.get(f"{path}/ready").json() == {"name": "arrivals", "ready": True}


def test_an_answer_is_that_of_the_native_protocol_and_logged(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    rows = [{"flight_id": f"F{n}", "distance": 500.0 + n, "time": worlds.NOON.isoformat()} for n in range(2)]
    native = http.post("/predict/arrivals", json={"rows": rows}).json()["predictions"]
    before = world.store.end("predictions/arrivals")
    for path in ("/v2/models/arrivals/infer", "/v2/models/arrivals/versions/late-1/infer"):
        answer = http.post(path, json=body(worlds, id="mine"))
        assert answer.status_code == 200
        assert {k: v for k, v in answer.json().items() if k != "outputs"} == {
            "model_name": "arrivals",
            "model_version": "late-1",
            "id": "mine",
        }
        found = outputs(answer)
        assert found["score"] == {
            "name": "score",
            "datatype": "FP64",
            "shape": [2],
            "data": [n["score"] for n in native],
        }
        assert found["time"]["data"] == [each["time"] for each in native] and len(set(found["id"]["data"])) == 2
    assert world.store.end("predictions/arrivals") == before + 4


def test_outputs_can_be_chosen_and_reasons_asked_for(http: Any, worlds: Any) -> None:
    answer = http.post("/v2/models/arrivals/infer", json=body(worlds, outputs=[{"name": "score"}]))
    assert list(outputs(answer)) == ["score"] and "id" not in answer.json()
    refused = http.post("/v2/models/arrivals/infer", json=body(worlds, parameters={"reasons": 3}))
    assert refused.status_code == 503 and "does not give reasons" in refused.json()["error"]


def changed(given: dict[str, Any], place: int, **more: Any) -> dict[str, Any]:
    return {**given, "inputs": [{**each, **more} if n == place else each for n, each in enumerate(given["inputs"])]}


@pytest.mark.parametrize(
    ("place", "more", "told"),
    [
        (1, {"datatype": "BYTES"}, "wrong datatype"),
        (0, {"datatype": "INT64"}, "wrong datatype"),
        (1, {"shape": [3]}, "another number of elements"),
        (1, {"shape": [2, 2]}, "wrong shape"),
        (1, {"shape": "2"}, "wrong shape"),
        (1, {"shape": [10**400]}, "wrong shape"),
        (1, {"datatype": []}, "wrong datatype"),
        (1, {"name": []}, "unknown input"),
        (1, {"data": None}, "no `data`"),
        (1, {"name": "distnce"}, "did you mean 'distance'?"),
        (1, {"name": "time"}, "given twice|wrong datatype"),
        (1, {"data": ["far", "near"]}, "wrong type or value"),
        (1, {"shape": [1], "data": [1.0]}, "differ in rows"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(
    http: Any, served: Any, worlds: Any, place: int, more: dict[str, Any], told: str
) -> None:
    answer = http.post("/v2/models/arrivals/infer", json=changed(body(worlds), place, **more))
    assert answer.status_code == 400 and set(answer.json()) == {"error"}
    assert any(each in answer.json()["error"] for each in told.split("|")), answer.json()
    assert served[0].store.end("predictions/arrivals") == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "not an inference request"),
        ({"inputs": []}, "not a list of tensors"),
        ({"inputs": [3]}, "not a list of tensors"),
        ({"inputs": [{"name": "distance", "shape": [0], "datatype": "FP64", "data": []}]}, "no rows"),
        ({"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [1.0]}]}, "'flight_id' is missing"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(http: Any, given: Any, told: str) -> None:
    answer = http.post("/v2/models/arrivals/infer", json=given)
    assert answer.status_code == 400 and told in answer.json()["error"]


def test_an_unknown_output_is_refused_before_it_is_logged(http: Any, served: Any, worlds: Any) -> None:
    answer = http.post("/v2/models/arrivals/infer", json=body(worlds, outputs=[{"name": "scor"}]))
    assert answer.status_code == 400 and "unknown output 'scor'" in answer.json()["error"]
    assert served[0].store.end("predictions/arrivals") == 0


def test_unknown_models_and_versions(http: Any, worlds: Any) -> None:
    for path in ("/v2/models/arivals", "/v2/models/arrivals/versions/9"):
        for answer in (http.get(path), http.get(f"{path}/ready"), http.post(f"{path}/infer", json=body(worlds))):
            assert answer.status_code == 404 and set(answer.json()) == {"error"}


def test_a_body_without_its_type_is_refused_as_the_protocol_has_it(http: Any) -> None:
    answer = http.post("/v2/models/arrivals/infer", content=b"{}")
    assert answer.status_code == 415 and answer.json()["error"].startswith("the body does not say that it is JSON")


def test_with_keys_all_but_the_health_needs_one(worlds: Any, world: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    key = {"authorization": f"Bearer {create(world.state, 'shop', ['predict'])}"}
    with worlds.listening(world.service()) as client:
        assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
        for path in ("/v2", "/v2/models/arrivals", "/v2/models/arrivals/ready"):
            assert client.get(path).status_code == 401 and client.get(path, headers=key).status_code == 200
        refused = client.post("/v2/models/arrivals/infer", json=body(worlds))
        assert refused.status_code == 401 and refused.json()["error"].startswith("the API key is missing")
        assert client.post("/v2/models/arrivals/infer", json=body(worlds), headers=key).status_code == 200


def test_an_endpoint_without_a_champion_is_not_ready(worlds: Any, world: Any) -> None:
    with worlds.listening(world.service()) as client:
        ready = client.get("/v2/models/arrivals/ready")
        assert ready.status_code == 400 and ready.json() == {"name": "arrivals", "ready": False}
        answer = client.post("/v2/models/arrivals/infer", json=body(worlds))
        assert answer.status_code == 503 and "has no champion yet" in answer.json()["error"]


def test_several_classes_are_one_tensor(worlds: Any, world: Any) -> None:
    world.promote(worlds.artifact(world.root, 1, classes={"a": 0.2, "b": 0.5, "c": 0.3}))
    with worlds.listening(world.service()) as client:
        found = outputs(client.post("/v2/models/arrivals/infer", json=body(worlds)))
    assert found["scores"]["shape"] == [2, 3] and found["scores"]["data"] == pytest.approx([0.2, 0.5, 0.3] * 2)
    assert found["label"]["data"] == ["b", "b"] and found["label"]["datatype"] == "BYTES"


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    """A decision by cost, and a choice among prices."""
    schema = {"id": "string", "price": "float64", "new": "boolean", "seats": "int64", "sold": "boolean"}
    sales = ms.files("sales.csv", key="id", schema=schema, known="always")
    model = ms.model(sales, target="sold", features=["price", "new", "seats"], candidates=["linear"])
    decide = ms.endpoint(model, decide=ms.cheapest(ask=_.score, wait=0.5))
    chosen = ms.endpoint(model, candidates=ms.grid(price=ms.steps(1, 9, 1)), decide=ms.best(_.price * _.score))
    rows = [
        {"id": f"s{n}", "price": float(n % 9), "new": n % 2 == 0, "seats": n % 4, "sold": n * 7919 % 13 > n % 9}
        for n in range(200)
    ]
    with ms.testing.project(
        {"sales": sales, "model": model, "decide": decide, "chosen": chosen}, {"sales": rows}
    ) as made:
        made.run()
        made.promote("model")
        yield made


def test_decisions_and_choices(worlds: Any, shop: Any) -> None:
    price = {"name": "price", "shape": [1], "datatype": "FP64", "data": [3.0]}
    others = [
        {"name": "new", "shape": [1], "datatype": "BOOL", "data": [True]},
        {"name": "seats", "shape": [1], "datatype": "UINT8", "data": [2]},
    ]
    with worlds.listening(service(shop)) as client:
        native = client.post("/predict/decide", json={"price": 3.0, "new": True, "seats": 2}).json()
        answer = client.post("/v2/models/decide/infer", json={"inputs": [price, *others], "parameters": {"reasons": 2}})
        found = outputs(answer)
        assert found["decision"]["data"] == [native["decision"]] and found["values"]["datatype"] == "BYTES"
        assert found["reasons"]["data"][0].startswith('[{"input":')
        choice = client.post("/v2/models/chosen/infer", json={"inputs": others})
        chosen = outputs(choice)["answer"]["data"][0]
        best = client.post("/predict/chosen", json={"new": True, "seats": 2}).json()["decision"]
        assert f'"price": {best["price"]}' in chosen

"""A fitted ONNX model of one's own: measured, gated and served; what cannot be is refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pandas
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, MainstemError, ModelError, UnknownName
from mainstem.models.algorithms.onnx_model import _CONTENT, OnnxModel
from mainstem.models.artifact import export, gate
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.engineering import fit
from mainstem.nodes.engineering import Ratios, Selection
from mainstem.nodes.sampling import Sampling
from mainstem.project.resolve import resolve

NUMBERS = ("area", "rooms", "price")
SCHEMA = {"id": "string", **dict.fromkeys(NUMBERS, "float64"), "city": "string", "dear": "boolean"}


def homes(n=300):
    random = np.random.default_rng(0)
    found = []
    for i in range(n):
        area, rooms, city = random.uniform(20, 200), random.integers(1, 7), str(random.choice(["Rome", "Oslo"]))
        price = 3.0 * area + 20 * rooms + (100 if city == "Rome" else 0) + random.normal(0, 10)
        row = {"id": f"h{i}", "area": float(area), "rooms": float(rooms), "city": city}
        found.append({**row, "price": float(price), "dear": bool(price > 450)})
    return found


ROWS = homes()
X = np.array([[each["area"], each["rooms"]] for each in ROWS], np.float32)
Y = np.array([each["price"] for each in ROWS])
DEAR = np.array([each["dear"] for each in ROWS])


def model_of(nodes, inputs, outputs, constants=(), opset=18, domains=()):
    graph = helper.make_graph(nodes, "own", inputs, outputs, list(constants))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(each, 1) for each in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def linear(name="x", rows="rows", width=2, opset=18, kind=T.FLOAT):
    weight = numpy_helper.from_array(np.array([[3.0], [20.0]], np.float32)[:width], "w")
    return model_of(
        [helper.make_node("MatMul", [name, "w"], ["y"])],
        [helper.make_tensor_value_info(name, kind, [rows, width])],
        [helper.make_tensor_value_info("y", T.FLOAT, [rows, 1])],
        [weight],
        opset,
    )


def candidate(model, **options):
    """A candidate of a model in memory."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    _CONTENT["here"] = content
    given = {"inputs": (), "output": None, "missing": None, **options}
    return OnnxModel("own.onnx", **given, sha256="here")


def examples(task="regression"):
    y = {"regression": Y, "binary": DEAR.astype(np.int64), "multiclass": (Y // 300).astype(np.int64).clip(0, 2)}[task]
    texts = np.array([each["city"] for each in ROWS], object)[:, None]
    names = ("area", "rooms", "city")
    classes = 3 if task == "multiclass" else 0
    return Examples(Rows(X.copy(), texts), y, np.zeros(len(Y), np.int64), task, classes, names=names)


def gated(model, task="regression", **options):
    found = examples(task)
    fitted = candidate(model, **options).fit(found)
    gate.check(fitted, export.graph(fitted, 2, 1, task, found.classes), found.rows)
    return fitted.scores(found.rows)


def by_name():
    """A pipeline whose model has an input for each column."""
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    inside = [("numbers", StandardScaler(), ["area", "rooms"]), ("texts", texts, ["city"])]
    frame, number = pandas.DataFrame(ROWS)[["area", "rooms", "city"]], FloatTensorType([None, 1])
    fitted = make_pipeline(ColumnTransformer(inside), LogisticRegression()).fit(frame, DEAR.astype(int))
    kinds = [("area", number), ("rooms", number), ("city", StringTensorType([None, 1]))]
    options = {id(fitted): {"zipmap": False}}
    model = convert_sklearn(fitted, initial_types=kinds, options=options, target_opset=17)
    return model, fitted.predict_proba(frame)[:, 1]


def test_a_matrix_and_columns_by_name_are_bound():
    assert gated(linear()) == pytest.approx(X @ [3.0, 20.0], rel=1e-5)
    model, expected = by_name()
    assert gated(model, "binary") == pytest.approx(expected, abs=1e-4)


def test_the_order_of_columns_can_be_named():
    assert gated(linear(), inputs=("rooms", "area")) == pytest.approx(X[:, ::-1] @ [3.0, 20.0], rel=1e-5)


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_other_opsets_are_converted(opset):
    assert gated(linear(opset=opset)) == pytest.approx(X @ [3.0, 20.0], rel=1e-5)


@pytest.mark.parametrize("kind", [T.DOUBLE, T.INT64, T.INT32, T.BOOL])
def test_numbers_of_other_types(kind):
    nodes = [helper.make_node("Cast", ["rooms"], ["f"], to=T.FLOAT), helper.make_node("Neg", ["f"], ["y"])]
    model = model_of(
        nodes,
        [helper.make_tensor_value_info("rooms", kind, ["n"])],
        [helper.make_tensor_value_info("y", T.FLOAT, ["n"])],
    )
    expected = -(X[:, 1] != 0).astype(float) if kind == T.BOOL else -X[:, 1]
    assert gated(model) == pytest.approx(expected)


def test_classes():
    y = (Y // 300).astype(int).clip(0, 2)
    fitted = LogisticRegression(max_iter=2_000).fit(X, y)
    model = to_onnx(fitted, X[:1], options={id(fitted): {"zipmap": False}}, target_opset=18)
    assert gated(model, "multiclass") == pytest.approx(fitted.predict_proba(X), abs=1e-3)


def test_missing_numbers_have_a_value():
    found = examples()
    found.rows.floats[::5, 0] = np.nan
    fitted = candidate(linear(), missing=7.0).fit(found)
    gate.check(fitted, export.graph(fitted, 2, 1, "regression"), found.rows)
    assert fitted.scores(found.rows)[0] == pytest.approx(21 + 20 * X[0, 1])


def external():
    model = linear()
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = T.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../../../etc/passwd")
    return model


def external_in_a_function():
    stored = numpy_helper.from_array(np.array([[3.0], [20.0]], np.float32), "w")
    stored.ClearField("raw_data")
    stored.data_location = T.EXTERNAL
    stored.external_data.add(key="location", value="../../../etc/passwd")
    inner = [helper.make_node("Constant", [], ["k"], value=stored), helper.make_node("MatMul", ["a", "k"], ["b"])]
    model = model_of(
        [helper.make_node("F", ["x"], ["y"], domain="mine")],
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", T.FLOAT, ["n", 1])],
        domains=("mine",),
    )
    model.functions.append(helper.make_function("mine", "F", ["a"], ["b"], inner, [helper.make_opsetid("", 18)]))
    return model


def custom():
    return model_of(
        [helper.make_node("Secret", ["x"], ["y"], domain="com.acme")],
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", T.FLOAT, ["n", 1])],
        domains=("com.acme",),
    )


def zipmap():
    fitted = LogisticRegression().fit(X, DEAR)
    model = to_onnx(fitted, X[:1], target_opset=18)
    del model.graph.output[0]
    return model


@pytest.mark.parametrize(
    ("model", "what", "got"),
    [
        (b"not a model", "the file is not an ONNX model", ""),
        (external(), "the model keeps numbers in files beside it", "etc/passwd"),
        (external_in_a_function(), "the model keeps numbers in files beside it", "etc/passwd"),
        (custom(), "the model has custom operators", "com.acme.Secret"),
        (linear("aera", width=1), "unknown input of the model 'aera'", None),
        (linear(rows=8), "the input 'x' has a fixed number of rows", "[8, 2]"),
        (linear(width=1, name="city"), "the input 'city' is of numbers, and the column is not", "float"),
        (linear(kind=T.FLOAT16), "the input 'x' has a type that columns do not have", ""),
        (zipmap(), "the model has no output of numbers", "sequence_type"),
    ],
    ids=["bytes", "external", "external in a function", "custom", "name", "rows", "text", "type", "zipmap"],
)
def test_what_cannot_be_a_part_of_an_artifact_is_refused(model, what, got):
    with pytest.raises((ModelError, UnknownName)) as error:
        candidate(model).fit(examples())
    assert what in error.value.what and (got is None or got in str(error.value.got))


def test_a_matrix_of_another_width_is_refused():
    with pytest.raises(ModelError, match="the input 'x' has another shape") as error:
        candidate(linear(), inputs=("area",)).fit(examples())
    assert error.value.got == "[rows, 2]" and "area" in error.value.expected


def test_an_unknown_output_is_refused():
    with pytest.raises(UnknownName, match="unknown output of the model 'z'"):
        candidate(linear(), output="z").fit(examples())


def test_scores_of_another_task_are_refused():
    with pytest.raises(ModelError, match="does not give probabilities"):
        candidate(linear()).fit(examples("binary"))
    with pytest.raises(ModelError, match="does not score the task 'multiclass'"):
        candidate(linear()).fit(examples("multiclass"))


@pytest.mark.parametrize(
    "more",
    [
        {"sampling": Sampling(class_weight="balanced")},
        {"sampling": Sampling(resample="under")},
        {"sampling": Sampling(max_rows=50)},
        {"select": Selection()},
        {"engineer": (Ratios(("area", "rooms")),)},
    ],
    ids=str,
)
def test_what_other_candidates_learn_from_does_not_change_its_scores(more):
    """Probabilities of an algorithm that learned from weighed classes are corrected back. It learned from others."""
    model, expected = by_name()
    found = replace(examples("binary"), **more)
    fitted = fit(candidate(model), found)
    assert fitted.scores(found.rows) == pytest.approx(expected, abs=1e-4)
    gate.check(fitted, export.graph(fitted, 2, 1, "binary"), found.rows)


# ── in a project ──────────────────────────────────────────────────────────────────────────────────────


def nodes(path, **options):
    source = ms.files("homes.parquet", key="id", schema=SCHEMA)
    own = ms.onnx_model(str(path))
    price = ms.model(source, target="price", features=["area", "rooms"], candidates=own, folds=2, **options)
    return {"homes": source, "price": price, "offers": ms.endpoint(price)}


@pytest.mark.parametrize(
    "more",
    [{"tune": 5}, {"weight": "rooms"}, {"max_rows": 50}, {"select": "auto"}, {"engineer": ms.ratios()}],
    ids=lambda each: next(iter(each)),
)
def test_settings_of_fits_are_refused_where_no_candidate_is_fitted(tmp_path, more):
    onnx.save(linear(), tmp_path / "own.onnx")
    with pytest.raises(DefinitionError) as error:
        resolve(nodes(tmp_path / "own.onnx", **more), {})
    assert error.value.what == f"`{next(iter(more))}` does nothing: no candidate is fitted" and error.value.where
    assert resolve(nodes(tmp_path / "own.onnx", engineer=[], select="none"), {})["price"].fingerprint


def test_it_is_measured_registered_promoted_and_served(tmp_path):
    onnx.save(linear(), tmp_path / "own.onnx")
    with mainstem.testing.project(nodes(tmp_path / "own.onnx"), data={"homes": ROWS}) as project:
        project.run()
        card = project.report("price").to_dict()
        assert card["algorithm"] == "own.onnx" and card["settings"]["file"].endswith("own.onnx")
        assert card["metrics"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean((Y - X @ [3, 20]) ** 2)), rel=1e-3)
        project.promote("price")
        (answer,) = project.predict("offers", [{"area": 100.0, "rooms": 2.0}])
        assert answer["score"] == pytest.approx(340)
        assert project.reproduce("price-1").equal


def test_another_file_is_another_definition(tmp_path):
    from mainstem.project.resolve import resolve

    file, found = tmp_path / "own.onnx", set()
    for model in (linear(), linear(opset=17)):
        onnx.save(model, file)
        found.add(resolve(nodes(file), {})["price"].fingerprint)
    assert len(found) == 2


def test_a_file_that_is_missing_is_refused_at_its_line(tmp_path):
    with pytest.raises(DefinitionError, match="cannot be read") as error:
        nodes(tmp_path / "none.onnx")
    assert "test_onnx_model.py" in error.value.where


@pytest.mark.parametrize(("model", "what"), [(custom(), "custom operators"), (linear(width=1), "unknown input")])
def test_a_model_that_cannot_be_served_is_refused_at_load(tmp_path, model, what):
    from mainstem.project.resolve import resolve

    onnx.save(model, tmp_path / "own.onnx")
    with pytest.raises(MainstemError, match=what) as error:
        resolve(nodes(tmp_path / "own.onnx"), {})
    assert "test_onnx_model.py" in error.value.where


def test_scores_that_are_not_finite_do_not_pass_the_gate():
    random = np.random.default_rng(0)
    found = examples()
    found.rows.floats[random.random(len(Y)) < 0.1, 0] = np.nan  # which the model does not know
    fitted = candidate(linear()).fit(found)
    with pytest.raises(ModelError, match="does not score like the fitted model"):
        gate.check(fitted, export.graph(fitted, 2, 1, "regression"), found.rows)


def test_a_linear_regression_of_scikit_learn():
    fitted = LinearRegression().fit(X, Y)
    assert gated(to_onnx(fitted, X[:1], target_opset=18)) == pytest.approx(fitted.predict(X), rel=1e-4)

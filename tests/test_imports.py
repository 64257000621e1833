"""What importing costs: heavy libraries stay out until they are used."""

import subprocess
import sys
from pathlib import Path

HEAVY = {
    *("duckdb", "pyiceberg", "pandas", "sklearn", "lightgbm", "onnx", "xgboost", "catboost", "skl2onnx"),
    *("onnxruntime", "dlt", "parsel", "protego", "redis", "scipy", "uvicorn"),
}


def loaded(program: str) -> set[str]:
    whole = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_mainstem_brings_only_what_is_used() -> None:
    modules = loaded("import mainstem as ms")
    assert not modules & (HEAVY | {"ibis", "pyarrow", "numpy", "sqlalchemy"})


def test_declaring_and_planning_bring_nothing_heavy() -> None:
    modules = loaded("import mainstem as ms; ms.files, ms.table, ms.model, ms.load")
    assert not modules & HEAVY


def test_every_public_name_is_there() -> None:
    import mainstem as ms

    assert all(getattr(ms, name) is not None for name in ms.__all__)
    assert set(ms.__all__) <= set(dir(ms))


def test_no_room_has_the_name_of_something_public() -> None:
    import mainstem as ms

    rooms = {path.name for path in Path(str(ms.__file__)).parent.iterdir() if path.is_dir()}
    assert rooms & set(ms.__all__) == {"testing"}

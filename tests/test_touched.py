"""`make quick` runs the tests of what a change touches, and says what it leaves out."""

from touched import MANY, touched

TESTS = {
    "tests/features/test_retrieval.py": "from mainstem.features.retrieval import retrieval_of\n",
    "tests/features/test_dataset.py": "from mainstem.features import retrieval\n",
    "tests/features/test_retrievals.py": "from mainstem.features.retrievals import other\n",
    "tests/graph/test_dag.py": "from mainstem.graph.dag import Dag\n",
    "tests/test_docs.py": "",
    "tests/demo/test_demo.py": "",
} | {f"tests/many/test_{n}.py": "from mainstem.errors import MainstemError\n" for n in range(MANY + 1)}


def test_a_module_touches_its_mirror_and_those_that_import_it() -> None:
    chosen, left_out = touched(["src/mainstem/features/retrieval.py"], TESTS)
    assert chosen == {"tests/features/test_retrieval.py", "tests/features/test_dataset.py"}
    assert not left_out


def test_what_many_import_is_left_to_the_whole_suite() -> None:
    chosen, left_out = touched(["src/mainstem/errors.py", "README.md", "tests/graph/test_dag.py"], TESTS)
    assert chosen == {"tests/test_docs.py", "tests/graph/test_dag.py"}
    assert left_out == [f"{MANY + 1} test files import src/mainstem/errors.py: run make unit"]


def test_slow_files_are_named_and_not_run() -> None:
    chosen, left_out = touched(["tests/demo/test_demo.py"], TESTS)
    assert not chosen
    assert left_out == ["tests/demo/test_demo.py is slow: run it by name"]

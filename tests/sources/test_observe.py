import subprocess
import sys

from mainstem.nodes.sources import files
from mainstem.sources.observe import observe


def test_files_tell_by_their_listing(tmp_path):
    node = files("*.csv")
    empty = observe(node, tmp_path, None)
    (tmp_path / "a.csv").write_text("a\n1\n")
    one = observe(node, tmp_path, None)
    assert one != empty
    assert observe(node, tmp_path, None) == one
    (tmp_path / "a.csv").write_text("a\n22\n")
    assert observe(node, tmp_path, None) != one


def test_looking_needs_no_heavy_library():
    heavy = ("duckdb", "pyarrow", "dlt", "scrapy", "pyiceberg", "sqlalchemy", "requests")
    program = f"import sys, mainstem.sources.observe; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"

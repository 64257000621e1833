"""The units in which two versions are compared: whole groups, and each row without a group alone."""

import pyarrow as pa

from mainstem.models.versions.comparing import _groups
from mainstem.nodes.hidden import GROUP, T


def test_a_row_without_a_group_is_a_group_of_its_own():
    names = ["a", None, "a", None, "b"]
    rows = pa.table({T: pa.nulls(5, pa.timestamp("us", "UTC")), GROUP: pa.array(names)})
    found = _groups(rows).tolist()
    assert found[0] == found[2] and len(set(found)) == 4

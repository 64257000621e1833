"""Which stored files may have a key, from their statistics."""

import pyarrow as pa
import pyarrow.parquet as pq

from mainstem.sources.merging import leaf


def test_a_field_of_a_struct_is_not_the_column_of_its_name(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"shop": [{"id": 900}, {"id": 901}], "id": [1, 2]}), path)
    data = pq.read_metadata(path)
    place = leaf(data, "id")
    assert data.row_group(0).column(place).statistics.min == 1
    assert leaf(data, "shop") is None and leaf(data, "nothing") is None

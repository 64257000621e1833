"""Files at a real S3 server on loopback."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mainstem.errors import SourceError
from mainstem.nodes.files import files
from mainstem.sources.inspection import UNREACHABLE, observe
from s3 import s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        yield found


@pytest.fixture
def bucket(server, request):
    name = request.node.name.replace("_", "-").lower()[:60].rstrip("-")
    server.system.create_dir(name)
    return name


def put(server, path, content):
    with server.system.open_output_stream(path) as stream:
        stream.write(content)


def rows(bench):
    return sorted((row["id"], row["_file"]) for row in bench.rows())


def test_files_of_a_bucket_are_collected_and_only_what_is_new_is_fetched(bench, server, bucket):
    put(server, f"{bucket}/2024/a.csv", b"id,v\n1,x\n")
    put(server, f"{bucket}/2025/b.csv", b"id,v\n2,y\n")
    put(server, f"{bucket}/2025/note.txt", b"no data")
    source = files(f"s3://{bucket}/**/*.csv", key="id", storage=server.storage)
    bench.collect(source)
    assert rows(bench) == [(1, f"s3://{bucket}/2024/a.csv"), (2, f"s3://{bucket}/2025/b.csv")]
    assert bench.collect(source).message == "nothing new"
    put(server, f"{bucket}/2025/c.csv", b"id,v\n3,z\n")
    outcome = bench.collect(source)
    assert (outcome.rows_in, outcome.message) == (1, "1 file")
    put(server, f"{bucket}/2024/a.csv", b"id,v\n7,x\n8,x\n")
    bench.collect(source)
    assert [id for id, _ in rows(bench)] == [2, 3, 7, 8]


def test_parquet_and_packed_files_are_fetched_too(bench, server, bucket):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [1, 2]}), sink)
    put(server, f"{bucket}/a.parquet", sink.getvalue().to_pybytes())
    bench.collect(files(f"s3://{bucket}/*.parquet", storage=server.storage))
    assert [id for id, _ in rows(bench)] == [1, 2]
    put(server, f"{bucket}/a.csv.gz", gzip.compress(b"id\n5\n"))
    bench.collect(files(f"s3://{bucket}/a.csv.gz", storage=server.storage))
    assert rows(bench) == [(5, f"s3://{bucket}/a.csv.gz")]


def test_a_plan_sees_a_new_file_and_an_unreachable_server(bench, server, bucket, free_port):
    put(server, f"{bucket}/a.csv", b"id\n1\n")
    source = files(f"s3://{bucket}/*.csv", storage=server.storage)
    first = observe(source, bench.root, None)
    assert first == observe(source, bench.root, None) != UNREACHABLE
    put(server, f"{bucket}/b.csv", b"id\n2\n")
    assert observe(source, bench.root, None) != first
    nowhere = {**server.storage, "endpoint": f"http://127.0.0.1:{free_port()}"}
    assert observe(files(f"s3://{bucket}/*.csv", storage=nowhere), bench.root, None) == UNREACHABLE


def test_nothing_matches_and_no_bucket_are_errors_without_secrets(bench, server, bucket, monkeypatch):
    monkeypatch.setenv("S3_SECRET", "very-secret-value")
    storage = {**server.storage, "secret_key": "${env:S3_SECRET}"}
    with pytest.raises(SourceError, match="no file matches"):
        bench.collect(files(f"s3://{bucket}/*.csv", storage=storage), schema={"id": "int64"})
    with pytest.raises(SourceError) as error:
        bench.collect(files("s3://no-such-bucket-here/*.csv", storage=storage), schema={"id": "int64"})
    assert "no-such-bucket-here" in str(error.value)
    assert "very-secret-value" not in str(error.value)


def test_a_scheme_that_nothing_opens_is_refused(bench):
    with pytest.raises(SourceError, match="nothing opens nosuch://"):
        bench.collect(files("nosuch://place/*.csv"), schema={"id": "int64"})


def test_another_scheme_is_opened_by_fsspec(bench):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/shop/a.csv", b"id\n1\n")
    source = files("memory:///shop/*.csv")
    bench.collect(source)
    assert [id for id, _ in rows(bench)] == [1]
    memory.pipe("/shop/a.csv", b"id\n2\n")  # as long as before, and this file system tells no time of change
    bench.collect(source)
    assert [id for id, _ in rows(bench)] == [2]
    assert bench.collect(source).message == "nothing new"

import shutil
import signal
import subprocess
import sys
import textwrap
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import ConflictError, StorageError
from mainstem.stores.checks import sealed
from mainstem.stores.environment import Environment
from mainstem.stores.lmdb import LmdbStore
from mainstem.testing.contracts.store import StoreContract

SMALL = 1 << 17


def run(script: str, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=input, timeout=120)


@pytest.fixture
def open_store(tmp_path: Path):
    opened: list[LmdbStore] = []

    def open_once_more() -> LmdbStore:
        opened.append(LmdbStore(tmp_path / "store", sync=False))
        return opened[-1]

    yield open_once_more
    for store in opened:
        store.close()


class TestLmdb(StoreContract):
    pass


@pytest.fixture
def small(tmp_path: Path):
    store = LmdbStore(tmp_path / "store", map_size=SMALL, sync=False)
    yield store
    store.close()


def test_a_full_map_grows_within_the_transaction(small: LmdbStore):
    with small.transaction() as writer:
        writer.put("a", b"first", b"1")
        assert writer.get("a", b"first") == b"1"
        assert writer.append("log", [b"0"]) == 0
        for n in range(2_000):
            writer.put("a", b"%d" % n, b"v" * 1_000)
            writer.append("log", [b"%d" % n])
        writer.delete("a", b"7")
        writer.put("big", b"k", b"x" * (20 * SMALL))
    assert small.count("a") == 2_000
    assert small.read("a", [b"first", b"7", b"1999"]) == [b"1", None, b"v" * 1_000]
    assert small.read("big", [b"k"]) == [b"x" * (20 * SMALL)]
    assert [offset for offset, _ in small.entries("log", 0)] == list(range(2_001))


def test_a_map_that_fills_at_the_commit_or_while_clearing(small: LmdbStore):
    for turn in range(30):
        with small.transaction() as writer:
            writer.clear("a")
            for n in range(100 * turn):
                writer.put("a", b"%d" % n, b"%d" % turn)
        assert small.count("a") == 100 * turn


def test_another_process_has_grown_the_map(small: LmdbStore, tmp_path: Path):
    with small.transaction() as writer:
        writer.put("a", b"k", b"old")
    done = run(
        """
        import sys
        from mainstem.stores.lmdb import LmdbStore
        store = LmdbStore(sys.argv[1], map_size=int(sys.argv[2]), sync=False)
        with store.transaction() as writer:
            writer.put("a", b"big", b"x" * 10_000_000)
        store.close()
        """,
        str(tmp_path / "store"),
        str(SMALL),
    )
    assert done.returncode == 0, done.stderr
    assert small.read("a", [b"k", b"big"]) == [b"old", b"x" * 10_000_000]
    with small.transaction() as writer:
        writer.put("a", b"k", b"new")
    assert small.read("a", [b"k"]) == [b"new"]


@pytest.mark.parametrize("touched", [b"read", b"other"])
def test_another_writer_while_the_map_grows(small: LmdbStore, tmp_path: Path, touched: bytes, monkeypatch):
    """The transaction goes on only if all that it has read still holds."""
    with small.transaction() as writer:
        writer.put("a", b"read", b"1")
    environment = small._env
    grow, grown = environment.grow, []

    def interrupted() -> None:
        grow()
        if not grown:
            grown.append(True)
            with environment.begin() as transaction:
                stored = transaction.get(b"s\x00a", db=environment.names)
                at = environment.open(b"s\x00a", stored) + b"\x00" + touched
                transaction.put(at, environment.seal(at, b"2"), db=environment.values)

    monkeypatch.setattr(environment, "grow", interrupted)

    def transact() -> None:
        with small.transaction() as writer:
            before = int(writer.get("a", b"read") or b"0")
            writer.put("a", b"sum", b"%d" % (before + 1))
            writer.put("a", b"big", b"x" * (4 * SMALL))

    if touched == b"read":
        with pytest.raises(ConflictError):
            transact()
        assert small.read("a", [b"read", b"sum"]) == [b"2", None]
    else:
        transact()
        assert small.read("a", [b"read", b"sum", b"other"]) == [b"1", b"2", b"2"]
    with small.transaction() as writer:  # and the store can still be written
        writer.put("a", b"k", b"v")


def test_a_transaction_inside_a_transaction_is_refused(small: LmdbStore):
    with small.transaction() as writer:
        writer.put("a", b"k", b"v")
        with pytest.raises(StorageError, match="inside"), small.transaction():
            pass
    assert small.read("a", [b"k"]) == [b"v"]


KILLED = """
    import os, signal, sys
    from mainstem.stores.lmdb import LmdbStore
    store = LmdbStore(sys.argv[1])
    for n in range(1, 1_000):
        with store.transaction() as writer:
            writer.append("log", [b"x" * 100] * n)
            writer.append("blocks", [b"x" * 100 * n, b"y"], [n, 2])
            writer.put("a", b"n", str(n).encode())
            if n == 20:
                print("in the middle", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        print(n, flush=True)
"""


def test_killed_in_the_middle_of_a_transaction(tmp_path: Path):
    done = run(KILLED, str(tmp_path / "store"))
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = done.stdout.split("\n")
    assert acknowledged[-2] == "in the middle"
    store = LmdbStore(tmp_path / "store")
    assert store.read("a", [b"n"]) == [acknowledged[-3].encode()] == [b"19"]
    assert store.end("log") == sum(range(20)) == len(list(store.entries("log", 0)))
    with store.transaction() as writer:
        assert writer.append("log", [b"next"]) == sum(range(20))
    store.close()


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path):
    script = KILLED.replace("if n == 20", "if False")
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "40":
                process.kill()
                break
        later = process.stdout.read().split()
    acknowledged = int(later[-1]) if later else 40
    store = LmdbStore(tmp_path / "store")
    (found,) = store.read("a", [b"n"])
    assert found is not None
    # It may have been killed between the commit and the line that acknowledges it.
    assert int(found) in (acknowledged, acknowledged + 1)
    assert store.end("log") == sum(range(int(found) + 1)) == len(list(store.entries("log", 0)))
    sizes = [size for n in range(1, int(found) + 1) for size in (n, 2)]
    *offsets, end = accumulate(sizes, initial=0)
    assert [offset for offset, _ in store.entries("blocks", 0)] == offsets and store.end("blocks") == end
    store.close()


def test_a_map_that_cannot_grow_keeps_what_there_was_and_grows_later(tmp_path: Path):
    done = run(
        """
        import resource, sys
        from mainstem.errors import StorageError
        from mainstem.stores.lmdb import LmdbStore
        store = LmdbStore(sys.argv[1], map_size=8_000_000, sync=False)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 40_000_000, hard))
        value, written = b"x" * 500_000, 0
        try:
            while written < 400:
                with store.transaction() as writer:
                    writer.put("a", b"%d" % written, value)
                written += 1
        except StorageError as error:
            print(error.what, bool(error.hint))
        assert 0 < written < 400
        assert store.read("a", [b"0", b"%d" % written]) == [value, None] and store.count("a") == written
        with store.transaction() as writer:
            writer.put("a", b"0", b"small")
        assert store.read("a", [b"0"]) == [b"small"]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        with store.transaction() as writer:
            writer.put("a", b"big", value * 100)
        assert store.count("a") == written + 1
        print("unharmed")
        """,
        str(tmp_path / "store"),
    )
    assert done.stdout == "the online store is full and cannot grow True\nunharmed\n", done.stderr


OTHER = """
import sys
from mainstem.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], map_size=1_000_000, sync=False)
with store.transaction() as writer:
    writer.put("a", b"big", b"x" * 60_000_000)
store.close()
"""


def test_a_map_that_another_process_has_grown_too_far_is_opened_again_when_it_can(tmp_path: Path):
    done = run(
        """
        import resource, subprocess, sys, time
        from mainstem.errors import StorageError
        from mainstem.stores import lmdb
        from mainstem.stores.lmdb import LmdbStore
        store = LmdbStore(sys.argv[1], map_size=1_000_000, sync=False)
        with store.transaction() as writer:
            writer.put("a", b"k", b"old")
        subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], check=True)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, hard))
        for _ in range(3):
            try:
                store.read("a", [b"k"])
            except StorageError as error:
                print(error.what)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        time.sleep(lmdb.LOOK + 0.1)
        assert store.read("a", [b"k"]) == [b"old"]
        with store.transaction() as writer:
            writer.put("a", b"k", b"new")
        assert store.read("a", [b"k"]) == [b"new"] and len(store.read("a", [b"big"])[0]) == 60_000_000
        print("unharmed")
        """,
        str(tmp_path / "store"),
        OTHER,
    )
    assert done.stdout == "the online store cannot be used\n" * 3 + "unharmed\n", done.stderr


def test_a_full_disk_keeps_what_there_was(tmp_path: Path):
    done = run(
        """
        import resource, sys
        from mainstem.errors import StorageError
        from mainstem.stores.lmdb import LmdbStore
        store = LmdbStore(sys.argv[1])
        with store.transaction() as writer:
            writer.put("a", b"k", b"old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with store.transaction() as writer:
                writer.put("a", b"k", b"new")
                writer.put("a", b"big", b"x" * 1_000_000)
        except StorageError as error:
            print(error.what, bool(error.hint))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.read("a", [b"k", b"big"]) == [b"old", None]
        with store.transaction() as writer:
            writer.put("a", b"k", b"newer")
        assert store.read("a", [b"k"]) == [b"newer"]
        print("unharmed")
        """,
        str(tmp_path / "store"),
    )
    assert done.stdout == "the disk is damaged or full True\nunharmed\n", done.stderr


def test_two_processes_append_without_a_gap(tmp_path: Path):
    script = """
        import sys
        from mainstem.errors import ConflictError
        from mainstem.stores.lmdb import LmdbStore
        store = LmdbStore(sys.argv[1], map_size=1 << 17, sync=False)
        done = 0
        while done < 300:
            try:
                with store.transaction() as writer:
                    first = writer.append("log", [sys.argv[2].encode() * 100] * 3)
                    assert first % 3 == 0
                    writer.put("a", b"n", str(int(writer.get("a", b"n") or b"0") + 1).encode())
            except ConflictError:  # the map grew while the other wrote
                continue
            done += 1
        store.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "store")]
    running = [subprocess.Popen([*command, letter], stderr=subprocess.PIPE) for letter in "xy"]
    for process in running:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr.decode()
    store = LmdbStore(tmp_path / "store", sync=False)
    assert store.read("a", [b"n"]) == [b"600"]
    assert [offset for offset, _ in store.entries("log", 0)] == list(range(1_800))
    store.close()


def test_a_path_that_is_a_file(tmp_path: Path):
    (tmp_path / "store").write_text("not a directory")
    with pytest.raises(StorageError):
        LmdbStore(tmp_path / "store")


def test_a_directory_that_is_deleted_while_it_is_open(tmp_path: Path):
    """Nothing is acknowledged that nobody could find again; and what is made in its place is gone on with."""
    path = tmp_path / "online"
    store, beside = LmdbStore(path), LmdbStore(path)
    with store.transaction() as writer:
        writer.put("a", b"k", b"old")
    shutil.rmtree(path)
    with pytest.raises(StorageError, match="was deleted while it was open") as caught, store.transaction() as writer:
        writer.put("a", b"k", b"new")
    assert caught.value.hint == "mainstem run rebuilds it from the lake" and not path.exists()
    store._look_at = 0.0  # half a second later
    with pytest.raises(StorageError, match="was deleted while it was open"):
        store.read("a", [b"k"])
    script = """
        import sys
        from mainstem.stores.lmdb import LmdbStore
        with LmdbStore(sys.argv[1]).transaction() as writer:
            writer.put("a", b"k", b"made anew")
    """
    assert run(script, str(path)).returncode == 0
    for each in (store, beside):
        each._look_at = 0.0
        assert each.read("a", [b"k"]) == [b"made anew"]
    with beside.transaction() as writer:
        writer.put("a", b"k", b"and on")
    assert store.read("a", [b"k"]) == [b"and on"]
    store.close()
    beside.close()
    again = LmdbStore(path)
    assert again.read("a", [b"k"]) == [b"and on"]
    again.close()


def test_a_directory_that_is_deleted_during_a_transaction(tmp_path: Path):
    store = LmdbStore(tmp_path / "online")
    with pytest.raises(StorageError, match="was deleted while it was open"), store.transaction() as writer:
        writer.put("a", b"k", b"v")
        shutil.rmtree(tmp_path / "online")
    store.close()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
def test_a_truncated_file_is_an_error_and_kills_no_process(tmp_path: Path, share: float):
    """Beyond the end of a mapped file a read is a SIGBUS."""
    store = LmdbStore(tmp_path / "store", sync=False)
    with store.transaction() as writer:
        for n in range(4_000):
            writer.put("a", b"%d" % n, b"v" * 200)
            writer.append("log", [b"%d" % n])
    store.close()
    file = tmp_path / "store" / "data.mdb"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(int(size * share) // 4096 * 4096)
    script = """
        import sys
        from pathlib import Path
        from mainstem.errors import StorageError
        from mainstem.stores.lmdb import LmdbStore
        found, problems = 0, 0
        for _ in range(3):
            try:
                store = LmdbStore(Path(sys.argv[1]), sync=False)
                for n in range(4_000):
                    try:
                        found += store.read("a", [b"%d" % n])[0] == b"v" * 200
                    except StorageError as problem:
                        problems += 1
                try:
                    found += sum(1 for _ in store.entries("log", 0))
                except StorageError as problem:
                    problems += 1
                store.close()
            except StorageError as problem:
                problems += 1
        print(found, problems)
        """
    ended = run(script, str(tmp_path / "store"))
    assert ended.returncode == 0, (ended.returncode, ended.stderr[-2_000:])
    found, problems = map(int, ended.stdout.split())
    if share:
        assert problems > 0 and found < 3 * 8_000, "what is lost is an error, not an absence"
    else:
        assert (found, problems) == (0, 0), "LMDB makes a new store of an empty file; the drain reports a lost log"


# ── checksums ─────────────────────────────────────────────────────────────────────────────────────────


def filled(path: Path) -> LmdbStore:
    store = LmdbStore(path)
    with store.transaction() as writer:
        writer.put("space", b"key", b"VALUE-OF-KEY")
        writer.put("space", b"k" * 600, b"VALUE-OF-LONG")
        writer.append("log", [b"PAYLOAD-0", b"PAYLOAD-1"])
    return store


READS: dict[bytes, Any] = {
    b"VALUE-OF-KEY": lambda store: store.read("space", [b"key"]),
    b"VALUE-OF-LONG": lambda store: list(store.scan("space")),
    b"PAYLOAD-1": lambda store: list(store.entries("log", 0)),
}


@pytest.mark.parametrize("text", READS)
def test_a_flipped_bit_in_a_record_is_an_error(tmp_path: Path, text: bytes) -> None:
    filled(tmp_path).close()
    file = tmp_path / "data.mdb"
    raw = file.read_bytes()
    assert text in raw
    for bit in (0, 5):
        file.write_bytes(raw.replace(text, text[:-1] + bytes([text[-1] ^ 1 << bit])))
        store = LmdbStore(tmp_path)
        with pytest.raises(StorageError, match="a record of the online store is damaged") as caught:
            READS[text](store)
        assert caught.value.hint
        store.close()
    file.write_bytes(raw)
    store = LmdbStore(tmp_path)
    assert store.read("space", [b"key", b"k" * 600, b"none"]) == [b"VALUE-OF-KEY", b"VALUE-OF-LONG", None]
    assert store.end("log") == 2
    store.close()


def test_a_record_at_the_place_of_another_is_an_error(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    with store.transaction() as writer:
        writer.put_many("space", {b"a": b"of-a", b"b": b"of-b"})
    environment = store._env
    with environment.env.begin(write=True) as transaction, transaction.cursor(environment.values) as cursor:
        (_, one), (place, _) = list(cursor)
        transaction.put(place, one, db=environment.values)
    assert store.read("space", [b"a"]) == [b"of-a"]
    with pytest.raises(StorageError, match="is damaged"):
        store.read("space", [b"b"])
    store.close()


def test_a_store_from_before_checksums_is_read_and_written_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Environment, "_checked", lambda self: False)
        filled(tmp_path).close()
    for value in (b"again", b"and again"):
        store = LmdbStore(tmp_path)
        with store.transaction() as writer:
            writer.put("space", b"key", value)
            writer.append("log", [value])
        assert store.read("space", [b"key", b"k" * 600]) == [value, b"VALUE-OF-LONG"]
        assert [payload for _, payload in store.entries("log", 0)][:2] == [b"PAYLOAD-0", b"PAYLOAD-1"]
        store.close()


def test_a_copy_has_checksums(tmp_path: Path) -> None:
    (tmp_path / "origin").mkdir()
    store = filled(tmp_path / "origin")
    store.copy(tmp_path / "copy")
    store.close()
    copy = LmdbStore(tmp_path / "copy")
    assert copy._env.seal is sealed and copy.read("space", [b"key"]) == [b"VALUE-OF-KEY"]
    copy.close()

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mainstem.errors import ConflictError, SettingsError, StorageError
from mainstem.stores.redis import RedisStore
from mainstem.testing.contracts.branch_store import BranchStoreContract
from mainstem.testing.contracts.store import StoreContract

Open = Callable[..., RedisStore]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens stores that are closed with the test."""
    stores: list[RedisStore] = []

    def open_one(url: str, branch: str = "main", *, project: str = "flights", **more: Any) -> RedisStore:
        stores.append(RedisStore(url, project, branch, **more))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def open_store(redis_server: Any, opened: Open) -> Callable[[], RedisStore]:
    project = uuid4().hex
    return lambda: opened(redis_server.url, project=project)


class TestRedis(StoreContract):
    pass


@pytest.fixture
def open_branch(redis_server: Any, opened: Open) -> Callable[[str], RedisStore]:
    project = uuid4().hex
    return lambda branch: opened(redis_server.url, branch, project=project)


class TestRedisBranches(BranchStoreContract):
    pass


def program(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *arguments]


def transact(store: RedisStore, value: bytes) -> None:
    with store.transaction() as writer:
        writer.put("a", b"k", value)
        writer.append("log", [value])


# ── writers ───────────────────────────────────────────────────────────────────────────────────────────


def test_two_processes_append_without_a_gap(redis_server: Any, opened: Open) -> None:
    script = """
        import sys
        from mainstem.stores.redis import RedisStore
        store = RedisStore(sys.argv[1], sys.argv[2], "main")
        for n in range(200):
            with store.transaction() as writer:
                first = writer.append("log", [sys.argv[3].encode() * 100] * 3)
                assert first % 3 == 0
                writer.put("a", b"n", str(int(writer.get("a", b"n") or b"0") + 1).encode())
        store.close()
    """
    project = uuid4().hex
    running = [
        subprocess.Popen(program(script, redis_server.url, project, letter), stderr=subprocess.PIPE) for letter in "xy"
    ]
    for process in running:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr.decode()
    store = opened(redis_server.url, project=project)
    assert store.read("a", [b"n"]) == [b"400"]
    assert [offset for offset, _ in store.entries("log", 0)] == list(range(1_200))


def test_a_transaction_inside_a_transaction_is_refused(open_store: Callable[[], RedisStore]) -> None:
    store, other = open_store(), open_store()
    with store.transaction() as writer:
        writer.put("a", b"k", b"v")
        for same in (store, other):
            with pytest.raises(StorageError, match="inside"), same.transaction():
                pass
    assert store.read("a", [b"k"]) == [b"v"]


def test_a_killed_writer_leaves_nothing_and_its_turn_to_others(redis_server: Any, opened: Open) -> None:
    script = """
        import os, signal, sys
        from mainstem.stores.redis import RedisStore
        store = RedisStore(sys.argv[1], sys.argv[2], "main", lease=0.3)
        with store.transaction() as writer:
            writer.put("a", b"k", b"half")
            writer.append("log", [b"half"])
            os.kill(os.getpid(), signal.SIGKILL)
    """
    project = uuid4().hex
    assert subprocess.run(program(script, redis_server.url, project), timeout=60).returncode == -signal.SIGKILL
    store = opened(redis_server.url, project=project)
    assert store.read("a", [b"k"]) == [None] and store.end("log") == 0
    transact(store, b"whole")
    assert list(store.entries("log", 0)) == [(0, b"whole")]


def test_a_writer_that_overslept_its_turn_writes_nothing(redis_server: Any, opened: Open) -> None:
    project = uuid4().hex
    slow, other = (opened(redis_server.url, project=project, lease=0.05) for _ in range(2))

    def oversleep() -> None:
        with slow.transaction() as writer:
            assert writer.append("log", [b"slow"]) == 0
            writer.put("a", b"k", b"slow")
            thread = threading.Thread(target=transact, args=(other, b"other"))
            thread.start()
            thread.join()

    with pytest.raises(ConflictError):
        oversleep()
    assert slow.read("a", [b"k"]) == [b"other"] and list(slow.entries("log", 0)) == [(0, b"other")]
    transact(slow, b"again")
    assert list(slow.entries("log", 0)) == [(0, b"other"), (1, b"again")]


def test_a_writer_whose_successor_has_not_written_yet_does_not_disturb_it(redis_server: Any, opened: Open) -> None:
    project = uuid4().hex
    slow, other = (opened(redis_server.url, project=project, lease=0.05) for _ in range(2))
    begun, ended = threading.Event(), threading.Event()

    def succeed() -> None:
        patient = opened(redis_server.url, project=project)
        with patient.transaction() as writer:
            writer.append("log", [b"successor"])
            begun.set()
            assert ended.wait(30)

    thread = threading.Thread(target=succeed)
    with pytest.raises(ConflictError), slow.transaction() as writer:
        writer.append("log", [b"slow"])
        thread.start()
        assert begun.wait(30)
    ended.set()
    thread.join()
    assert list(other.entries("log", 0)) == [(0, b"successor")]


def test_a_long_transaction_keeps_its_turn_as_long_as_it_reads(redis_server: Any, opened: Open) -> None:
    project = uuid4().hex
    long, other = (opened(redis_server.url, project=project, lease=0.3) for _ in range(2))
    waiting = threading.Thread(target=transact, args=(other, b"second"))
    with long.transaction() as writer:
        waiting.start()
        for turn in range(100):
            writer.get("a", b"%d" % turn)
            threading.Event().wait(0.01)
        writer.append("log", [b"first"])
    waiting.join()
    assert list(long.entries("log", 0)) == [(0, b"first"), (1, b"second")]


def test_spaces_are_cleared_without_holding_the_server_up(make_redis: Any, opened: Open) -> None:
    store = opened(make_redis().url)
    with store.transaction() as writer:
        for n in range(10_000):
            writer.put("a", b"%d" % n, b"v")
    with store.transaction() as writer:
        writer.clear("a")
    assert "cmdstat_unlink" in store._reach().ask("INFO", "commandstats")
    assert store.count("a") == 0


def test_nothing_expires_but_the_lock(make_redis: Any, opened: Open) -> None:
    store = opened(make_redis().url)
    transact(store, b"v")
    with store.transaction() as writer:
        writer.get("a", b"k")
        ask = store._reach().ask
        expiring = [key for key in ask("KEYS", "*") if ask("PTTL", key) != -1]
    assert expiring == [b"mainstem:flights:main:lock"]
    assert store._reach().ask("EXISTS", "mainstem:flights:main:lock") == 0


# ── what happens to servers ───────────────────────────────────────────────────────────────────────────

DURABLE = {"appendonly": "yes", "appendfsync": "always"}

WRITER = """
    import sys
    from mainstem.errors import StorageError
    from mainstem.stores.redis import RedisStore
    store = RedisStore(sys.argv[1], "flights", "main")
    for n in range(1, 100_000):
        try:
            with store.transaction() as writer:
                writer.append("log", [str(n).encode()] * 3)
                writer.append("blocks", [str(n).encode()], [5])
                writer.put("a", b"n", str(n).encode())
        except StorageError as error:
            print(error.what, flush=True)
            break
        print(n, flush=True)
"""


def test_a_server_killed_while_writing_loses_nothing_that_was_acknowledged(make_redis: Any, opened: Open) -> None:
    server = make_redis(**DURABLE)
    with subprocess.Popen(program(WRITER, server.url), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "200":
                server.kill()
                break
        *later, said = process.stdout.read().splitlines()
    assert said == "the online store cannot be reached"
    acknowledged = int(later[-1]) if later else 200
    server.start()
    store = opened(server.url)
    (found,) = store.read("a", [b"n"])
    assert found is not None and int(found) in (acknowledged, acknowledged + 1)
    assert [payload for _, payload in store.entries("log", 0)] == [
        str(n).encode() for n in range(1, int(found) + 1) for _ in range(3)
    ]
    assert store.end("log") == 3 * int(found)
    blocks = list(store.entries("blocks", 0))
    assert blocks == [(5 * (n - 1), str(n).encode()) for n in range(1, int(found) + 1)]
    assert store.end("blocks") == 5 * int(found)
    transact(store, b"next")
    assert list(store.entries("log", 3 * int(found))) == [(3 * int(found), b"next")]


def test_a_server_that_comes_back_at_once_is_not_noticed(make_redis: Any, opened: Open) -> None:
    server = make_redis(**DURABLE)
    store = opened(server.url)

    def write() -> None:
        for n in range(300):
            transact(store, b"%d" % n)

    writing = threading.Thread(target=write)
    writing.start()
    for _ in range(3):
        end = store.end("log")
        while writing.is_alive() and store.end("log") < end + 20:
            pass
        server.kill()
        server.start()
    writing.join()
    assert list(store.entries("log", 0)) == [(n, b"%d" % n) for n in range(300)]


def test_a_turn_that_could_not_be_ended_is_ended_by_the_next_of_the_process(make_redis: Any, opened: Open) -> None:
    server = make_redis(**DURABLE)
    store = opened(server.url, lease=3600.0)
    with pytest.raises(StorageError, match="cannot be reached"), store.transaction() as writer:
        writer.append("log", [b"never"])
        server.kill()
    server.start()
    transact(store, b"first")
    assert list(store.entries("log", 0)) == [(0, b"first")]


class Proxy:
    """Passes bytes on to a server. The answer to the next message with `word` in it is lost, and the connection."""

    def __init__(self, port: int) -> None:
        self._port, self.word = port, b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            while message := client.recv(1 << 20):
                server.sendall(message)
                answer = server.recv(1 << 20)
                if self.word and self.word in message:
                    self.word = b""
                    return
                client.sendall(answer)

    def close(self) -> None:
        self._listening.close()


def test_a_commit_whose_answer_is_lost_is_made_once(make_redis: Any, opened: Open) -> None:
    server = make_redis()
    proxy = Proxy(server.port)
    store = opened(proxy.url)
    transact(store, b"before")
    proxy.word = b"precious"
    transact(store, b"precious")
    assert proxy.word == b""
    assert list(store.entries("log", 0)) == [(0, b"before"), (1, b"precious")]
    proxy.close()


def test_a_server_that_cannot_be_reached(free_port: Callable[[], int]) -> None:
    with pytest.raises(StorageError) as error:
        RedisStore(f"redis://me:s3cret@127.0.0.1:{free_port()}/0", "flights", "main")
    assert error.value.what == "the online store cannot be reached" and error.value.hint
    assert "me:***@127.0.0.1" in str(error.value) and "s3cret" not in str(error.value)


def test_a_wrong_password(make_redis: Any, opened: Open) -> None:
    server = make_redis(requirepass="right")
    for login in (":wr0ng@", "nobody:wr0ng@", ""):
        with pytest.raises(StorageError) as error:
            opened(server.url.replace("//", f"//{login}"))
        assert error.value.what == "the online store refuses the login"
        assert "wr0ng" not in str(error.value)
    transact(opened(server.url.replace("//", "//:right@")), b"v")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@localhost:port/0",
        "redis://:s3cret@localhost:99999/0",
        "redis://:s3cret@localhost/zero",
        "redis://:s3/cret@localhost:6379/0",
        "redis://:s3cret@localhost/0?colour=blue",
        "redis://:s3cret@localhost/0?socket_timeout=soon",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        RedisStore(url, "flights", "main")
    assert "cret" not in str(error.value) and "localhost" in str(error.value)


def test_a_database_that_there_is_not(redis_server: Any) -> None:
    with pytest.raises(StorageError):
        RedisStore(redis_server.url.replace("/0", "/99"), "flights", "main")


def test_a_server_that_evicts_is_refused(make_redis: Any, opened: Open) -> None:
    server = make_redis(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    with pytest.raises(StorageError, match="evict"):
        opened(server.url)


def test_a_full_server_keeps_what_there_was(make_redis: Any, opened: Open) -> None:
    store = opened(make_redis(maxmemory="8mb").url)
    transact(store, b"old")
    with pytest.raises(StorageError) as error:
        for n in range(200):
            with store.transaction() as writer:
                writer.clear("a")
                writer.put("a", b"k", b"%d" % n)
                writer.put("b", b"%d" % n, b"x" * 100_000)
                writer.append("log", [b"%d" % n])
    assert error.value.what == "the online store is full"
    written = store.count("b")
    assert 0 < written < 200
    assert store.end("log") == written + 1 and store.read("a", [b"k"]) == [b"%d" % (written - 1)]


def test_a_replica_is_refused_as_such(make_redis: Any, opened: Open) -> None:
    server = make_redis()
    replica = make_redis(replicaof=f"127.0.0.1 {server.port}")
    store = opened(replica.url)
    with pytest.raises(StorageError, match="replica"):
        transact(store, b"v")


@pytest.mark.parametrize("refused", ["xadd", "hset", "hdel", "unlink", "sadd"])
def test_a_user_who_may_not_do_all_of_it_does_nothing_of_it(make_redis: Any, opened: Open, refused: str) -> None:
    server = make_redis()
    able = opened(server.url)
    with able.transaction() as writer:
        writer.append("log", [b"old"])
        for key in (b"k", b"gone"):
            writer.put("a", key, b"old")
            writer.put("b", key, b"old")
    rights = ("on", ">secret", "~mainstem:*", "+@all", "-@dangerous", f"-{refused}")
    able._reach().ask("ACL SETUSER", "bob", *rights)
    store = opened(server.url.replace("//", "//bob:secret@"))
    with pytest.raises(StorageError, match="may not") as error, store.transaction() as writer:
        writer.append("log", [b"new"])
        writer.put("a", b"k", b"new")
        writer.delete("a", b"gone")
        writer.clear("b")
    assert refused in str(error.value).lower()
    assert list(able.entries("log", 0)) == [(0, b"old")]
    assert able.read_many([("a", [b"k", b"gone"]), ("b", [b"k"])]) == [[b"old", b"old"], [b"old"]]


# ── what is promised ──────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_syncs_always_is_trusted(make_redis: Any, opened: Open, caplog: Any) -> None:
    server = make_redis(**DURABLE)
    assert opened(server.url).durability == "on disk: the server's appendfsync is always"
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"appendonly": "no"}, "a restart of the server may lose it"),
        ({"appendonly": "yes", "appendfsync": "no"}, "a crash of its machine may lose the last seconds"),
    ],
)
def test_what_is_at_risk_is_said_once(
    make_redis: Any, opened: Open, caplog: Any, settings: dict[str, str], said: str
) -> None:
    url = make_redis(**settings).url
    with caplog.at_level(logging.WARNING):
        stores = [opened(url) for _ in range(3)]
    assert all(said in store.durability for store in stores)
    assert len(caplog.records) == 1 and said in caplog.text and "appendfsync always" in caplog.text


def test_a_server_that_does_not_tell_its_settings(make_redis: Any, opened: Open) -> None:
    server = make_redis()
    rights = ("+@read", "+@write", "+@scripting", "+@transaction", "+@connection")
    opened(server.url)._reach().ask("ACL SETUSER", "bob", "on", ">secret", "~mainstem:*", *rights)
    store = opened(server.url.replace("//", "//bob:secret@"))
    assert store.durability == "the server does not report whether it is on disk"
    transact(store, b"v")
    opened(server.url.replace("//", "//bob:secret@"), "dev").fork("main")
    assert store.sizes().spaces.keys() == {"a"} and store.read_many([("a", [b"k"])] * 2) == [[b"v"]] * 2


def test_commits_wait_for_the_disk_where_the_server_can(make_redis: Any, opened: Open) -> None:
    server = make_redis(appendonly="yes", appendfsync="everysec")
    store = opened(server.url)
    if "WAITAOF" not in store.durability:
        version = store._reach().ask("INFO", "server")["redis_version"]
        assert tuple(map(int, version.split(".")[:2])) < (7, 2)
        assert "may lose the last seconds (appendfsync everysec)" in store.durability
        pytest.skip(f"redis-server {version} has no WAITAOF; 7.2 has")
    transact(store, b"v")
    assert "cmdstat_waitaof" in store._reach().ask("INFO", "commandstats")
    store._reach().ask("CONFIG SET", "appendonly", "no")
    with pytest.raises(StorageError, match="cannot be used"):
        transact(store, b"unsafe")


# ── branches ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_begins_as_a_copy_and_goes_its_own_way(open_store: Any, redis_server: Any, opened: Open) -> None:
    main = open_store()
    with main.transaction() as writer:
        for n in range(5_000):
            writer.put("large", b"%d" % n, b"v%d" % n)
        writer.put("small", b"\x00\xff", b"")
        writer.append("log", [b"%d" % n for n in range(2_500)])
        writer.append("trimmed", [b"0", b"1", b"2"])
    main.trim("trimmed", 3)
    main.trim("log", 10)
    dev = opened(redis_server.url, "dev/x:y", project=main._project)
    assert not dev.begun
    dev.fork("main")
    assert dev.begun
    assert dev.read("large", [b"%d" % n for n in range(5_000)]) == [b"v%d" % n for n in range(5_000)]
    assert dev.count("large") == 5_000 and dev.read("small", [b"\x00\xff"]) == [b""]
    assert list(dev.entries("log", 0)) == [(n, b"%d" % n) for n in range(10, 2_500)]
    assert dev.sizes().spaces.keys() == {"large", "small"} and dev.end("trimmed") == 3
    transact(dev, b"dev")
    transact(main, b"main")
    assert list(dev.entries("log", 2_500)) == [(2_500, b"dev")] and list(main.entries("log", 2_500)) == [
        (2_500, b"main")
    ]
    dev.fork("main")
    assert dev.read("a", [b"k"]) == [b"dev"]


def test_there_is_nothing_to_copy(open_store: Any, redis_server: Any, opened: Open) -> None:
    dev = opened(redis_server.url, "dev", project=open_store()._project)
    dev.fork("main")
    assert not dev.begun


def test_a_crash_in_the_middle_of_a_copy_leaves_no_half_branch(make_redis: Any, opened: Open) -> None:
    server = make_redis(**DURABLE)
    main = opened(server.url)
    with main.transaction() as writer:
        for n in range(20_000):
            writer.put(f"space {n % 4}", b"%d" % n, b"v" * 100)
        writer.append("log", [b"p"] * 100)
    script = """
        import os, signal, sys
        from mainstem.stores import redis_copy
        from mainstem.stores.redis import RedisStore
        copying = redis_copy._copying

        def killed(*arguments):
            for step, _ in enumerate(copying(*arguments)):
                if step == 7:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield

        redis_copy._copying = killed
        RedisStore(sys.argv[1], "flights", "dev", lease=0.2).fork("main")
    """
    assert subprocess.run(program(script, server.url), timeout=60).returncode == -signal.SIGKILL
    dev = opened(server.url, "dev")
    assert not dev.begun and dev._reach().ask("DBSIZE") > 10
    with main.transaction() as writer:
        writer.clear("space 0")
        writer.clear("space 3")
    dev.fork("main")
    assert dev.begun and [dev.count(f"space {n}") for n in range(4)] == [0, 5_000, 5_000, 0]
    assert dev.sizes().spaces.keys() == {"space 1", "space 2"} and dev.end("log") == 100


def test_a_copy_during_which_another_writer_came_is_refused(make_redis: Any, opened: Open, monkeypatch: Any) -> None:
    from mainstem.stores import redis_copy

    server = make_redis()
    main, dev = opened(server.url), opened(server.url, "dev", lease=0.05)
    transact(main, b"old")
    copying = redis_copy._copying

    def interrupted(*arguments: Any) -> Iterator[None]:
        for step in copying(*arguments):
            thread = threading.Thread(target=transact, args=(main, b"new"))
            thread.start()
            thread.join()
            yield step

    monkeypatch.setattr(redis_copy, "_copying", interrupted)
    with pytest.raises(ConflictError):
        dev.fork("main")
    assert not dev.begun


def test_branches_and_projects_do_not_share_keys(redis_server: Any, opened: Open) -> None:
    unique = uuid4().hex
    names = [(f"{unique}:a", "b"), (unique, "a:b"), (f"{unique}/a", "b"), (unique, "a/b"), (unique, "ä b")]
    stores = [opened(redis_server.url, branch, project=project) for project, branch in names]
    for n, store in enumerate(stores):
        transact(store, b"%d" % n)
    assert [store.read("a", [b"k"]) for store in stores] == [[b"%d" % n] for n in range(len(stores))]


# ── the extra, and TLS ────────────────────────────────────────────────────────────────────────────────


def test_without_redis_py_the_extra_is_named() -> None:
    script = """
        import sys
        sys.modules["redis"] = None
        from mainstem.errors import MissingExtra
        from mainstem.stores.redis import RedisStore
        try:
            RedisStore("redis://localhost", "flights", "main")
        except MissingExtra as error:
            print(error.hint)
    """
    done = subprocess.run(program(script), capture_output=True, text=True, timeout=60)
    assert done.stdout == "pip install 'mainstem[redis]'\n", done.stderr


def test_tls(make_redis: Any, opened: Open, tmp_path: Path, free_port: Callable[[], int]) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    _self_signed(certificate, key)
    tls = {"tls_cert_file": str(certificate), "tls_key_file": str(key), "tls_ca_cert_file": str(certificate)}
    port = free_port()
    make_redis(tls_port=str(port), tls_auth_clients="no", **tls)
    with pytest.raises(StorageError, match="cannot be reached"):
        opened(f"rediss://127.0.0.1:{port}/0")  # whoever signed it is not known
    store = opened(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")
    transact(store, b"v")
    assert store.read("a", [b"k"]) == [b"v"]


def _self_signed(certificate: Path, key: Path) -> None:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    key.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))

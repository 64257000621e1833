"""A real Kafka broker on loopback: one node in KRaft mode, from the jars that Maven brings.

The jars are kept in a cache directory, so only the first run needs a package index. `MAINSTEM_TEST_KAFKA_JARS` names a
directory that has them already. One broker lives as long as the tests of a process; each test takes topics of its own.

    python tests/kafka_broker.py COMMAND…    a broker for a command, which finds its address in WORLD_KAFKA
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

VERSION = "4.3.1"
USER, PASSWORD = "collector", "s3cret/@kafka"
"""Who may ask at the listener with SASL and TLS."""
PATIENCE = 120.0

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mainstem</groupId><artifactId>test-broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={directory}/server.pem
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
log.dirs={directory}/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


SECURE = ("ssl.", "sasl.", "listener.name.sasl", "user_")
"""The beginnings of the lines above that are about TLS and SASL."""


@dataclass
class Broker:
    """A broker, its files in `directory`, that can be killed and started again."""

    jars: Path
    directory: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _admin: Any = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.ports['plain']}"

    @property
    def secure(self) -> str:
        """The address where TLS, a user and a password are required."""
        return f"127.0.0.1:{self.ports['secure']}"

    @property
    def authority(self) -> str:
        """The certificate that the broker's is to be checked with."""
        return str(self.directory / "authority.pem")

    def prepare(self) -> None:
        if find_spec("cryptography") is None:  # without it there is no listener with TLS
            lines = [each for each in PROPERTIES.splitlines() if not each.startswith(SECURE)]
            text = "\n".join(lines).replace(",SASL_SSL://127.0.0.1:{secure}", "").replace(",SASL_SSL:SASL_SSL", "")
        else:
            certify(self.directory)
            text = PROPERTIES
        text = text.format(directory=self.directory, user=USER, password=PASSWORD, **self.ports)
        (self.directory / "server.properties").write_text(text)
        self._java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c").wait(PATIENCE)

    def start(self) -> None:
        self.process = self._java("kafka.Kafka")
        until(lambda: self._answers(), lambda: self.log)

    def kill(self) -> None:
        """End it as a crash of the process does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()[-4_000:]

    def topic(self, partitions: int = 1, **settings: str) -> str:
        """Create a topic of its own name."""
        from confluent_kafka.admin import NewTopic

        name = f"topic-{next(self.numbers)}"
        config = {key.replace("_", "."): value for key, value in settings.items()}
        made = self.admin().create_topics([NewTopic(name, partitions, 1, config=config)])
        made[name].result(PATIENCE)
        return name

    def widen(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic."""
        from confluent_kafka.admin import NewPartitions

        self.admin().create_partitions([NewPartitions(topic, partitions)])[topic].result(PATIENCE)

    def admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        if self._admin is None:  # it must live as long as its futures
            self._admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        return self._admin

    def send(self, topic: str, *values: Any, partition: int = 0, **more: Any) -> None:
        """Send messages to a partition, and wait until the broker has them."""
        producer = self.producer()
        for value in values:
            producer.produce(topic, value, partition=partition, **more)
        assert producer.flush(PATIENCE) == 0

    def producer(self, **settings: str) -> Any:
        from confluent_kafka import Producer

        named = {name.replace("_", "."): value for name, value in settings.items()}
        return Producer({"bootstrap.servers": self.servers, "linger.ms": 0, "log_level": 0, **named})

    def expire(self, topic: str, before: int, partition: int = 0) -> None:
        """Delete the messages before an offset, as retention does."""
        from confluent_kafka import TopicPartition

        deleted = self.admin().delete_records([TopicPartition(topic, partition, before)])
        for future in deleted.values():
            future.result(PATIENCE)

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        properties = str(self.directory / "server.properties")
        command = ["java", *options, "-cp", f"{self.jars}/*", *arguments, properties]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException

        assert self.process is not None and self.process.poll() is None, self.log
        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _end(self, how: int) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None


def until(true: Callable[[], bool], why: Callable[[], str] = lambda: "it never happened") -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


def certify(directory: Path) -> None:
    """Write a certificate of this host that signs itself, with its key, and the part that clients need."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    encryption = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (directory / "authority.pem").write_bytes(public)
    (directory / "server.pem").write_bytes(private + public)


def jars(missing: Callable[[str], NoReturn]) -> Path:
    """The directory with the jars. The first process that needs them brings them."""
    given = os.environ.get("MAINSTEM_TEST_KAFKA_JARS")
    if given:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mainstem-tests"
    place = cache / f"kafka-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place
        maven = shutil.which("mvn")
        if maven is None:
            missing("Maven is not installed, which brings Kafka's broker: apt-get install maven")
        draft = place.with_name(f"{place.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        (draft / "pom.xml").write_text(POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
        command = [maven, "-q", "-B", "-f", str(draft / "pom.xml"), *goal]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not list(draft.glob("kafka_2.13-*.jar")):
            missing(f"Kafka's broker cannot be downloaded by Maven: {(done.stdout + done.stderr).strip()[:500]}")
        draft.rename(place)
        return place


@pytest.fixture(scope="session")
def broker_files(missing: Callable[[str], NoReturn]) -> Path:
    """The jars of a broker, where everything that it needs is installed."""
    if find_spec("confluent_kafka") is None:
        missing("confluent-kafka is not installed: pip install 'mainstem[kafka]'")
    if shutil.which("java") is None:
        missing("Java is not installed, which runs Kafka's broker: apt-get install openjdk-17-jre-headless")
    return jars(missing)


def _made(files: Path, directory: Path, free_port: Callable[[], int]) -> Broker:
    broker = Broker(files, directory, {name: free_port() for name in ("plain", "secure", "controller")})
    broker.prepare()
    broker.start()
    return broker


@pytest.fixture(scope="session")
def broker(
    broker_files: Path, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Broker]:
    """The broker of all tests, which none of them ends."""
    made = _made(broker_files, tmp_path_factory.mktemp("kafka"), free_port)
    yield made
    made.kill()


@pytest.fixture
def mortal(broker_files: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Broker]:
    """A broker of one test, to be ended and started again."""
    directory = tmp_path / "broker"
    directory.mkdir()
    made = _made(broker_files, directory, free_port)
    yield made
    made.kill()


# ── a broker for a command, such as the demo ──────────────────────────────────────────────────────────

TOPICS = ("departures", "departures-untouched")


def _absent(reason: str) -> NoReturn:
    sys.exit(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(command: list[str]) -> int:
    """Start a broker with the topics of the demo, run the command, and end the broker. Return the exit code."""
    from confluent_kafka.admin import NewTopic

    if shutil.which("java") is None:
        _absent("Java is not installed, which runs Kafka's broker: apt-get install openjdk-17-jre-headless")
    with tempfile.TemporaryDirectory(prefix="mainstem-kafka-") as directory:
        broker = _made(jars(_absent), Path(directory), _free_port)
        try:
            made = broker.admin().create_topics([NewTopic(name, 2, 1) for name in TOPICS])
            for future in made.values():
                future.result(PATIENCE)
            sys.stdout.write(f"a Kafka broker at {broker.servers}, its topics {', '.join(TOPICS)}\n")
            sys.stdout.flush()
            return subprocess.run(command, env={**os.environ, "WORLD_KAFKA": broker.servers}, check=False).returncode
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

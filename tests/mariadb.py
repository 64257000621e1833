"""A real MariaDB on loopback, where its programs are installed; a room's conftest takes the fixtures from here.

Everybody is let in as `mainstem` without a password, and as `guarded` with `s3cret/@`, over TLS only.
"""

import datetime
import ipaddress
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest


@dataclass
class MariaDB:
    """A server of one's own, its files in `directory`, that can be killed and started again."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql://mainstem@127.0.0.1:{self.port}/test"

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def start(self) -> None:
        options = {
            "datadir": self.directory / "data",
            "socket": self.directory / "socket",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "pid-file": self.directory / "pid",
            "innodb-buffer-pool-size": "32M",
            "innodb-flush-log-at-trx-commit": 0,
            "ssl-cert": self.directory / "server.pem",
            "ssl-key": self.directory / "server.key",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        with (self.directory / "log").open("ab") as log:
            command = ["mariadbd", "--no-defaults", *_user(), *given]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def run(self, *statements: str, database: str | None = "test") -> list[tuple]:
        import pymysql

        settings = {"host": "127.0.0.1", "port": self.port, "user": "mainstem", "autocommit": True}
        with closing(pymysql.connect(database=database, charset="utf8mb4", **settings)) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _answers(self) -> bool:
        import pymysql

        try:
            self.run("SELECT 1", database=None)
        except pymysql.Error:
            return False
        return True


def _user() -> list[str]:
    return ["--user=root"] if os.getuid() == 0 else []


def _certificates(directory: Path) -> None:
    """An authority, and a certificate of it for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)

    def made(name, signer, signer_key, extension):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(signer or subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + 30 * day)
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(signer_key or key, hashes.SHA256()), key, subject

    ca, ca_key, subject = made("Test CA", None, None, x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own, key, _ = made("127.0.0.1", subject, ca_key, names)
    (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (directory / "server.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    (directory / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


@pytest.fixture(scope="session")
def mariadb(missing, free_port):
    """A server that lives as long as the tests. A test that kills it starts it again."""
    if find_spec("pymysql") is None:
        missing("pymysql, the driver of MySQL, is not installed: pip install 'mainstem[mysql]'")
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        missing("mariadbd is not installed: apt-get install mariadb-server")
    directory = Path(tempfile.mkdtemp(prefix="mainstem-mariadb-", dir="/tmp"))
    try:
        _certificates(directory)
        settle = ["mariadb-install-db", "--no-defaults", *_user(), f"--datadir={directory / 'data'}"]
        settle += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(settle, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        first = [
            "CREATE DATABASE test CHARACTER SET utf8mb4",
            "CREATE USER mainstem@'%'",
            "GRANT ALL ON *.* TO mainstem@'%'",
            "CREATE USER guarded@'%' IDENTIFIED BY 's3cret/@' REQUIRE SSL",
            "GRANT ALL ON test.* TO guarded@'%'",
        ]
        script = "".join(f"{statement};\n" for statement in ("USE mysql", "FLUSH PRIVILEGES", *first))
        boot = ["mariadbd", "--no-defaults", *_user(), f"--datadir={directory / 'data'}", "--bootstrap"]
        done = subprocess.run(boot, input=script, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        server = MariaDB(directory, free_port())
        server.start()
        yield server
        server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)

"""A broker that asks who comes: doors for passwords, for salted passwords, for certificates."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.components.kafka import PATIENT, Broker, kafka
from tests.components.ports import lasting_port
from tests.components.scratch import quick_folder

PASSWORD = "s3cret-of-the-test"
USER = "admin"


@dataclass(frozen=True)
class Secured:
    """Besides its plain door it has three of TLS, for `localhost`. Users `admin` and `agent`; ACLs.

    `port`: SASL, PLAIN and SCRAM-SHA-512. `other`: SASL, SCRAM-SHA-256 alone. `mutual`: TLS alone,
    and only for who shows a certificate of `client_ca`.
    """

    home: Path
    broker: Broker
    port: int
    other: int
    mutual: int

    @property
    def ca(self) -> Path:
        return self.home / "ca.pem"

    def url(
        self,
        who: str = f"{USER}:{PASSWORD}@",
        host: str = "localhost",
        more: str = "",
        port: int = 0,
    ) -> str:
        place = f"{host}:{port or self.port}"
        return f"kafka://{who}{place}?ca={self.ca}&replication=1&partitions=1{more}"


@contextmanager
def secured_broker(home: Path) -> Iterator[Secured]:
    """Started, and stopped at the end."""
    ports = [lasting_port() for _ in range(3)]
    salted = tuple(f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512))
    own_certificate(home)
    client_certificate(home, USER)
    with (
        quick_folder(home / "data") as folder,
        kafka(folder, settings(home, *ports), salted) as broker,
    ):
        yield Secured(home, broker, *ports)


def settings(home: Path, port: int, other: int, mutual: int) -> dict[str, str]:
    """Properties of the broker."""
    login = "org.apache.kafka.common.security"
    doors = {"SECURE": (port, "localhost"), "OTHER": (other, "localhost")}
    doors["MUTUAL"] = (mutual, "localhost")
    plain = "PLAINTEXT://127.0.0.1:PORT"
    listening = [f"{name}://127.0.0.1:{at}" for name, (at, _) in doors.items()]
    shown = [f"{name}://{host}:{at}" for name, (at, host) in doors.items()]
    secure, second, third = (f"listener.name.{name.lower()}" for name in doors)
    made = {
        "listeners": ",".join([plain, "CONTROLLER://127.0.0.1:CONTROLLER_PORT", *listening]),
        "advertised.listeners": ",".join([plain, *shown]),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,OTHER:SASL_SSL,MUTUAL:SSL"
        ),
        f"{secure}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{secure}.plain.sasl.jaas.config": (
            f'{login}.plain.PlainLoginModule required user_admin="{PASSWORD}"'
            f' user_agent="{PASSWORD}";'
        ),
        f"{secure}.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        f"{second}.sasl.enabled.mechanisms": "SCRAM-SHA-256",
        f"{second}.scram-sha-256.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        f"{third}.ssl.client.auth": "required",
        f"{third}.ssl.truststore.type": "PEM",
        f"{third}.ssl.truststore.location": str(home / "client-ca.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN={USER}",
    }
    for door in (secure, second, third):
        made[f"{door}.ssl.keystore.location"] = str(home / "store.p12")
        made[f"{door}.ssl.keystore.password"] = "changeit"
    return PATIENT | made


def own_certificate(home: Path) -> None:
    """The broker's: its key in `store.p12`, what vouches for it in `ca.pem`."""
    key = ["-storepass", "changeit", "-alias", "broker", "-keystore", str(home / "store.p12")]
    made = ["-dname", "CN=broker", "-ext", "san=dns:localhost", "-keyalg", "EC", "-validity", "2"]
    subprocess.run(["keytool", "-genkeypair", *key, *made], check=True, capture_output=True)
    shown = ["keytool", "-exportcert", "-rfc", *key]
    told = subprocess.run(shown, check=True, capture_output=True)
    (home / "ca.pem").write_bytes(told.stdout)


def client_certificate(home: Path, name: str) -> None:
    """A client's: `client.pem` and `client.key`, and what vouches for it in `client-ca.pem`."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), named(name)
    now = datetime.now(UTC)  # noqa: TID251 - certificates are of real time
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    for file in ("client.pem", "client-ca.pem"):
        (home / file).write_bytes(text)
    (home / "client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

"""`kafka://…`: where the brokers are, how to be let in, and how topics are made there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from interlock.errors import Refused

T = TypeVar("T")
PORT = 9092
SECURITY = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
AUTHS = ("msk-iam",)


@dataclass(frozen=True)
class Address:
    """All that a Kafka URL says. Paths are of PEM files."""

    hosts: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    security: str = "plaintext"
    mechanism: str = "PLAIN"
    auth: str | None = None
    """`msk-iam`: AWS credentials of this process sign in, in `region`."""
    region: str | None = None
    ca: str | None = None
    """Who may vouch for the brokers' certificates; the system's own authorities without it."""
    cert: str | None = None
    """Our own certificate and `key`, where brokers ask for one."""
    key: str | None = None
    replication: int = 3
    partitions: int | None = None
    """Of every topic, instead of what the topology says of each."""
    session: float = 10.0
    """Seconds of silence after which a member counts as dead."""

    @property
    def encrypted(self) -> bool:
        return self.security in {"ssl", "sasl_ssl"}

    @property
    def shown(self) -> str:
        """For people: without the password."""
        return f"kafka://{','.join(self.hosts)}"


def parse(url: str) -> Address:
    """What `url` says; `Refused` where it says nothing that can be."""
    parts = urlsplit(url)
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    told: dict[str, Any] = {"hosts": tuple(map(_host, hosts.split(",")))}
    if user:
        told |= {"user": unquote(user), "password": unquote(password), "security": "sasl_ssl"}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in READ:
            raise Refused(f"`{name}` is no option of a Kafka URL; there are {_list(READ)}")
        told[name] = READ[name](name, value)
    if told.get("auth"):
        told.setdefault("security", "sasl_ssl")
    address = Address(**told)
    _agree(address)
    return address


def _agree(address: Address) -> None:
    """Whether the parts fit each other."""
    sasl = address.security.startswith("sasl_")
    if address.auth:
        if not address.region:
            raise Refused("`auth=msk-iam` needs the cluster's `region` in the Kafka URL")
        if address.security != "sasl_ssl" or address.user:
            raise Refused("`auth=msk-iam` takes AWS credentials and TLS: no user, no `security`")
    elif sasl and not address.user:
        raise Refused(f"`security={address.security}` needs `user:password@` in the Kafka URL")
    elif address.user and not sasl:
        raise Refused(f"`security={address.security}` takes no user; say `sasl_ssl`")
    if not address.encrypted and (address.ca or address.cert):
        raise Refused("`ca` and `cert` are for `security=ssl` and `security=sasl_ssl`")
    if bool(address.cert) != bool(address.key):
        raise Refused("`cert` and `key` of a Kafka URL belong together")


def _host(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise Refused(f"`{text}` is no `host:port` of a Kafka broker")
    return f"{host}:{int(port)}"


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in allowed:
            raise Refused(f"`{name}={value}` of a Kafka URL; it may be {_list(allowed)}")
        return value

    return read


def _number(least: T, most: T, kind: Callable[[str], T]) -> Callable[[str, str], T]:
    def read(name: str, value: str) -> T:
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:  # type: ignore[operator]  # int or float
            raise Refused(f"`{name}={value}` of a Kafka URL; it is from {least} to {most}")
        return number

    return read


def _text(name: str, value: str) -> str:
    if not value:
        raise Refused(f"`{name}` of a Kafka URL is empty")
    return value


def _list(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


READ: Mapping[str, Callable[[str, str], Any]] = {
    "security": _one_of(*SECURITY),
    "mechanism": _one_of(*MECHANISMS),
    "auth": _one_of(*AUTHS),
    "region": _text,
    "ca": _text,
    "cert": _text,
    "key": _text,
    "replication": _number(1, 15, int),
    "partitions": _number(1, 1000, int),
    "session": _number(0.5, 300.0, float),
}

"""A bus's URL: `sqs://<region>/<env>?endpoint=…&bodies=…`, and the queues that it means."""

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from interlock.bus.sqs.broker.connection import Place
from interlock.contracts.topics import Topic
from interlock.errors import Refused

ENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,29}")
REGION = re.compile(r"[a-z0-9-]{0,32}")
NUMBERS = {
    "limit": (1_024, 1_048_576),
    "visibility": (1, 43_200),
    "wait": (1, 20),
}
"""Options that are whole numbers, and what they may be."""
TEXTS = ("endpoint", "bodies")


@dataclass(frozen=True)
class Address:
    """Where the queues are, how they are called, and how they are read."""

    env: str
    """Before every queue's name, so that suites can share an account."""
    region: str | None = None
    endpoint: str | None = None
    """None: AWS itself, or what `AWS_ENDPOINT_URL_SQS` says."""
    bodies: str | None = None
    """Where bodies lie that are over the limit: `s3://bucket/prefix` or a folder."""
    limit: int = 1_048_576
    """Bytes of one message with its attributes. An older endpoint takes 262,144."""
    visibility: int = 30
    """Seconds after which what a dead consumer held comes again."""
    wait: int = 5
    """Seconds that one read waits for messages, and so that a stop may take at rest."""

    @property
    def place(self) -> Place:
        """For the connection."""
        return Place(
            self.region, self.endpoint, max_wait=self.wait, batch_bytes=max(self.limit, 262_144)
        )

    @property
    def told(self) -> str:
        """For people."""
        return self.endpoint or f"region `{self.region or 'of the environment'}`"

    def queue(self, topic: Topic, group: str) -> str:
        """The queue of one group's messages of one topic; SQS allows no dots."""
        return f"{self.env}-{topic.value.replace('.', '-')}-{group}"

    def dead(self, topic: Topic, group: str) -> str:
        """The queue of its dead letters."""
        return f"{self.queue(topic, group)}-dead"


def address(url: str) -> Address:
    """What `url` means; `Refused`, naming what is allowed."""
    parts = urlsplit(url)
    env = parts.path.strip("/")
    if not ENV.fullmatch(env):
        raise Refused(
            f"`{env}` cannot begin the names of queues; write `sqs://<region>/<env>`, the latter"
            " of up to 30 letters, digits, `-` and `_`"
        )
    if parts.netloc != parts.netloc.lower() or not REGION.fullmatch(parts.netloc):
        raise Refused(
            "a bus's URL on SQS names a region, `sqs://eu-west-1/prod`; credentials come from the"
            " standard AWS variables, another endpoint from `?endpoint=`"
        )
    # botocore reads AWS_DEFAULT_REGION; the containers of AWS are given AWS_REGION.
    region = parts.netloc or os.environ.get("AWS_REGION")
    options: dict[str, str | int] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        options[name] = _option(name, value)
    return Address(env, region or None, **options)  # type: ignore[arg-type]  # as `_option` checks


def _option(name: str, value: str) -> str | int:
    if name in NUMBERS:
        least, most = NUMBERS[name]
        if not value.isdecimal() or not least <= int(value) <= most:
            raise Refused(f"option `{name}` is `{value}`; give a number from {least} to {most}")
        return int(value)
    if name not in TEXTS:
        allowed = ", ".join(f"`{known}`" for known in (*TEXTS, *NUMBERS))
        raise Refused(f"`{name}` is no option of a bus's URL on SQS; allowed are {allowed}")
    if name == "endpoint" and urlsplit(value).scheme not in ("http", "https"):
        raise Refused(f"endpoint `{value}` is no URL; give `http://host:port` or `https://…`")
    if name == "bodies" and not value.startswith(("s3://", "/")):
        raise Refused(f"`{value}` cannot hold bodies; give `s3://bucket/prefix` or `/a/folder`")
    return value

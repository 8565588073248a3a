"""How a message lies in SQS: all headers in one JSON attribute, the body as text or as base64.

SQS allows ten attributes and only some characters, and no empty body.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

HEADERS = "headers"
ENCODING = "encoding"
BASE64 = "base64"
EMPTY = "empty"
_FRAME = 32
"""Bytes that an attribute costs beside its value, at most: its name and its type."""
_NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Packed:
    """What one message sends. `size` is what SQS counts, in bytes; `delay` is in whole seconds."""

    body: str
    attributes: Mapping[str, Mapping[str, str]]
    size: int
    delay: int = 0

    def entry(self, name: str) -> dict[str, Any]:
        """As an entry of a batch, under a name that is unique in it."""
        entry = {"Id": name, "MessageBody": self.body, "MessageAttributes": self.attributes}
        return entry | {"DelaySeconds": self.delay} if self.delay else entry


def pack(
    headers: Mapping[str, str],
    body: bytes,
    others: Mapping[str, str] | None = None,
    delay: int = 0,
) -> Packed:
    """`others` become attributes of their own, beside those of the headers and the encoding."""
    text, encoding = _text(body)
    attributes = {HEADERS: _string(dumped(headers))}
    if encoding:
        attributes[ENCODING] = _string(encoding)
    for name, value in (others or {}).items():
        attributes[name] = _string(value)
    size = len(text) if text.isascii() else len(text.encode())
    size += sum(_FRAME + len(value["StringValue"]) for value in attributes.values())
    return Packed(text, attributes, size, delay)


def dumped(value: Any) -> str:
    """JSON in ASCII, which SQS takes whatever it says."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)
    return text if text.isascii() else json.dumps(value)


def unpack(message: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a message as received.

    Headers that are none come under the name `headers`, as they are.
    """
    attributes = message.get("MessageAttributes", {})
    headers: dict[str, str] = {}
    if HEADERS in attributes:
        headers = _headers(attributes[HEADERS].get("StringValue", ""))
    encoding = attributes[ENCODING].get("StringValue") if ENCODING in attributes else None
    text: str = message["Body"]
    if encoding == EMPTY:
        return headers, b""
    if encoding == BASE64:
        try:
            return headers, b64decode(text, validate=True)
        except ValueError:
            return headers, text.encode()
    return headers, text.encode()


def _headers(text: str) -> dict[str, str]:
    try:
        headers = orjson.loads(text)  # which refuses halves of characters, as others would later
    except ValueError:
        return {HEADERS: text}
    if isinstance(headers, dict) and all(type(value) is str for value in headers.values()):
        return headers
    return {HEADERS: text}


def _text(body: bytes) -> tuple[str, str | None]:
    if not body:
        return "-", EMPTY
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return b64encode(body).decode(), BASE64
    if text.isprintable() or not _NOT_ALLOWED.search(text):
        return text, None
    return b64encode(body).decode(), BASE64


def _string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}

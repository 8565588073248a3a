"""Whatever is posted in a session, answers to its question among it, is answered, and ends nothing.

`INTERLOCK_FUZZ=full` makes it look fifty times longer.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.settings import Settings
from tests.fuzz import fuzzed, require_sound
from tests.services.gateway.build import World, key_of
from tests.services.gateway.http.sitting import Sitting, older_call, request, sitting
from tests.services.gateway.http.test_fuzz import JSON, MESSAGE, TEXT, WITHIN
from tests.services.gateway.http.test_rounds import ELICIT, asking

ASKED = "asked"
"""Stands for the id of the question that was put."""
ANSWER = st.fixed_dictionaries(
    {"id": st.just(ASKED) | st.builds("{}/{}#{}".format, TEXT, TEXT, st.integers()) | JSON},
    optional={"jsonrpc": st.just("2.0"), "result": JSON, "error": JSON},
)


@dataclass(frozen=True)
class Asked:
    """A client, and the id of what it is asked."""

    client: Sitting
    question: str


@pytest.fixture
async def asked(suite: World) -> AsyncIterator[Asked]:
    """One for all examples. It is asked two things, and never answers the other."""
    suite.authority.judge = asking({"it": ELICIT, "other": ELICIT})
    many = Settings(sticky_sessions=True, sessions_per_principal=10_000)
    async with suite.gateway(many) as gateway, sitting(gateway) as client:
        async with client.call(older_call("fuzzed")) as call:
            question = await call.next()
            yield Asked(client, question["id"])


@given(message=ANSWER | MESSAGE)
@example(message={"id": ASKED, "result": {"action": "accept"}})
@example(message={"id": ASKED, "error": {"code": "x", "message": None}})
@fuzzed(60)
async def test_no_message_breaks_a_session(asked: Asked, message: dict[str, Any]) -> None:
    if message.get("id") == ASKED:
        message = {**message, "id": asked.question}
    async with asyncio.timeout(WITHIN):
        told = await asked.client.http.post(
            asked.client.path, content=json.dumps(message), headers=asked.client.headers
        )
        require_sound(told.status_code, told.text, key_of("copilot"), asked.client.id)
        assert (await asked.client.post(request("ping"))).status_code == 200

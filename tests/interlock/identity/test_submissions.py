"""An agent's signature covers all of what it submits, and only its own keys count."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from joserfc.jwk import OKPKey

from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.identity.statements import Identity, sign_identity
from interlock.identity.submissions import AgentKey, Request, verify_submission
from tests.interlock.identity.build import ARGUMENTS, NOON, SIGNERS, signer, task

KEY = AgentKey("acme", signer("copilot"))
PUBLIC = orjson.dumps(KEY.signer.key.as_dict(private=False)).decode()
OTHER = orjson.dumps(signer("copilot").key.as_dict(private=False)).decode()


def submitted(delegation: str | None = None) -> TaskSubmitted:
    deadline = NOON + timedelta(hours=1)
    request = Request("ref-1", "crm", "search", ARGUMENTS, deadline, delegation=delegation)
    return KEY.submit(request, NOON)


def test_the_key_that_signed_is_named() -> None:
    assert verify_submission(submitted(), [OTHER, PUBLIC]) == KEY.signer.key.thumbprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "other"},
        {"agent": "deal-desk"},
        {"client_ref": "ref-2"},
        {"kind": TaskKind.READ},
        {"server": "erp"},
        {"tool": "delete"},
        {"arguments": ARGUMENTS + " "},
        {"deadline": NOON + timedelta(hours=2)},
        {"delegation": None},
        {"delegation": "another"},
        {"statement": ""},
        {"statement": sign_identity(SIGNERS["gateway"], Identity.of(task()))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_that_was_signed_can_be_changed(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verify_submission(submitted("theirs").model_copy(update=changes), [PUBLIC])
    assert refused.value.code == "bad_signature"


def test_a_key_that_is_not_registered_proves_nothing() -> None:
    with pytest.raises(Refused, match="not registered"):
        verify_submission(submitted(), [OTHER])


def test_an_agent_s_key_comes_from_its_jwk() -> None:
    jwk = dict(OKPKey.generate_key("Ed25519").as_dict(private=True))
    key = AgentKey.of("acme", "copilot", jwk)
    public = orjson.dumps(key.signer.key.as_dict(private=False)).decode()
    request = Request("ref-1", "crm", "search", ARGUMENTS, NOON + timedelta(hours=1))
    assert verify_submission(key.submit(request, NOON), [public]) == key.signer.kid

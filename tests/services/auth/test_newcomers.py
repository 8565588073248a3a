"""People who sign in for the first time."""

import orjson
import pytest

from interlock.contracts.access import Admits, IssuerRecord
from interlock.contracts.changes import UserRegistered
from interlock.errors import Refused
from tests.services.auth.rig import Rig

IDP = "https://id.example/realms/acme"


async def issuer(rig: Rig, admits: Admits) -> IssuerRecord:
    rig.discovery.key_sets[IDP] = '{"keys":[]}'
    async with rig.client(await rig.key("admin")) as http:
        asked = {"issuer": IDP, "admits": admits}
        assert (await http.post("/auth/v1/issuers", json=asked)).json()["admits"] == admits
    return IssuerRecord(tenant="default", issuer=IDP, audiences=(), jwks="", admits=admits)


async def test_a_newcomer_is_registered_once_without_roles_by_auth_itself(rig: Rig) -> None:
    await issuer(rig, Admits.PROVISIONED)
    assert await rig.newcomers.register("default", IDP, "ana")
    assert not await rig.newcomers.register("default", IDP, "ana")
    await rig.relay.flush()
    (fact,) = [one for one in rig.facts() if isinstance(one, UserRegistered)]
    assert (fact.by.label, fact.name, fact.roles) == ("service:auth", "ana", ())
    known = await rig.users.show("default", "ana")
    assert orjson.loads(known.record.model_dump_json())["enabled"] is True


@pytest.mark.parametrize("admits", [Admits.NAMED, Admits.REGISTERED])
async def test_nobody_is_registered_for_an_issuer_that_does_not_say_so(
    rig: Rig, admits: Admits
) -> None:
    await issuer(rig, admits)
    assert not await rig.newcomers.register("default", IDP, "ana")
    assert not await rig.newcomers.register("default", "https://strange.example", "ana")


async def test_a_name_that_is_taken_is_not_linked_with_whoever_comes(rig: Rig) -> None:
    record = await issuer(rig, Admits.PROVISIONED)
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={"name": "ana"})
    assert not await rig.newcomers.register("default", IDP, "ana")
    with pytest.raises(Refused) as error:
        await rig.newcomers.named(record, "ana")
    assert error.value.code == "unknown_user"


async def test_an_assertion_names_people_as_a_token_does(rig: Rig) -> None:
    record = await issuer(rig, Admits.PROVISIONED)
    name, rests_on = await rig.newcomers.named(record, "8d1f")
    assert (name, len(rests_on)) == ("8d1f", 1)
    async with rig.client(await rig.key("admin")) as http:
        linked = {"name": "eva", "identities": [{"issuer": IDP, "subject": "77"}]}
        await http.post("/auth/v1/users", json=linked)
    assert (await rig.newcomers.named(record, "77"))[0] == "eva"

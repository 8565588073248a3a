"""`interlock user` and `interlock tenant`."""

from tests.components.suite import until
from tests.components.world import World
from tests.interlock.cli.conftest import Cli

IDP = "https://id.example/realms/acme"


def person(governed: World, key: str) -> Cli:
    return Cli(("--url", governed.suite.url, "--token", key))


def test_a_user_gets_roles_and_keys_and_is_disabled(operator: Cli, governed: World) -> None:
    operator.ok("user", "add", "ulla", "--role", "auditor", "--email", "ulla@acme.example")
    key = operator.json("key", "create", "--person", "ulla", "--role", "auditor")["key"]
    ulla = person(governed, key)

    def reads() -> bool:
        return ulla("audit", "list", "--limit", "1").code == 0

    until(reads, "audit knows the key")
    operator.ok("user", "roles", "ulla", "owner")
    assert operator.json("user", "show", "ulla")["roles"] == ["owner"]
    until(lambda: not reads(), "audit knows that she is no auditor any more")
    operator.ok("user", "disable", "ulla")
    until(lambda: "is disabled" in ulla("key", "list").err, "she is shut out")
    assert "yes" not in operator.ok("user", "show", "ulla").out
    operator.ok("user", "enable", "ulla")
    until(lambda: "revoked" in ulla("key", "list").err, "what there was does not come back")
    listed = {one["name"]: one for one in operator.json("user", "list")}
    assert listed["ulla"]["email"] == "ulla@acme.example"
    assert "ulla@acme.example" in operator.ok("user", "list").out


def test_who_signs_in_as_a_user_and_who_acts_for_it(operator: Cli) -> None:
    operator.ok("agent", "add", "helper")
    operator.ok("user", "add", "vera@acme.example", "--issuer", IDP)
    operator.ok("user", "link", "vera@acme.example", IDP, "8d1f")
    shown = operator.json("user", "show", "vera@acme.example")
    assert [one["subject"] for one in shown["identities"]] == ["8d1f", "vera@acme.example"]
    assert f"8d1f at {IDP}" in operator.ok("user", "show", "vera@acme.example").out
    operator.ok("user", "unlink", "vera@acme.example", IDP, "8d1f")
    assert operator("user", "unlink", "vera@acme.example", IDP, "8d1f").code == 1
    assert operator.json("user", "agents", "vera@acme.example", "--let", "helper") == ["helper"]
    assert operator.json("user", "agents", "vera@acme.example", "--stop", "helper") == []
    assert operator("user", "add", "w", "--subject", "1").code == 2


def test_a_user_is_erased_after_a_question(operator: Cli) -> None:
    operator.ok("user", "add", "xena")
    assert operator("user", "erase", "xena").code == 1
    operator.ok("user", "erase", "xena", "--yes")
    assert "erased" in operator("user", "add", "xena").err
    assert "xena" not in operator.ok("user", "list").out


def test_a_tenant_is_added_disabled_and_enabled(operator: Cli, governed: World) -> None:
    made = operator.ok("tenant", "add", "umbrella")
    admin = person(governed, made.out.strip())
    admin.ok("user", "add", "ulla")
    assert [one["name"] for one in admin.json("user", "list")] == ["ulla"]
    assert admin("tenant", "list").code == 1
    operator.ok("tenant", "disable", "umbrella", "--reason", "left")
    assert admin("user", "list").code == 1
    assert operator.json("tenant", "show", "umbrella")["enabled"] is False
    assert "umbrella" in operator.ok("tenant", "list").out
    operator.ok("tenant", "enable", "umbrella")
    admin.ok("user", "list")
    assert operator("tenant", "disable", "default").code == 1

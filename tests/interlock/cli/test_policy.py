"""`interlock policy`."""

from pathlib import Path

from tests.interlock.cli.conftest import Cli

GOOD = """// Nobody exports at night.
@id("no-export")
@reason("exports are made by day")
forbid (principal, action == Action::"call", resource == Tool::"crm__export_customers");
"""
BAD = "permit (principal, action, resource);\n\nforbid (principal, acton, resource);\n"


def test_a_good_policy_is_checked_without_a_suite(alone: Cli, tmp_path: Path) -> None:
    file = tmp_path / "exports.cedar"
    file.write_text(GOOD)
    found = alone.json("policy", "check", str(file))
    assert found["valid"]
    assert [rule["id"] for rule in found["rules"]] == ["no-export"]
    assert "no-export\tforbid" in alone.ok("policy", "check", str(file)).out


def test_every_fault_is_told_with_file_line_and_column(alone: Cli, tmp_path: Path) -> None:
    first, second = tmp_path / "a.cedar", tmp_path / "b.cedar"
    first.write_text(BAD)
    second.write_text("permit (principal, action, resource) when { resource.colour == 1 };\n")
    ran = alone("policy", "check", str(first), str(second))
    assert ran.code == 1
    lines = ran.err.splitlines()
    assert lines[0].startswith(f"{first}:3:20: ")
    assert lines[1].startswith(f"{second}:1:")
    assert alone.json("policy", "check", str(first), code=1)["faults"][0]["line"] == 3


def test_a_file_that_is_not_there_is_exit_code_2(alone: Cli, tmp_path: Path) -> None:
    ran = alone("policy", "check", str(tmp_path / "none.cedar"))
    assert ran.code == 2
    assert "cannot read" in ran.err


def test_a_policy_is_put_listed_shown_and_deleted(operator: Cli, tmp_path: Path) -> None:
    file = tmp_path / "no-exports.cedar"
    file.write_text(GOOD)
    before = operator.json("policy", "list")["version"]
    assert operator.json("policy", "put", str(file))["version"] == before + 1
    listed = operator.json("policy", "list")
    assert "no-exports" in {one["name"] for one in listed["policies"]}
    assert "builtin/calls" in operator.ok("policy", "list").out
    assert operator.ok("policy", "show", "no-exports").out == GOOD
    operator.ok("policy", "delete", "no-exports")
    assert operator("policy", "show", "no-exports").code == 1
    assert operator.ok("policy", "show", "no-exports", "--version", str(before + 1)).out == GOOD
    assert "no-exports" in operator.ok("policy", "history").out


def test_a_bad_policy_is_not_put(operator: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bad.cedar"
    file.write_text(BAD)
    ran = operator("policy", "put", str(file))
    assert ran.code == 1
    assert "bad.cedar:3:20" in ran.err

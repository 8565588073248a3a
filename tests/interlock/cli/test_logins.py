"""`interlock server login` against a running suite and an upstream that wants OAuth."""

import asyncio
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.components.ports import lasting_port
from tests.components.world import AGENT, World
from tests.interlock.cli.conftest import Cli
from tests.services.invocation.clients.authorizing import Office, office

SERVER = "guarded"


@pytest.fixture
def place() -> Iterator[Office]:
    """Runs in a thread, as commands run in this one."""
    began, over = threading.Event(), threading.Event()
    found: list[Office] = []

    async def run() -> None:
        async with office() as one:
            found.append(one)
            began.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert began.wait(20)
    yield found[0]
    over.set()
    thread.join()


@pytest.fixture
def consenting(place: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's browser: it comes back at once."""

    def visit(url: str) -> bool:
        threading.Thread(target=lambda: urlopen(place.consent(url), timeout=20).close()).start()
        return True

    monkeypatch.setattr(webbrowser, "open", visit)


def kept(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All that a suite has written, but for where secrets belong."""
    for path in [*folder.rglob("*"), *folder.parent.glob("*.log")]:
        if path.is_file() and "logins" not in path.parts:
            yield path, path.read_bytes()


@pytest.mark.promise("logins")
@pytest.mark.usefixtures("consenting")
def test_a_server_is_logged_in_to_called_and_logged_out_of_and_no_secret_is_anywhere(
    operator: Cli, governed: World, place: Office
) -> None:
    options = ("--capability", "guards", "--owner-team", "sales", "--technical-owner", "olga")
    added = operator("server", "add", SERVER, "--url", f"{place.origin}/mcp", *options)
    assert added.code == 1
    assert f"interlock server login {SERVER}" in added.err
    port = str(lasting_port())
    shown = operator.json("server", "login", SERVER, "--port", port)
    assert (shown["grant"], shown["issuer"]) == ("authorization_code", place.origin)
    assert "search" in operator.ok("server", "inspect", SERVER).out
    for state in ("submitted", "security_review", "approved_dev"):
        operator.ok("server", "move", SERVER, state)
    asked = {"server": SERVER, "tool": "search", "arguments": {}}
    ask = governed.suite.ask
    assert ask("POST", "/v1/tasks", asked, governed.key)["state"] == "succeeded", AGENT
    place.revoke()
    place.refreshing.clear()
    failed = ask("POST", "/v1/tasks", asked, governed.key)
    assert (failed["state"], failed["code"]) == ("failed", "no_credential"), failed
    assert f"interlock server login {SERVER}" in failed["reason"]
    said = operator.ok("server", "logout", SERVER)
    found = [
        path
        for path, content in kept(governed.suite.data)
        for secret in place.secrets
        if secret.encode() in content
    ]
    assert (found, said.out) == ([], "")


def test_a_login_names_what_it_lacks(operator: Cli) -> None:
    ran = operator("server", "login", SERVER, "--client-id", "me")
    assert (ran.code, "--issuer" in ran.err) == (2, True)

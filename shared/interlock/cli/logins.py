"""`interlock server login` and `logout`: an upstream that wants OAuth lets Interlock in."""

import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.connection import Json, answered, request
from interlock.cli.output import CANNOT, print_fields, print_json, say
from interlock.errors import Refused

Name = Annotated[str, typer.Argument(help="The server's name.")]
PORT = 8765
CONSENT_SECONDS = 600.0
PAGE = b"<!doctype html><title>Interlock</title><p>Thank you. Interlock goes on where you began."
SHOWN = ("grant", "issuer", "client_id", "scope", "expires_at", "renews_itself", "lacks")


def login(  # noqa: PLR0913 one option for each thing that an authorization server may want to know
    context: typer.Context,
    name: Name,
    *,
    client_id: Annotated[
        str | None, typer.Option(help="Of a client registered there; else Interlock registers.")
    ] = None,
    client_secret_file: Annotated[Path | None, typer.Option(help="Holds its secret.")] = None,
    private_key_file: Annotated[
        Path | None, typer.Option(help="PEM: it proves itself with `private_key_jwt`.")
    ] = None,
    algorithm: Annotated[str, typer.Option(help="Of that key.")] = "RS256",
    method: Annotated[
        str | None, typer.Option(help="client_secret_basic, client_secret_post or none.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="The authorization server that alone is shown the secret.")
    ] = None,
    as_itself: Annotated[
        bool, typer.Option("--as-itself", help="Client credentials: no person consents.")
    ] = False,
    scope: Annotated[
        str | None, typer.Option(help="Beside what the server asks for; separated by spaces.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Of this machine: where the browser comes back to.")
    ] = PORT,
    browser: Annotated[bool, typer.Option(help="Open it; else only print the address.")] = True,
    as_json: Json = False,
) -> None:
    """Have a server that wants OAuth let Interlock in, with your consent or as Interlock itself."""
    if client_id is not None and issuer is None:
        raise typer.BadParameter("`--client-id` needs `--issuer`: who may see its secret")
    client = {
        "client_id": client_id,
        "issuer": issuer,
        "method": method or _method(client_secret_file, private_key_file),
        "client_secret": _read(client_secret_file),
        "private_key": _read(private_key_file),
        "algorithm": algorithm,
    }
    body = {"client": client if client_id is not None else None, "scope": scope}
    path = f"/invocation/v1/servers/{name}/login"
    if as_itself:
        request(context, "POST", path, {**body, "grant": "client_credentials"})
    else:
        came = _consented(context, path, body, port, browser)
        request(context, "POST", f"{path}/answer", {"redirected_to": came})
    shown = request(context, "GET", path)
    if as_json:
        print_json(shown)
        return
    print_fields(shown, SHOWN)
    say(f"ask it for its tools: `interlock server inspect {name}`")


def logout(context: typer.Context, name: Name) -> None:
    """Take back what a server let Interlock in with, and forget it; calls carry it for 5 s more."""
    told = request(context, "DELETE", f"/invocation/v1/servers/{name}/login")
    if not told.get("revoked"):
        say(f"its tokens were not taken back there, and are good until they end: {told.get('why')}")
    say(f"server `{name}` is asked without any authorization from now on")


def _consented(
    context: typer.Context, path: str, body: dict[str, Any], port: int, browser: bool
) -> str:
    """The URL with which the person's browser came back."""
    with answered(lambda: Callback(port)) as callback:
        begun = request(context, "POST", path, {**body, "redirect_uri": callback.url})
        say(f"consent at {begun['consent_at']}")
        if browser:
            webbrowser.open(begun["consent_at"])
        return answered(callback.wait)


class Callback:
    """Where the browser comes back to; open while entered (RFC 8252 §7.3)."""

    def __init__(self, port: int) -> None:
        self._came: list[str] = []
        came = self._came

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback?"):
                    came.append(self.path)
                self.send_response(200 if came else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(PAGE if came else b"")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what comes is secret."""

        class Once(HTTPServer):
            timeout = CONSENT_SECONDS

            def handle_timeout(self) -> None:
                raise Refused(f"nobody consented within `{CONSENT_SECONDS:g}` seconds")

        try:
            self._server = Once(("127.0.0.1", port), Handler)
        except OSError:
            raise Refused(
                f"port `{port}` of this machine is taken; choose another `--port`"
            ) from None
        self._origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self._origin}/callback"

    def __enter__(self) -> "Callback":
        return self

    def __exit__(self, *error: object) -> None:
        self._server.server_close()

    def wait(self) -> str:
        """The URL with which the browser came; `Refused` if it does not in time."""
        while not self._came:
            self._server.handle_request()
        return self._origin + self._came[0]


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        say(f"interlock: cannot read `{path}`: {(error.strerror or str(error)).lower()}")
        raise typer.Exit(CANNOT) from None


def _method(secret: Path | None, key: Path | None) -> str:
    if key is not None:
        return "private_key_jwt"
    return "client_secret_basic" if secret is not None else "none"

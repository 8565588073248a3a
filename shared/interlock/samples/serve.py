"""How a sample is served: one process, one port, until SIGTERM or SIGINT."""

import argparse

import uvicorn
from starlette.types import ASGIApp


def parser(name: str, port: int) -> argparse.ArgumentParser:
    """What every sample's command line takes."""
    options = argparse.ArgumentParser(prog=f"python -m interlock.samples.{name}")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=port)
    return options


def serve(app: ASGIApp, options: argparse.Namespace) -> None:
    """Serve at `/mcp` of the chosen address."""
    uvicorn.run(
        app, host=options.host, port=options.port, log_level="warning", access_log=False, ws="none"
    )

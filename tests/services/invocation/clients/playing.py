"""An MCP server on stdio of before 2026-07-28, without any library, that misbehaves when asked to.

Run as a script. Each request is answered in a thread of its own.
"""

import json
import os
import subprocess
import sys
import threading
from typing import Any

ANSWERS = threading.Lock()
CANCELLED: list[object] = []
HERE: list[int] = []
TIDES = threading.Condition()
ASKED = threading.Condition()
TOLD: dict[object, Any] = {}


def say(message: dict[str, Any]) -> None:
    with ANSWERS:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def crash(arguments: dict[str, Any]) -> Any:
    sys.stderr.write("out of cheese\n")
    sys.stderr.flush()
    os._exit(3)


def spawn(arguments: dict[str, Any]) -> Any:
    """A child that ignores that its parent ends."""
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", script])
    return {"pid": child.pid, "own": os.getpid()}


def environ(arguments: dict[str, Any]) -> Any:
    return {"names": sorted(os.environ), "own": os.environ.get("OWN"), "cwd": os.getcwd()}


def meet(arguments: dict[str, Any]) -> Any:
    """Answers once `of` calls are under way at the same time."""
    with TIDES:
        HERE.append(1)
        TIDES.notify_all()
        TIDES.wait_for(lambda: len(HERE) >= arguments["of"], 20)
    return {"pid": os.getpid()}


def hang(arguments: dict[str, Any]) -> Any:
    threading.Event().wait()


def cancelled(arguments: dict[str, Any]) -> Any:
    return {"ids": CANCELLED}


def flood(arguments: dict[str, Any]) -> Any:
    return {"text": "x" * arguments["size"]}


def refuse(arguments: dict[str, Any]) -> Any:
    return KeyError


def announce(arguments: dict[str, Any]) -> Any:
    """Says that its tools have changed, and of what nobody asked for."""
    for changed in ("prompts", "tools"):
        say({"method": f"notifications/{changed}/list_changed"})


def roots(arguments: dict[str, Any]) -> Any:
    """Asks its client, and answers with what it was told."""
    with ASKED:
        number = f"ask-{len(TOLD)}"
        TOLD[number] = None
        say({"id": number, "method": "roots/list"})
        ASKED.wait_for(lambda: TOLD[number] is not None, 20)
        return TOLD[number]


TOOLS = {
    f.__name__: f
    for f in (announce, crash, spawn, environ, meet, hang, cancelled, flood, refuse, roots)
}


def call(number: object, params: dict[str, Any]) -> None:
    told = TOOLS[params["name"]](params["arguments"])
    if told is KeyError:
        say({"id": number, "error": {"code": -32000, "message": "not today", "data": 1}})
    else:
        content = [{"type": "text", "text": json.dumps(told)}]
        say({"id": number, "result": {"content": content}})


def hear(message: dict[str, Any]) -> None:
    number, params = message.get("id"), message.get("params", {})
    if "method" not in message:
        with ASKED:
            TOLD[number] = message.get("result", message.get("error"))
            ASKED.notify_all()
        return
    match message["method"]:
        case "initialize":
            version = params["protocolVersion"]
            info = {"name": "playing", "version": "7"}
            capabilities: dict[str, Any] = {"tools": {}}
            result = {"protocolVersion": version, "serverInfo": info, "capabilities": capabilities}
            say({"id": number, "result": result})
        case "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
            say({"id": number, "result": {"tools": tools}})
        case "tools/call":
            threading.Thread(target=call, args=(number, params), daemon=True).start()
        case "notifications/cancelled":
            CANCELLED.append(params["requestId"])
        case _ if number is not None:
            say({"id": number, "error": {"code": -32601, "message": "what?"}})


def main() -> None:
    sys.stdout.write("welcome! (a mistake: this is no JSON-RPC)\n")
    for line in sys.stdin:
        hear(json.loads(line))


if __name__ == "__main__":
    main()

"""JSON Schemas of all messages: `python -m interlock.contracts.export [FOLDER]` writes them."""

import json
import sys
from pathlib import Path
from typing import Any

from interlock.contracts.message import Fact
from interlock.contracts.registry import MESSAGES

FOLDER = Path("docs/schemas")


def schema_of(message: type[Fact]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the body, under the message's wire type."""
    schema = message.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{message.type}",
        "x-topic": message.topic.value,
        **schema,
    }


def exported() -> dict[str, str]:
    """File name → text, one for each message."""
    return {
        f"{name}.json": json.dumps(schema_of(message), indent=2, sort_keys=True) + "\n"
        for name, message in MESSAGES.items()
    }


def main() -> None:
    """Write the schemas into the folder that is named, else `docs/schemas`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in exported().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()

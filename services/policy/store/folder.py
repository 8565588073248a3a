"""The operator's folder of `.cedar` files."""

from collections.abc import Mapping
from pathlib import Path

from interlock.errors import Refused
from services.policy import decide


def read_folder(folder: Path) -> Mapping[str, str]:
    """Texts by policy name; `Refused` where the folder or a file cannot be read or named."""
    if not folder.is_dir():
        raise Refused(f"`INTERLOCK_POLICY_FOLDER` is `{folder}`, which is no folder; make it")
    texts = {}
    for path in sorted(folder.glob("*.cedar")):
        decide.require_name("policy", path.stem)
        try:
            texts[path.stem] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"policy file `{path}` cannot be read: {error}") from None
    return texts

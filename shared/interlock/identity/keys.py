"""Key files: the suite's HMAC key and each service's Ed25519 key (DESIGN §6).

A folder holds `suite.key` (lines `<key id> <64 hex digits>`, the first signs), `<service>.key.json`
(a private JWK, mode 0600) and `<service>.pub.json` (its public JWK, for all). To change a service's
key put the old public one beside it as `<service>.<anything>.pub.json` for a while.
"""

import os
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from interlock.bus import Keyring
from interlock.errors import Refused
from interlock.identity import jose
from interlock.identity.statements import Signer, Trust

SUITE = "suite.key"


def load_keyring(folder: Path, *, create: bool) -> Keyring:
    """The suite's keys; makes the file where it is missing and `create` allows it.

    Raises `Refused` with the fix for a file that is missing, readable by others or no key file.
    """
    path = folder / SUITE
    text = _secret(path, create, _new_suite_key).decode()
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, digits = line.strip().partition(" ")
        try:
            keys[name] = bytes.fromhex(digits)
        except ValueError:
            keys[name] = b""
        if not name or ":" in name or len(keys[name]) < 32:
            raise Refused(
                f"line `{number}` of `{path}` is no key; write `<key id> <64 hex digits>`"
            )
    if not keys:
        raise Refused(f"`{path}` holds no key; delete it, or write `<key id> <64 hex digits>`")
    return Keyring(keys)


def load_signer(folder: Path, service: str, *, create: bool) -> Signer:
    """The service's private key; made, with its public half, where it is missing.

    Raises `Refused` as `load_keyring` does.
    """
    path = folder / f"{service}.key.json"
    text = _secret(path, create, lambda: orjson.dumps(new_key()))
    try:
        key = OKPKey.import_key(orjson.loads(text))
    except (JoseError, KeyError, TypeError, ValueError):
        key = None
    if key is None or not key.is_private or key.curve_name != jose.ED25519:
        raise Refused(f"`{path}` is no private Ed25519 key as JWK; put the right one there")
    signer = Signer.of(service, key)
    public = folder / f"{service}.pub.json"
    if create and not public.exists():
        _write_once(public, orjson.dumps(key.as_dict(private=False)), 0o644)
    return signer


def load_trust(folder: Path, *, create: Iterable[str] = ()) -> Trust:
    """All public keys in the folder; makes the keys of the services in `create` before."""
    for service in create:
        load_signer(folder, service, create=True)
    keys: dict[tuple[str, str], OKPKey] = {}
    for path in sorted(folder.glob("*.pub.json")):
        try:
            key = jose.public_key(path.read_text("utf-8"))
        except (jose.Unproven, UnicodeDecodeError):
            key = None
        if not isinstance(key, OKPKey) or key.curve_name != jose.ED25519:
            raise Refused(f"`{path}` is no public Ed25519 key as JWK; correct or remove it")
        keys[path.name.partition(".")[0], key.thumbprint()] = key
    return Trust(keys)


def deal_keys(root: Path, services: Mapping[str, Iterable[str]]) -> None:
    """A folder below `root` for each service, to be handed to it alone: the suite's key, the
    private keys that the service signs with, by name, and everybody's public ones.

    What is there stays; what is missing is made. Raises `Refused` as `load_keyring` does.
    """
    folders = [root / service for service in services]
    for folder, names in zip(folders, services.values(), strict=True):
        load_trust(folder, create=names)
    public = {path.name: path.read_bytes() for one in folders for path in one.glob("*.pub.json")}
    known = next((one for one in folders if (one / SUITE).exists()), folders[0])
    load_keyring(known, create=True)
    suite = (known / SUITE).read_bytes()
    for folder in folders:
        _write_once(folder / SUITE, suite, 0o600)
        for name, key in public.items():
            _write_once(folder / name, key, 0o644)


def new_key() -> dict[str, object]:
    """A new private Ed25519 key as JWK."""
    return dict(OKPKey.generate_key(jose.ED25519).as_dict(private=True))


def _new_suite_key() -> bytes:
    return f"k1 {secrets.token_hex(32)}\n".encode()


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, over what was there."""
    part = _part(path, content, 0o600)
    os.replace(part, path)


def _secret(path: Path, create: bool, make: Callable[[], bytes]) -> bytes:
    if create and not path.exists():
        _write_once(path, make(), 0o600)
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise Refused(f"others can read key file `{path}`; run `chmod 600 {path}`")
        return path.read_bytes()
    except FileNotFoundError:
        raise Refused(
            f"key file `{path}` is missing; put it there, or set `INTERLOCK_KEYS` to its folder"
        ) from None
    except PermissionError:
        raise Refused(f"key file `{path}` cannot be read by this user; run `chown` on it") from None


def _write_once(path: Path, content: bytes, mode: int) -> None:
    """Write a file unless it is there: of several processes at once, one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = _part(path, content, mode)
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _part(path: Path, content: bytes, mode: int) -> Path:
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return part

"""Secrets at rest: encrypted under the suite's key, which no database and no Redis sees."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interlock.bus import Keyring
from interlock.errors import Refused

SIGNING_KEYS = b"interlock auth: signing keys at rest"
CLIENT_SECRETS = b"interlock auth: secrets at issuers"
"""What is sealed for one purpose opens for no other."""


@dataclass(frozen=True)
class Seal:
    """AES-256-GCM under a key derived (HKDF) from the suite's, which so may rotate."""

    keyring: Keyring
    purpose: bytes = SIGNING_KEYS

    def close(self, secret: bytes) -> str:
        """`<suite key's id>:<base64 of nonce and ciphertext>`"""
        name = next(iter(self.keyring.keys))
        nonce = urandom(12)
        ciphertext = self._cipher(name).encrypt(nonce, secret, self.purpose)
        return f"{name}:{b64encode(nonce + ciphertext).decode()}"

    def open(self, sealed: str) -> bytes:
        """What was sealed; `Refused` where the suite's key is not the one that sealed it."""
        name, _, text = sealed.partition(":")
        data = b64decode(text)
        try:
            return self._cipher(name).decrypt(data[:12], data[12:], self.purpose)
        except (InvalidTag, KeyError):
            raise Refused(
                f"a secret is sealed with suite key `{name}`; put that key back into "
                "`suite.key`, after the current one"
            ) from None

    def _cipher(self, name: str) -> AESGCM:
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=self.purpose)
        return AESGCM(derive.derive(self.keyring.keys[name]))

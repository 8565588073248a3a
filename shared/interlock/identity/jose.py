"""Compact JSON Web Signatures (RFC 7515) as the whole suite makes and reads them.

Statements of services and agents have one algorithm and one of a few headers: where a header is
known to the byte, `joserfc` has nothing to find out, and costs as much as the signature itself.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.registry import Header
from joserfc.util import urlsafe_b64decode

ED25519: Final = "Ed25519"
"""RFC 9864; the older name `EdDSA` (RFC 8037) is read as this."""

Claims = Mapping[str, Any]
AsymmetricKey = RSAKey | ECKey | OKPKey


KINDS: Mapping[str, type[AsymmetricKey]] = MappingProxyType(
    {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
)
RSA_2048 = "x" * 342
"""As long as the modulus of the shortest RSA key that may sign (RFC 7518 §3.3), in base64url."""


REJECTED = (JoseError, AttributeError, TypeError, ValueError)
"""What `joserfc` raises of a header that it does not take."""


class Unproven(Exception):
    """The text is no signature of the key that it should be signed with. Says why in a clause."""


class Algorithms(JWSRegistry):
    """Which algorithms and headers are accepted."""

    max_header_length = 4096

    def get_alg(self, name: str) -> Any:
        return super().get_alg(ED25519 if name == "EdDSA" else name)


STATEMENTS = Algorithms(algorithms=[ED25519])
"""Of our services and of agents: one algorithm, and no header that we do not know."""

TOKENS = Algorithms(algorithms=["RS256", "ES256", ED25519], strict_check_header=False)
"""Of issuers."""


def sign(key: Key, header: Header, claims: Claims, algorithms: Algorithms = STATEMENTS) -> str:
    """The compact form. `header` names `alg`, `kid` and `typ`."""
    return jws.serialize_compact(dict(header), orjson.dumps(claims), key, registry=algorithms)


def segment(value: Header | Claims) -> bytes:
    """JSON in base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=")


def sign_segments(private: Any, header: bytes, payload: bytes) -> str:
    """The compact form (§7.1) of a header that says `Ed25519`, signed with the private half of an
    `OKPKey`; both parts as `segment` has them."""
    signed = b"%b.%b" % (header, payload)
    return (signed + b"." + urlsafe_b64encode(private.sign(signed)).rstrip(b"=")).decode()


def header_of(statement: str) -> Header:
    """What a statement (`STATEMENTS`) says of how it is signed. Believe none of it.

    Raises `Unproven` where it may not be signed so.
    """
    return _header(statement.partition(".")[0])


@lru_cache(maxsize=2048)
def _header(segment: str) -> Header:
    """The first part of a statement, read and checked with nothing behind it."""
    header = _parsed(f"{segment}.e30.", STATEMENTS).headers()
    try:
        STATEMENTS.check_header(header)
        STATEMENTS.get_alg(header["alg"])
    except REJECTED as error:
        raise _unproven(error) from None
    return header


def proven(statement: str, key: Key) -> Claims:
    """What a statement says whose header is known (`header_of`); `Unproven` unless `key` signed
    it."""
    signed, _, signature = statement.rpartition(".")
    algorithm = STATEMENTS.get_alg(ED25519)
    try:
        algorithm.check_key(key)
        given = urlsafe_b64decode(signature.encode("ascii"))
        payload = urlsafe_b64decode(signed.partition(".")[2].encode("ascii"))
        good = algorithm.verify(signed.encode("ascii"), given, key)
    except ValueError:
        raise Unproven("it is no compact JWS") from None
    except JoseError as error:
        raise _unproven(error) from None
    if not good:
        raise Unproven("its signature does not match")
    return _claims(payload)


def verify(
    token: str, key_for: Callable[[Header], Key], algorithms: Algorithms = STATEMENTS
) -> Claims:
    """The claims of `token`, proven by the key that `key_for` finds for its header.

    Raises `Unproven`, and what `key_for` raises.
    """
    signed = _parsed(token, algorithms)
    key = key_for(signed.headers())
    try:
        good = jws.validate_compact(signed, key, registry=algorithms)
    except REJECTED as error:
        raise _unproven(error) from None
    if not good:
        raise Unproven("its signature does not match")
    return _claims(signed.payload)


def unproven_claims(token: str, algorithms: Algorithms = STATEMENTS) -> Claims:
    """What a token says of itself, to find the key that could prove it. Believe none of it."""
    return _claims(_parsed(token, algorithms).payload)


def public_key(jwk: str | Mapping[str, Any]) -> AsymmetricKey:
    """A public key from a JWK (RFC 7517), JSON text or parsed.

    Raises `Unproven` where it is none, is private or symmetric.
    """
    try:
        value = orjson.loads(jwk) if isinstance(jwk, str) else dict(jwk)
        if not isinstance(value, dict):
            raise Unproven("it is no JSON object")
        if value.get("alg") == "EdDSA":
            value["alg"] = ED25519
        if len(value.get("n", RSA_2048)) < len(RSA_2048):
            raise Unproven("it is shorter than 2048 bits")
        key = KINDS[value["kty"]].import_key(value)
    except (JoseError, AttributeError, KeyError, TypeError, ValueError):
        raise Unproven("it is no JWK of a kind that is supported") from None
    if key.is_private:
        raise Unproven("it is no public key")
    return key


def _unproven(error: Exception) -> Unproven:
    if isinstance(error, JoseError):
        return Unproven(str(error.description or error.error).lower().rstrip("."))
    return Unproven("its header breaks RFC 7515")


def _parsed(token: str, algorithms: Algorithms) -> CompactSignature:
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=algorithms)
        header: object = signed.headers()
    except UnicodeEncodeError:
        raise Unproven("it holds characters that no JWS has") from None
    except (JoseError, AttributeError, TypeError, ValueError, RecursionError):
        raise Unproven("it is no compact JWS") from None
    if not isinstance(header, dict):
        raise Unproven("its header is no JSON object")
    return signed


def _claims(payload: bytes) -> Claims:
    try:
        claims = orjson.loads(payload)
    except ValueError:
        raise Unproven("its claims are no JSON") from None
    if not isinstance(claims, dict):
        raise Unproven("its claims are no JSON object")
    return claims


def key_set(jwks: str) -> Mapping[str, Key]:
    """The usable public keys of a JSON Web Key Set by kid (RFC 7517 §5: others are ignored)."""
    keys: dict[str, Key] = {}
    values = orjson.loads(jwks).get("keys")
    for value in values if isinstance(values, list) else ():
        if not isinstance(value, dict):
            continue
        try:
            key = public_key(value)
        except Unproven:
            continue
        if value.get("use", "sig") == "sig":
            keys[str(value.get("kid") or key.thumbprint())] = key
    return keys

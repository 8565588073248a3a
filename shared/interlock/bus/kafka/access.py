"""How brokers let us in: TLS, user and password, or AWS credentials."""

import asyncio
import ssl
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from faststream.security import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

from interlock.bus.kafka.address import Address
from interlock.errors import Refused

SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class MskTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """Tokens that MSK takes from whoever holds AWS credentials (SASL/OAUTHBEARER)."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def token(self) -> str:
        """One for each connection; it lives 15 minutes. In a thread: credentials may be fetched."""
        return await asyncio.to_thread(self._sign)

    def _sign(self) -> str:
        from aws_msk_iam_sasl_signer import (  # noqa: PLC0415 - half a second of botocore
            MSKAuthTokenProvider,
        )
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - comes with it

        try:
            token, _ = MSKAuthTokenProvider.generate_auth_token(self._region)
        except (BotoCoreError, ValueError, AttributeError) as error:
            raise Refused(
                f"no AWS credentials to sign in to MSK with: {error}; set `AWS_PROFILE` or a role"
            ) from None
        return str(token)


def security(address: Address) -> BaseSecurity:
    """As FastStream takes it. `Refused` where a certificate file cannot be read."""
    context = tls(address) if address.encrypted else None
    if address.auth:
        return SASLOAuthBearer(ssl_context=context)
    if address.security.startswith("sasl_"):
        made = SASL[address.mechanism]
        return made(address.user or "", address.password or "", ssl_context=context)
    return BaseSecurity(ssl_context=context)


def tokens(address: Address) -> dict[str, Any]:
    """What a client takes beside its security."""
    if address.auth and address.region:
        return {"sasl_oauth_token_provider": MskTokens(address.region)}
    return {}


def tls(address: Address) -> ssl.SSLContext:
    """Certificates and names are always checked."""
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert:
            context.load_cert_chain(address.cert, address.key)
    except (OSError, ssl.SSLError) as error:
        which = ", ".join(f"`{path}`" for path in (address.ca, address.cert, address.key) if path)
        raise Refused(f"no certificate can be read from {which}: {error}") from None
    return context

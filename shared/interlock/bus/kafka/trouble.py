"""What to say, and whether to wait or to give up, when Kafka does not do as it is asked."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors

from interlock.errors import InterlockError, Refused, Unavailable

AWAY = (errors.KafkaError, OSError, TimeoutError, RuntimeError)
"""Whatever keeps Kafka from serving us. The last is uvloop's word for a connection that closed a
moment ago, where asyncio's own loop says nothing and aiokafka expects an OSError."""

DENIED = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
LEFT = (errors.CommitFailedError, errors.IllegalStateError)
"""The group has moved on without us: what we hold is somebody else's now."""


def trouble(error: BaseException, asked: str) -> InterlockError:
    """The error to raise for one of `AWAY`; `asked` says what we wanted, as an infinitive."""
    if isinstance(error, DENIED):
        return Refused(f"may not {asked}: {_denial(error)}; grant it with an ACL or an IAM policy")
    if (wrong := _wrong(error)) is not None:
        return Refused(f"cannot {asked}: {wrong}")
    return Unavailable(f"the bus does not serve: cannot {asked}: {_words(error)}")


def _wrong(error: BaseException) -> str | None:
    """What of the URL is wrong, and what to do, where no repetition can help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate does not match ({error.verify_message.lower()}); name its authority "
            "with `ca=` in the Kafka URL, or correct the host's name"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason}); see `security=` in the Kafka URL"
    if isinstance(error, errors.InvalidReplicationFactorError):
        return f"{_words(error)}; say `replication=` in the Kafka URL"
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"the broker takes another `mechanism=`: {_words(error)}"
    if isinstance(error, errors.SaslAuthenticationFailed | errors.AuthenticationFailedError):
        return (
            "the broker does not take these credentials; correct user and password in the Kafka URL"
        )
    return None


def hung_up(error: BaseException) -> bool:
    """Whether the broker was there, and closed: with TLS 1.3 it says after the handshake only, and
    the client does not hear why, that a certificate is missing (RFC 8446, section 4.4.2.4)."""
    return isinstance(error, errors.KafkaConnectionError) and "closed" in str(error)


def _denial(error: BaseException) -> str:
    what = ", ".join(f"`{one}`" for one in _names(error.args))
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return f"permission `Read` of group {what or 'of consumers'} is missing"
    if isinstance(error, errors.ClusterAuthorizationFailedError):
        return "permission `Create` or `IdempotentWrite` of the cluster is missing"
    return f"permission `Read`, `Write` or `Describe` of topic {what or 'in question'} is missing"


def _names(given: object) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, tuple | list | set | frozenset):
        for one in given:
            yield from _names(one)


def _words(error: BaseException) -> str:
    """Kafka's own word for it, or the system's."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"`{told or type(error).__name__}`"


@contextmanager
def asking(asked: str) -> Iterator[None]:
    """Errors of the client become ours."""
    try:
        yield
    except AWAY as error:
        raise trouble(error, asked) from error

"""What went wrong at SQS, in one sentence with its fix."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientError as HttpError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConnectTimeoutError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from interlock.bus.sqs.broker.connection import NotSqs, PartlyRefused
from interlock.errors import InterlockError, Refused, Unavailable

TROUBLE = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    HttpError,
    OSError,
    TimeoutError,
    PartlyRefused,
    NotSqs,
)
SLOW = (ConnectTimeoutError, ReadTimeoutError, TimeoutError)
NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
UNASKED = (
    (
        NO_CREDENTIALS,
        "no_credentials",
        "no AWS credentials were found for SQS; set `AWS_ACCESS_KEY_ID` and"
        " `AWS_SECRET_ACCESS_KEY`, a profile, or give the task a role",
    ),
    (
        (NoRegionError,),
        "no_region",
        "no AWS region is set; write it into the bus's URL: `sqs://eu-west-1/prod`",
    ),
    (
        (ConfigNotFound, ProfileNotFound),
        "bad_configuration",
        "the AWS configuration is wrong: {error}",
    ),
    (
        (ResponseParserError, NotSqs),
        "not_sqs",
        "{where} does not answer as SQS does; look at the endpoint",
    ),
    (
        (SSLError,),
        "bad_certificate",
        "the certificate of SQS at {where} is not trusted: {error}",
    ),
)
"""What never reached SQS and a person has to put right."""
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
BAD_KEYS = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
    }
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
MISSING = frozenset({"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})
TOO_LARGE = frozenset({"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"})


@contextmanager
def told(where: str, queue: str = "", *, running: bool = True) -> Iterator[None]:
    """Errors of the client become ours.

    While a group or a door is `running` each is `Unavailable`: credentials are renewed and
    permissions are given meanwhile, and nothing is lost. Before that, what a person has to put
    right is `Refused`.
    """
    try:
        yield
    except TROUBLE as error:
        ours = fault(error, where, queue)
        if running and isinstance(ours, Refused):
            ours = Unavailable(ours.detail, code=ours.code)
        raise ours from None


def fault(error: Exception, where: str, queue: str) -> InterlockError:
    """`Refused` for what a person has to put right, else `Unavailable`."""
    if isinstance(error, ClientError):
        return _answered(error, where, queue)
    for kinds, code, sentence in UNASKED:
        if isinstance(error, kinds):
            return Refused(sentence.format(where=where, error=_line(error)), code=code)
    return Unavailable(_away(error, where, queue))


def _away(error: Exception, where: str, queue: str) -> str:
    if isinstance(error, PartlyRefused):
        return f"SQS did not take all of a batch for `{queue}`: {_line(error)}"
    if isinstance(error, SLOW):
        return f"the bus does not serve: SQS at {where} does not answer in time"
    if isinstance(error, NoConnection | HTTPClientError | HttpError | OSError | TimeoutError):
        return f"the bus does not serve: SQS at {where} cannot be reached"
    return f"the bus does not serve: {_line(error)}"


def _answered(error: ClientError, where: str, queue: str) -> InterlockError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    operation = error.operation_name
    if code in MISSING:
        return Unavailable(
            f"queue `{queue}` is missing at {where}; make it with `interlock bus apply`",
            code="queue_missing",
        )
    if code in EXPIRED:
        return Refused("the AWS credentials for SQS have expired; renew them", code="expired")
    if code in BAD_KEYS:
        return Refused(
            f"SQS at {where} does not accept the AWS credentials (`{code}`); look at the keys",
            code="bad_credentials",
        )
    if code in DENIED:
        return Refused(
            f"SQS does not let us do `sqs:{operation}` on `{queue}`; allow it to this role",
            code="denied",
        )
    return Unavailable(f"the bus does not serve: SQS answered `{code}` to `{operation}`: {said}")


def answered(error: ClientError) -> bool:
    """Whether SQS is there and knows us, though it did not do what was asked."""
    return str(error.response.get("Error", {}).get("Code", "")) in DENIED | MISSING


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

"""The three ways work can fail on purpose; the bus and the doors have one answer for each."""

from collections.abc import Mapping


class InterlockError(Exception):
    """Base of every error that this suite raises on purpose.

    `detail` is one lower-case sentence for people: what was wrong, which value, what to do.
    `code` is stable and for programs. Neither may hold a secret.
    """

    code = "internal"

    def __init__(
        self, detail: str, *, code: str | None = None, data: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.data: Mapping[str, object] = data or {}
        """More for programs, shown to the caller beside the sentence."""


class Refused(InterlockError):
    """The sender is wrong and a repeat cannot help.

    A door answers it. A bus handler states a fact instead, and raises it only for what is forged.
    """

    code = "refused"


class Unavailable(InterlockError):
    """Our own infrastructure is away for now: doors answer 503, a bus group pauses.

    `retry_after` is in seconds.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Unsure(InterlockError):
    """The request was sent and its answer got lost: a blind repeat may do it twice.

    `data["url"]` says where to look, where that is known.
    """

    code = "perhaps_accepted"


class Unreadable(InterlockError):
    """A message breaks its contract. Parked at once, with the raw bytes."""

    code = "unreadable"


class Early(InterlockError):
    """A message came before what it builds on: tried again with delay, and parked in the end."""

    code = "early"


class Forged(Refused):
    """A message, statement or grant is not by whom it says. Parked, recorded, never believed."""

    code = "forged"

"""What telemetry wants to know of a group's work; the bus calls it and knows nothing of metrics."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from interlock.bus.envelope import Envelope


class Observer(Protocol):
    """Told by the bus, from the event loop's thread; must neither block nor raise."""

    def handling(self, group: str, envelope: Envelope[Any]) -> AbstractContextManager[None] | None:
        """Entered around a handler, where there is one: a span that is current while it runs."""

    def handled(self, group: str, type_: str, messages: int) -> None:
        """So many handlers of one batch ended, well or not."""

    def failed(self, group: str, type_: str, error: BaseException) -> None:
        """A handler failed; what follows is told by `retried` or `parked`."""

    def retried(self, group: str, type_: str, delay: float) -> None:
        """A message comes again after `delay` seconds."""

    def parked(self, group: str, type_: str, code: str) -> None:
        """A message became a dead letter."""

    def settled(self, group: str, messages: int, seconds: float) -> None:
        """A batch was read, handled and acknowledged."""


class Silent:
    """Tells nobody."""

    def handling(self, group: str, envelope: Envelope[Any]) -> AbstractContextManager[None] | None:
        return None

    def handled(self, group: str, type_: str, messages: int) -> None: ...

    def failed(self, group: str, type_: str, error: BaseException) -> None: ...

    def retried(self, group: str, type_: str, delay: float) -> None: ...

    def parked(self, group: str, type_: str, code: str) -> None: ...

    def settled(self, group: str, messages: int, seconds: float) -> None: ...

"""What each transport can be made to suffer, under one name each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from tests.chaos.meddling import Meddler
from tests.components.proxy import Proxy, Trap
from tests.components.suite import Suite


class Transport(ABC):
    """A broker that a suite uses, and its ways to fail."""

    patience: float
    """Seconds after which a silent member of a group counts as gone."""

    @abstractmethod
    def way(self, suite: Suite) -> AbstractContextManager[Proxy]:
        """A way to the broker of one's own, for as long as the block lasts."""

    @abstractmethod
    def behind(self, suite: Suite, proxy: Proxy) -> Mapping[str, str]:
        """What a process is told that goes this way."""

    @abstractmethod
    def meddler(self, suite: Suite, group: str) -> Meddler:
        """One more member of a group."""

    @abstractmethod
    def trap(self) -> Trap:
        """Springs when somebody has published effects and is about to acknowledge."""

    def kill(self, suite: Suite) -> None:
        """SIGKILL to the broker; return once it runs again."""
        raise NotImplementedError

    def fill(self, suite: Suite) -> None:
        """From now on there is no room for another message."""
        raise NotImplementedError

    def drain(self, suite: Suite) -> None:
        """There is room again, and the broker runs."""
        raise NotImplementedError

"""What was found out lately, so that it need not be found out again."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lately(Generic[K, V]):
    """The last additions by their keys: at least `least` of them, at most twice as many.

    They are forgotten by halves: to forget the oldest one with each addition costs more than all
    the rest of it.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __setitem__(self, key: K, value: V) -> None:
        self._new[key] = value
        if len(self._new) >= self._least:
            self._old, self._new = self._new, {}

    def get(self, key: K) -> V | None:
        """What was added under `key`, if it is remembered."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

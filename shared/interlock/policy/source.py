"""Where in a policy file something is. Cedar's own errors tell what is wrong, not where."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |"(?:\\.|[^"\\])*"|[^\W\d]\w*|\d+|::|==|!=|<=|>=|&&|\|\||.""",
    re.VERBOSE | re.DOTALL,
)
UNFINISHED = "unexpected end of input"
Span = tuple[int, int]


class Fault(Exception):
    """Something is wrong with a policy, at a place."""

    def __init__(self, place: "Place", message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        return f"`{self.place}`: {self.message}"


@dataclass(frozen=True)
class Place:
    """Line and column count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Statement:
    """One policy of a file: from its first annotation to its semicolon."""

    file: str
    source: str
    tokens: tuple[Span, ...]

    @property
    def text(self) -> str:
        return self.source[self.tokens[0][0] : self.tokens[-1][1]]

    @property
    def start(self) -> Place:
        return self._place(self.tokens[0][0])

    def fault(self, message: str) -> Fault:
        """A fault at the first thing that `message` names, else at the policy's start."""
        quoted = re.findall(r"`([^`]+)`|: (\S+)$", message)
        names = {part for one in quoted for name in one for part in (name, *name.split("."))}
        named = (start for start, end in self.tokens if self.source[start:end] in names - {""})
        return Fault(self._place(next(named, self.tokens[0][0])), message)

    def syntax_fault(self, message: str, parse: Callable[[str], object]) -> Fault:
        """A fault at the first token after which no policy can follow any more.

        Every beginning of a policy is refused as unfinished, and every beginning that reaches the
        bad token as something else: so the token is found by halving.
        """

        def ends_badly(count: int) -> bool:
            try:
                parse(self.source[self.tokens[0][0] : self.tokens[count - 1][1]])
            except ValueError as error:
                return str(error) != UNFINISHED
            return False

        if message == UNFINISHED:
            return Fault(self._place(self.tokens[-1][1]), f"{message}; a policy ends with `;`")
        good, bad = 0, len(self.tokens)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (good, middle) if ends_badly(middle) else (middle, bad)
        if bad == len(self.tokens) and len(self.tokens) > 1:
            return self.fault(message)  # it is wrong as a whole
        return Fault(self._place(self.tokens[bad - 1][0]), message)

    def _place(self, offset: int) -> Place:
        before = self.source[:offset]
        return Place(self.file, before.count("\n") + 1, offset - before.rfind("\n"))


def statements(file: str, source: str) -> list[Statement]:
    """The policies of a file, in order; nothing in Cedar but their end is a semicolon."""
    spans = [match.span() for match in TOKEN.finditer(source) if match["skip"] is None]
    ends = [n + 1 for n, (start, end) in enumerate(spans) if source[start:end] == ";"]
    cuts = sorted({0, *ends, len(spans)})
    return [Statement(file, source, tuple(spans[a:b])) for a, b in pairwise(cuts)]

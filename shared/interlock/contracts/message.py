"""What a message is, before any bus touches it."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from interlock.contracts.topics import Topic


class Model(BaseModel):
    """A frozen value. Unknown fields are ignored, so old readers survive new writers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Fact(Model):
    """Something that has happened, in the past tense. It carries meaning only.

    Id, time, cause and trace are on the envelope, stamped by the bus.
    """

    type: ClassVar[str]
    """CloudEvents type, written out: renaming the class never changes the wire."""

    topic: ClassVar[Topic]

    @property
    def tenant_id(self) -> str:
        """The tenant on the envelope; `-` where none is known."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """What it is about (CloudEvents subject), and the key that orders delivery."""
        raise NotImplementedError


Facts = Sequence[Fact]

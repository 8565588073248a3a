"""What invocation does: takes work in, executes it, ends it, and looks after what others left."""

from services.invocation.handlers.around import Around, Published
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.intake import Intake
from services.invocation.handlers.letting import Letting
from services.invocation.handlers.listening import Listening
from services.invocation.handlers.settling import Settling, Verdict
from services.invocation.handlers.watching import Watching
from services.invocation.handlers.worker import Worker

__all__ = [
    "Around",
    "Ends",
    "Intake",
    "Letting",
    "Listening",
    "Published",
    "Settling",
    "Verdict",
    "Watching",
    "Worker",
]

"""What invocation keeps: the journal, and what it last heard of upstreams."""

from services.invocation.store.claiming import Claimed, Wanted
from services.invocation.store.journal import Journal
from services.invocation.store.listening import HeardStore
from services.invocation.store.looking import Page, Waiting
from services.invocation.store.rounds import Taken
from services.invocation.store.rows import Entry, Known, claimed_job
from services.invocation.store.tables import METADATA
from services.invocation.store.writing import Back, End, Late, Pause, Question, Told, Write, Written

__all__ = [
    "METADATA",
    "Back",
    "Claimed",
    "End",
    "Entry",
    "HeardStore",
    "Journal",
    "Known",
    "Late",
    "Page",
    "Pause",
    "Question",
    "Taken",
    "Told",
    "Waiting",
    "Wanted",
    "Write",
    "Written",
    "claimed_job",
]

"""What policy does when a message arrives or a person asks: fetch, decide, keep."""

from services.policy.handlers.approvals import Approvals
from services.policy.handlers.bench import Bench
from services.policy.handlers.rulebook import Rulebook
from services.policy.handlers.tasks import Tasks
from services.policy.handlers.words import Words

__all__ = ["Approvals", "Bench", "Rulebook", "Tasks", "Words"]

"""Policy's door: holds and their answers, policies and permissions."""

from services.policy.http.policies import PolicyDoor
from services.policy.http.tasks import TaskDoor

__all__ = ["PolicyDoor", "TaskDoor"]

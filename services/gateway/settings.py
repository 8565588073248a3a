"""What the gateway reads from its environment, all of it."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`INTERLOCK_GATEWAY_…`; read once, in `__main__`. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_GATEWAY_", frozen=True)

    body_limit: int = Field(default=1024 * 1024, gt=0)
    """Bytes of a request; more is 413."""
    held_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Of all requests that are under way in one process, as they came: they take some five times as
    much memory while they wait. More is 503."""
    call_deadline_seconds: float = Field(default=3600, gt=0)
    """Of a `tools/call`, from the door to the end, time held included."""
    grace_seconds: float = Field(default=60, gt=0)
    """How long past its deadline a task without an end is asked after, and how often then."""
    task_deadline_seconds: float = Field(default=24 * 3600, gt=0)
    """Of a task asked for over REST that names no deadline, and the longest that it may name; and
    of a call of an MCP client that knows tasks."""
    wait_limit: float = Field(default=60, ge=0)
    """The longest `Prefer: wait` that the door grants."""
    mcp_wait_seconds: float = Field(default=55, gt=0)
    """How long a `tools/call` waits for a task that has not started: most clients give up at 60."""
    mcp_run_seconds: float = Field(default=600, gt=0)
    """How long it waits for one that has started; its stream is kept alive meanwhile."""
    inline_seconds: float = Field(default=10, ge=0)
    """A call of a client that knows tasks becomes one after so long, unless its tool says when."""
    keep_seconds: float = Field(default=24 * 3600, ge=24 * 3600)
    """How long a snapshot, its log and its key live after the end."""
    keep_alive_seconds: float = Field(default=15, gt=0)
    """Between comments on a silent stream."""
    slow_reader_seconds: float = Field(default=10, gt=0)
    """A client that takes nothing for so long is dropped."""
    sticky_sessions: bool = False
    """Whether clients of 2025-11-25 and before get sessions, in which servers can ask them."""
    session_idle_seconds: float = Field(default=1800, gt=0)
    """A session that nothing was heard of for so long is over."""
    sessions_per_principal: int = Field(default=100, gt=0)
    """That are open at the same time."""
    list_page: int = Field(default=1000, gt=0)
    """How many tools, resources or prompts one page of an MCP list shows at the most: many clients
    read no second one."""
    challenge_scopes: tuple[str, ...] = ()
    """What an MCP client without a token is told to ask its issuer for; without any, it asks for
    what its issuer gives by itself."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, beside the public URL's, by which the MCP endpoint may be called."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins, beside our own, whose pages may call the MCP endpoint."""

    @model_validator(mode="after")
    def _outlast_their_calls(self) -> Self:
        if self.session_idle_seconds < self.mcp_run_seconds:
            raise ValueError(
                f"`session_idle_seconds` (`{self.session_idle_seconds:g}`) is less than "
                f"`mcp_run_seconds` (`{self.mcp_run_seconds:g}`): sessions would end under calls"
            )
        return self

"""What is to be published, and with what delay."""

from typing import Any

from faststream import BatchPublishCommand, PublishCommand, PublishType, Response


class SqsPublishCommand(BatchPublishCommand):
    """`delay` in whole seconds, up to 900."""

    def __init__(
        self,
        body: Any,
        /,
        *bodies: Any,
        queue: str,
        delay: int = 0,
        _publish_type: PublishType = PublishType.PUBLISH,
        **given: Any,
    ) -> None:
        super().__init__(body, *bodies, destination=queue, _publish_type=_publish_type, **given)
        self.delay = delay

    @classmethod
    def from_cmd(cls, cmd: PublishCommand, *, batch: bool = False) -> "SqsPublishCommand":
        if isinstance(cmd, SqsPublishCommand):
            return cmd
        body, others = cls._parse_bodies(cmd.body, batch=batch)
        return cls(
            body,
            *others,
            queue=cmd.destination,
            _publish_type=cmd.publish_type,
            reply_to=cmd.reply_to,
            correlation_id=cmd.correlation_id,
            headers=cmd.headers,
        )


class SqsResponse(Response):
    """A handler's answer that is to arrive after `delay` seconds."""

    def __init__(self, body: Any, *, delay: int = 0, **given: Any) -> None:
        super().__init__(body, **given)
        self.delay = delay

    def as_publish_command(self) -> SqsPublishCommand:
        return SqsPublishCommand(
            self.body,
            queue="",
            delay=self.delay,
            headers=self.headers,
            correlation_id=self.correlation_id,
        )

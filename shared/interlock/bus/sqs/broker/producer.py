"""From commands to messages that are sent."""

from collections.abc import Callable
from typing import Any, NoReturn

from faststream._internal.di import FastDependsConfig
from faststream._internal.parser import BatchCodecProto, CodecProto, DefaultCodec
from faststream._internal.producer import ProducerProto
from faststream.exceptions import FeatureNotSupportedException

from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.message import parse
from interlock.bus.sqs.broker.response import SqsPublishCommand
from interlock.bus.sqs.broker.wire import Packed, pack


class SqsProducer(ProducerProto[SqsPublishCommand]):
    """Messages leave by ten, with whatever others send to the same queue."""

    def __init__(
        self,
        connection: Connection,
        fd_config: FastDependsConfig,
        codec: CodecProto | None,
        new_id: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._fd_config = fd_config
        self._new_id = new_id
        self.codec = codec or DefaultCodec()
        self._parser = parse
        self._decoder = DefaultCodec().decode

    async def publish(self, cmd: SqsPublishCommand) -> None:
        """Returns once SQS has accepted it."""
        await self.publish_batch(cmd)

    async def publish_batch(self, cmd: SqsPublishCommand) -> None:
        """Returns once SQS has accepted each; what it raises leaves open which it has."""
        await self._connection.sends(cmd.destination).ask(await self.packed(cmd))

    async def request(self, cmd: SqsPublishCommand) -> NoReturn:
        raise FeatureNotSupportedException("SQS has no request and reply")

    async def packed(self, cmd: SqsPublishCommand) -> list[Packed]:
        """As they will lie in the queue."""
        serializer = self._fd_config._serializer
        bodies: Any = cmd.batch_bodies or (None,)
        if isinstance(self.codec, BatchCodecProto):
            encoded = await self.codec.encode_batch(bodies, serializer)
        else:
            encoded = [await self.codec.encode(body, serializer) for body in bodies]
        return [
            pack(self._headers(cmd, content_type), body, delay=cmd.delay)
            for body, content_type in encoded
        ]

    def _headers(self, cmd: SqsPublishCommand, content_type: str | None) -> dict[str, str]:
        headers = {name: str(value) for name, value in cmd.headers.items()}
        headers["correlation_id"] = cmd.correlation_id or self._new_id()
        if content_type:
            headers["content-type"] = content_type
        if cmd.reply_to:
            headers["reply_to"] = cmd.reply_to
        return headers

"""The broker: its connection, its logger, and publishing by the name of a queue."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from faststream import ContextRepo, PublishType
from faststream._internal.basic_types import LoggerProto, SendableMessage
from faststream._internal.broker import BrokerUsecase
from faststream._internal.broker.registrator import Registrator
from faststream._internal.constants import EMPTY
from faststream._internal.di import FastDependsConfig
from faststream._internal.logger import DefaultLoggerStorage, make_logger_state
from faststream._internal.logger.logging import get_broker_logger
from faststream._internal.parser import CodecProto
from faststream._internal.types import BrokerMiddleware, CustomCallable
from faststream.message import gen_cor_id
from faststream.specification.schema import BrokerSpec

from interlock.bus.sqs.broker.configs import SqsBrokerConfig
from interlock.bus.sqs.broker.connection import Connection, Place
from interlock.bus.sqs.broker.message import Raw
from interlock.bus.sqs.broker.producer import SqsProducer
from interlock.bus.sqs.broker.registrator import SqsRegistrator
from interlock.bus.sqs.broker.response import SqsPublishCommand


class SqsLogger(DefaultLoggerStorage):
    """Lines that name the queue and the message."""

    _longest = 5

    def register_subscriber(self, params: dict[str, Any]) -> None:
        self._longest = max(self._longest, len(params.get("queue", "")))

    def get_logger(self, *, context: ContextRepo) -> LoggerProto:
        if logger := self._get_logger_ref():
            return logger
        logger = get_broker_logger(
            name="sqs",
            default_context={"queue": "", "message_id": ""},
            message_id_ln=36,
            fmt=f"%(asctime)s %(levelname)-8s - %(queue)-{self._longest}s | "
            "%(message_id)-36s - %(message)s",
            context=context,
            log_level=self.logger_log_level,
        )
        self._logger_ref.add(logger)
        return logger


class SqsBroker(SqsRegistrator, BrokerUsecase[Raw, Connection, SqsBrokerConfig]):
    """FastStream on Amazon SQS. What `place` leaves open comes from the AWS variables and files."""

    def __init__(  # noqa: PLR0913 - FastStream's own options
        self,
        place: Place = Place(),  # noqa: B008 - frozen
        *,
        prefix: str = "",
        codec: CodecProto | None = None,
        parser: CustomCallable | None = None,
        decoder: CustomCallable | None = None,
        dependencies: Iterable[Any] = (),
        middlewares: Sequence[BrokerMiddleware[Any, Any]] = (),
        routers: Iterable[Registrator[Raw]] = (),
        graceful_timeout: float | None = 15.0,
        logger: LoggerProto | None = EMPTY,
        log_level: int = logging.INFO,
        apply_types: bool = True,
        description: str | None = None,
    ) -> None:
        connection = Connection(place)
        fd_config = FastDependsConfig(use_fastdepends=apply_types)
        config = SqsBrokerConfig(
            connection=connection,
            prefix=prefix,
            broker_middlewares=middlewares,
            broker_parser=parser,
            broker_decoder=decoder,
            broker_codec=codec,
            broker_dependencies=tuple(dependencies),
            graceful_timeout=graceful_timeout,
            logger=make_logger_state(
                logger=logger, log_level=log_level, default_storage_cls=SqsLogger
            ),
            fd_config=fd_config,
            extra_context={"broker": self},
            producer=SqsProducer(connection, fd_config, codec, gen_cor_id),
        )
        where = place.endpoint or f"https://sqs.{place.region or 'region'}.amazonaws.com"
        specification = BrokerSpec(
            url=[where],
            protocol="sqs",
            protocol_version=None,
            description=description,
            tags=(),
            security=None,
        )
        super().__init__(config=config, specification=specification, routers=routers)

    async def _connect(self) -> Connection:
        connection: Connection = self.config.connection
        await connection.client()
        return connection

    async def start(self) -> None:
        await self.connect()
        await super().start()

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        await super().stop(exc_type, exc_val, exc_tb)
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def ping(self, timeout: float | None) -> bool:  # noqa: ASYNC109 - FastStream's own
        """Whether SQS answers, within `timeout` seconds; a refusal is an answer."""
        if self._connection is None:
            return False
        try:
            async with asyncio.timeout(timeout):
                client = await self._connection.client()
                await client.list_queues(MaxResults=1)
        except ClientError:
            return True
        except (BotoCoreError, OSError, TimeoutError):
            return False
        return True

    async def publish(self, message: SendableMessage, queue: str, **given: Any) -> None:
        """Returns once it is accepted.

        Options: `delay` (seconds), `headers`, `correlation_id`, `reply_to`.
        """
        cmd = SqsPublishCommand(message, queue=queue, **given)
        await self._basic_publish(cmd, producer=self.config.producer)

    async def publish_batch(self, *messages: SendableMessage, queue: str, **given: Any) -> None:
        """By ten; options as of `publish`, for each."""
        cmd = SqsPublishCommand(*messages, queue=queue, **given)
        await self._basic_publish_batch(cmd, producer=self.config.producer)

    async def request(  # type: ignore[override]  # its timeout has no use
        self, message: SendableMessage, queue: str, **given: Any
    ) -> Any:
        """Refused: SQS has no request and reply."""
        cmd = SqsPublishCommand(message, queue=queue, _publish_type=PublishType.REQUEST, **given)
        return await self._basic_request(cmd, producer=self.config.producer)

"""Queues declared apart from their broker."""

from collections.abc import Iterable, Sequence
from typing import Any

from faststream._internal.broker.router import BrokerRouter
from faststream._internal.types import BrokerMiddleware

from interlock.bus.sqs.broker.configs import SqsBrokerConfig
from interlock.bus.sqs.broker.connection import Connection, Place
from interlock.bus.sqs.broker.message import Raw
from interlock.bus.sqs.broker.registrator import SqsRegistrator


class SqsRouter(SqsRegistrator, BrokerRouter[Raw, SqsBrokerConfig]):
    """To be included in a broker, whose connection it then uses."""

    def __init__(
        self,
        prefix: str = "",
        *,
        dependencies: Iterable[Any] = (),
        middlewares: Sequence[BrokerMiddleware[Any, Any]] = (),
        routers: Iterable[SqsRegistrator] = (),
        include_in_schema: bool | None = None,
    ) -> None:
        super().__init__(
            config=SqsBrokerConfig(
                connection=Connection(Place()),
                prefix=prefix,
                broker_dependencies=tuple(dependencies),
                broker_middlewares=middlewares,
                include_in_schema=include_in_schema,
            ),
            handlers=(),
            routers=routers,
        )

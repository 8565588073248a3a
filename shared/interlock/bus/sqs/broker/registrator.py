"""How subscribers and publishers are declared, on a broker or on a router."""

from collections.abc import Sequence
from typing import Any

from faststream import AckPolicy
from faststream._internal.broker.registrator import Registrator
from faststream._internal.constants import EMPTY
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream._internal.types import CustomCallable

from interlock.bus.sqs.broker.configs import (
    Reading,
    SqsBrokerConfig,
    SqsPublisherConfig,
    SqsPublisherSpecificationConfig,
    SqsSubscriberConfig,
    SqsSubscriberSpecificationConfig,
)
from interlock.bus.sqs.broker.message import Raw
from interlock.bus.sqs.broker.publisher import SqsPublisher, SqsPublisherSpecification
from interlock.bus.sqs.broker.subscriber import SqsSubscriber, SqsSubscriberSpecification


class SqsRegistrator(Registrator[Raw, SqsBrokerConfig]):
    """Queues by their names, behind the prefix of whoever declares them."""

    def subscriber(  # type: ignore[override]  # noqa: PLR0913 - FastStream's own options
        self,
        queue: str,
        reading: Reading = Reading(),  # noqa: B008 - frozen
        *,
        ack_policy: AckPolicy = EMPTY,
        no_reply: bool = False,
        dependencies: Sequence[Any] = (),
        parser: CustomCallable | None = None,
        decoder: CustomCallable | None = None,
        title: str | None = None,
        description: str | None = None,
        include_in_schema: bool = True,
        persistent: bool = True,
    ) -> SqsSubscriber:
        """Have `queue` read; a batch where `reading` says so."""
        calls = CallsCollection[Raw]()
        outer: Any = self.config
        subscriber = SqsSubscriber(
            SqsSubscriberConfig(
                _outer_config=outer,
                _ack_policy=ack_policy,
                no_reply=no_reply,
                queue=queue,
                reading=reading,
            ),
            SqsSubscriberSpecification(
                outer,
                SqsSubscriberSpecificationConfig(
                    title_=title,
                    description_=description,
                    include_in_schema=include_in_schema,
                    queue=queue,
                ),
                calls,
            ),
            calls,
        )
        super().subscriber(subscriber, persistent=persistent)
        return subscriber.add_call(
            parser_=parser or self._parser,
            decoder_=decoder or self._decoder,
            dependencies_=dependencies,
        )

    def publisher(  # type: ignore[override]  # noqa: PLR0913 - FastStream's own options
        self,
        queue: str,
        *,
        delay: int = 0,
        headers: dict[str, str] | None = None,
        title: str | None = None,
        description: str | None = None,
        schema: Any | None = None,
        include_in_schema: bool = True,
        persistent: bool = True,
    ) -> SqsPublisher:
        """Send to `queue`, to arrive after `delay` seconds."""
        outer: Any = self.config
        publisher = SqsPublisher(
            SqsPublisherConfig(_outer_config=outer, queue=queue, delay=delay, headers=headers),
            SqsPublisherSpecification(
                outer,
                SqsPublisherSpecificationConfig(
                    title_=title,
                    description_=description,
                    schema_=schema,
                    include_in_schema=include_in_schema,
                    queue=queue,
                ),
            ),
        )
        super().publisher(publisher, persistent=persistent)
        return publisher

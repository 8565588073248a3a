"""What our broker takes from FastStream's inside, where any release may change it."""

import ast
from importlib import import_module

from tests.architecture.tree import SHARED, modules

BROKER = SHARED / "bus" / "sqs" / "broker"

INTERNAL = {
    "basic_types": {"LoggerProto", "SendableMessage"},
    "broker": {"BrokerUsecase"},
    "broker.registrator": {"Registrator"},
    "broker.router": {"BrokerRouter"},
    "configs": {
        "BrokerConfig",
        "PublisherSpecificationConfig",
        "PublisherUsecaseConfig",
        "SubscriberSpecificationConfig",
        "SubscriberUsecaseConfig",
    },
    "constants": {"EMPTY"},
    "di": {"FastDependsConfig"},
    "endpoint.publisher": {"PublisherProto", "PublisherSpecification", "PublisherUsecase"},
    "endpoint.publisher.fake": {"FakePublisher"},
    "endpoint.subscriber": {"SubscriberSpecification", "SubscriberUsecase"},
    "endpoint.subscriber.call_item": {"CallsCollection"},
    "endpoint.utils": {"process_msg"},
    "logger": {"DefaultLoggerStorage", "make_logger_state"},
    "logger.logging": {"get_broker_logger"},
    "parser": {"BatchCodecProto", "CodecProto", "DefaultCodec"},
    "producer": {"ProducerProto"},
    "testing.broker": {"TestBroker", "change_producer"},
    "types": {"BrokerMiddleware", "CustomCallable", "PublisherMiddleware"},
}


def taken() -> dict[str, set[str]]:
    """Names by module of `faststream._internal`."""
    found: dict[str, set[str]] = {}
    for path in modules(BROKER):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "faststream._internal"
            ):
                name = (node.module or "").removeprefix("faststream._internal").lstrip(".")
                found.setdefault(name, set()).update(alias.name for alias in node.names)
    return found


def test_it_takes_exactly_these_names() -> None:
    assert taken() == INTERNAL


def test_this_release_has_them() -> None:
    assert not [
        f"{module}.{name}"
        for module, names in INTERNAL.items()
        for name in names
        if not hasattr(import_module(f"faststream._internal.{module}"), name)
    ]


def test_it_takes_nothing_from_interlock() -> None:
    foreign = {
        name
        for path in modules(BROKER)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in [node.module or ""]
        if name.startswith("interlock") and not name.startswith("interlock.bus.sqs.broker")
    }
    assert foreign == set()

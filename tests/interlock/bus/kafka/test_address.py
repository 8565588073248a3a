"""What a Kafka URL may say."""

import pytest

from interlock.bus.kafka.access import MskTokens, security, tokens
from interlock.bus.kafka.address import Address, parse
from interlock.bus.kafka.names import Names
from interlock.contracts.topics import Topic
from interlock.errors import Refused


def test_hosts_have_the_usual_port_and_nothing_else_is_needed() -> None:
    assert parse("kafka://a,b:9093") == Address(("a:9092", "b:9093"))


def test_a_user_means_tls_unless_the_url_says_otherwise() -> None:
    address = parse("kafka://us%40er:p%3Ass@a?mechanism=SCRAM-SHA-512")
    assert (address.user, address.password) == ("us@er", "p:ss")
    assert (address.security, address.mechanism) == ("sasl_ssl", "SCRAM-SHA-512")
    assert parse("kafka://u:p@a?security=sasl_plaintext").security == "sasl_plaintext"


def test_a_password_is_never_shown() -> None:
    address = parse("kafka://user:hidden@a:1")
    assert "hidden" not in repr(address) + address.shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://a?acks=1", "`acks` is no option of a Kafka URL; there are `security`"),
        ("kafka://a?security=tls", "may be `plaintext`, `ssl`, `sasl_plaintext`, `sasl_ssl`"),
        ("kafka://u:p@a?mechanism=GSSAPI", "may be `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`"),
        ("kafka://a?replication=0", "it is from 1 to 15"),
        ("kafka://a?replication=nan", "it is from 1 to 15"),
        ("kafka://a?session=nan", "it is from 0.5 to 300.0"),
        ("kafka://a?partitions=many", "it is from 1 to 1000"),
        ("kafka://a?ca=", "`ca` of a Kafka URL is empty"),
        ("kafka://a?auth=msk-iam", "needs the cluster's `region`"),
        ("kafka://u:p@a?auth=msk-iam&region=eu-west-1", "no user"),
        ("kafka://a?security=sasl_ssl", "needs `user:password@`"),
        ("kafka://u:p@a?security=ssl", "takes no user"),
        ("kafka://a?ca=/ca.pem", "are for `security=ssl`"),
        ("kafka://a?security=ssl&cert=/c.pem", "belong together"),
        ("kafka://", "no `host:port`"),
        ("kafka://a,", "no `host:port`"),
        ("kafka://a:port", "no `host:port`"),
    ],
)
def test_what_cannot_be_is_refused_with_what_may_be(url: str, says: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(url)
    assert says in refusal.value.detail


def test_a_certificate_that_cannot_be_read_is_refused_by_its_path() -> None:
    with pytest.raises(Refused, match=r"no certificate can be read from `/nowhere/ca\.pem`"):
        security(parse("kafka://a?security=ssl&ca=/nowhere/ca.pem"))


async def test_aws_credentials_become_a_token_for_the_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    address = parse("kafka://b-1.msk:9098?auth=msk-iam&region=eu-west-1")
    assert address.security == "sasl_ssl"
    made = tokens(address)["sasl_oauth_token_provider"]
    assert isinstance(made, MskTokens)
    assert len(await made.token()) > 200


async def test_without_aws_credentials_the_refusal_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(Refused, match="AWS credentials"):
        await MskTokens("eu-west-1").token()


def test_names_hold_only_what_kafka_and_its_metrics_take() -> None:
    names = Names.of("inter lock:")
    assert names.topic(Topic.TASK_EVENTS) == "inter.lock.task.events"
    assert names.dead(Topic.TASK_EVENTS, "audit") == "inter.lock.task.events.audit.dead"
    assert names.retry(Topic.TASK_EVENTS, "audit") == "inter.lock.task.events.audit.retry"
    assert names.group("audit") == "inter.lock.audit"

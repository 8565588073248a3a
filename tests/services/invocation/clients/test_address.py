"""Which addresses may be dialled, and that the one that is checked is the one that is dialled."""

import pytest

from interlock.errors import Refused
from services.invocation.clients import (
    LOOPBACK,
    PRIVATE,
    AddressGuard,
    UpstreamCall,
    Upstreams,
)
from tests.services.invocation.clients.talking import to


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_pass(host: str) -> None:
    assert AddressGuard().allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1%eth0",
        "fec0::1",
        "fd00::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "::",
    ],
)
def test_addresses_of_our_own_network_do_not_pass(host: str) -> None:
    assert not AddressGuard().allows(host)


def test_an_operator_can_allow_loopback_and_private_networks() -> None:
    assert AddressGuard(LOOPBACK).allows("127.0.0.1")
    assert AddressGuard(LOOPBACK).allows("::ffff:127.0.0.1")
    assert not AddressGuard(LOOPBACK).allows("10.0.0.1")
    assert AddressGuard(PRIVATE).allows("10.0.0.1")


@pytest.mark.parametrize("host", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"])
def test_nobody_can_allow_where_clouds_hand_out_credentials(host: str) -> None:
    assert not AddressGuard(PRIVATE).allows(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_guarded_upstream_is_not_dialled_however_it_is_named(host: str) -> None:
    upstreams = Upstreams()
    try:
        with pytest.raises(Refused, match="may not be dialled") as refused:
            await upstreams.call(UpstreamCall(to(f"http://{host}:9/mcp"), "x", "{}", 5))
        assert refused.value.code == "address_not_allowed"
    finally:
        await upstreams.close()

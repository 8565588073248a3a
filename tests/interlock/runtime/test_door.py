"""The edge of one process while what it stands on is away."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from joserfc.jwk import OKPKey

from interlock.bus import Backlog
from interlock.bus.memory import MemoryBus
from interlock.errors import Unavailable
from interlock.identity.statements import Signer, Trust
from interlock.identity.tokens import Tokens
from interlock.runtime.door import measure
from interlock.runtime.host import Running, ServiceHost
from interlock.runtime.process import KINDS, Process
from interlock.runtime.replicas import this_process
from interlock.runtime.service import Host, Parts, Service
from interlock.runtime.settings import SuiteSettings
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import open_traces
from interlock.testing.build import KEYRING, noon


async def away() -> Sequence[Backlog]:
    raise Unavailable("the journal is away")


@asynccontextmanager
async def nothing(host: Host) -> AsyncIterator[Parts]:
    yield Parts()


async def test_an_outage_takes_no_other_figure_away(tmp_path: Path) -> None:
    """Then the others are wanted most: whether the service is ready, what it did so far."""
    state, signer = MemoryState(), Signer.of("policy", OKPKey.generate_key("Ed25519"))
    reader = MemoryStateReader(state, KINDS)
    process = Process(
        settings=SuiteSettings(data=tmp_path),
        redis=None,
        bus=MemoryBus(KEYRING, noon),
        keyring=KEYRING,
        trust=Trust.of(signer),
        reader=reader,
        writer=MemoryStateWriter(state),
        tokens=Tokens(reader, audiences=(), now=noon),
        traces=open_traces({}),
        metrics=Metrics(),
        now=noon,
    )
    async with AsyncExitStack() as stack:
        host = ServiceHost("policy", process, signer, stack)
        replica = this_process("policy", noon())
        running = Running(Service("policy", nothing), host, Parts(backlog=away), replica)
        await measure(running, process)
    assert b'interlock_ready{service="policy"} 0.0' in process.metrics.render()[0]

"""The play: each step does something real, tells what happened, and checks that it did."""

import asyncio

from interlock.demo.acts import ACTS
from interlock.demo.cast import enter, register_servers
from interlock.demo.stage import open_stage
from interlock.demo.teller import Surprise, Teller
from interlock.errors import Unavailable
from interlock.sdk import Interlock

GO_ON = """
How to go on, with a suite of your own:
  interlock up                               everything in one process, data below .interlock/
  interlock server add …                     your MCP server; `interlock server --help`
  interlock agent add copilot --permission … and `interlock key create --agent copilot`
  http://127.0.0.1:8080/mcp                  for any MCP client, with the key as bearer token
  http://127.0.0.1:8080/docs                 the HTTP APIs
  http://127.0.0.1:8080/asyncapi             the events"""
KEPT = """
This suite again, with all that it recorded:
  INTERLOCK_INVOCATION_COMMANDS={folder}/commands.json interlock --data {data} up
  interlock --data {data} audit verify"""


def run_demo(*, as_json: bool, keep: bool) -> bool:
    """Play it; whether everything was as said. `Refused` or `Unavailable` if it cannot begin."""
    teller = Teller(as_json)
    try:
        asyncio.run(_play(teller, keep))
    except Surprise as error:
        teller.close(f"\nNOT AS SAID: {error}")
        return False
    except TimeoutError:
        raise Unavailable("the suite did not start in time") from None
    return True


async def _play(teller: Teller, keep: bool) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_stage(keep) as stage, Interlock(stage.url, stage.operator_key()) as operator:
        with teller.step("up", "The suite is up: six services, one process, one bus") as step:
            step.say(f"at {stage.url} after {loop.time() - began:.1f} s, data in {stage.data}")
            step.facts["url"] = stage.url
            offered = await register_servers(operator, stage)
            for name, count in offered.items():
                step.say(f"server `{name}` was asked for its tools and offers {count}")
        async with enter(operator, stage) as cast:
            for act in ACTS:
                await act(teller, stage, cast)
        teller.close(f"\nEverything was as said, in {loop.time() - began:.0f} s.")
        if keep:
            teller.close(KEPT.format(folder=stage.folder, data=stage.data))
        teller.close(GO_ON)

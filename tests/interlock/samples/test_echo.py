"""The echo, driven by the SDK's own client."""

from mcp import Client

from interlock.samples.echo import echo_app
from tests.interlock.samples.serving import serving


async def test_it_answers_with_its_text_in_both_eras() -> None:
    async with serving(echo_app()) as url:
        for mode in ("2026-07-28", "legacy"):
            async with Client(f"{url}/mcp", mode=mode) as client:
                assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]
                result = await client.call_tool("echo", {"text": "grüße"})
                assert '"text":"grüße"' in result.model_dump_json()

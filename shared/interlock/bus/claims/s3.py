"""Bodies as objects of a bucket."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it has no types
from aiobotocore.config import AioConfig
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError

from interlock.bus.claims.store import checked, named
from interlock.errors import Unavailable, Unreadable


class S3Claims:
    """S3, by the standard AWS variables (`AWS_ENDPOINT_URL_S3` for another endpoint)."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._stack = AsyncExitStack()
        self._made: Any = None
        self._making = asyncio.Lock()

    async def put(self, body: bytes) -> str:
        name = named(body)
        client = await self._client()
        await self._ask(
            client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body), name
        )
        return name

    async def get(self, name: str) -> bytes:
        client = await self._client()
        answer = await self._ask(
            client.get_object(Bucket=self._bucket, Key=self._prefix + name), name
        )
        body: bytes = await self._ask(answer["Body"].read(), name)
        return checked(name, body, self._where)

    async def close(self) -> None:
        self._made = None
        await self._stack.aclose()

    @property
    def _where(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    async def _client(self) -> Any:
        async with self._making:
            if self._made is None:
                config = AioConfig(
                    connect_timeout=2,
                    read_timeout=10,
                    retries={"total_max_attempts": 3, "mode": "standard"},
                    s3={"addressing_style": "path"},
                )
                client = aioboto3.Session().client("s3", config=config)
                self._made = await self._stack.enter_async_context(client)
        return self._made

    async def _ask(self, asked: Any, name: str) -> Any:
        try:
            return await asked
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "NoSuchKey":
                raise Unreadable(f"the body `{name}` is not in `{self._where}`") from None
            raise Unavailable(f"S3 answered `{code}` for `{self._where}`") from None
        except (BotoCoreError, HttpError, OSError, TimeoutError) as error:
            raise Unavailable(f"S3 does not serve `{self._where}`: {error}") from None

"""The pages for people who write clients: `/docs` (OpenAPI 3.1) and `/asyncapi` (AsyncAPI 3).

Both are made from what runs: routes with their handlers' docstrings, topics with their messages.
The page itself is plain HTML of ours, so it needs no network and no script.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from interlock.contracts.message import Fact
from interlock.contracts.registry import MESSAGES
from interlock.contracts.topics import TOPOLOGY, Topic, TopicSpec

BODY = "__interlock_body__"
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1a1a1a}
h2{margin-top:2.5rem;border-bottom:2px solid #ddd}
summary{cursor:pointer;padding:.35rem 0}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f4f4f2;border-radius:4px}
code{padding:.1rem .3rem}pre{padding:.8rem;overflow:auto}
.verb{display:inline-block;width:4.5rem;font-weight:700}
.GET{color:#0b6b3a}.POST{color:#0b4f9e}.PUT{color:#8a5a00}.PATCH{color:#8a5a00}.DELETE{color:#a11}
@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}code,pre{background:#262626}
h2{border-color:#444}.GET{color:#5fd08f}.POST{color:#7ab8ff}.PUT,.PATCH{color:#ffc15e}
.DELETE{color:#ff8080}a{color:#7ab8ff}}
"""


def takes(model: type[BaseModel]) -> Callable[[Any], Any]:
    """Say on an endpoint which JSON body it reads, so that the API's page can show it."""

    def mark(endpoint: Any) -> Any:
        setattr(endpoint, BODY, model)
        return endpoint

    return mark


def openapi(services: Mapping[str, Sequence[BaseRoute]], url: str) -> dict[str, Any]:
    """The OpenAPI document of all doors of a process; keys of `services` are path prefixes."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for prefix, routes in services.items():
        for route in routes:
            if not isinstance(route, Route):
                continue
            for method in sorted((route.methods or {"POST"}) - {"HEAD"}):
                operation = _operation(route, prefix.strip("/") or "gateway", schemas)
                paths.setdefault(prefix + route.path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Interlock", "version": "1"},
        "servers": [{"url": url}],
        "security": [{"bearer": []}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
        "paths": paths,
    }


def _operation(route: Route, tag: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """`schemas` takes what the body's schema refers to."""
    endpoint = inspect.unwrap(route.endpoint)
    named = route.name.replace("_", " ").capitalize()
    summary, _, more = (inspect.getdoc(endpoint) or named).partition("\n")
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "responses": {
            "2XX": {"description": "Done, or taken"},
            "default": {
                "description": "A problem document (RFC 9457)",
                "content": {"application/problem+json": {}},
            },
        },
    }
    if more.strip():
        operation["description"] = more.strip()
    if route.param_convertors:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in route.param_convertors
        ]
    model: type[BaseModel] | None = getattr(endpoint, BODY, None)
    if model is not None:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def pages(
    services: Mapping[str, Sequence[BaseRoute]], events: Callable[[], dict[str, Any]], url: str
) -> list[Route]:
    """Routes of the pages and of the documents behind them; both are made when first asked for."""
    document = cache(lambda: openapi(services, url))
    told = cache(events)

    async def docs(request: Request) -> Response:
        return HTMLResponse(_docs_page(document()))

    async def docs_json(request: Request) -> Response:
        return JSONResponse(document())

    async def asyncapi(request: Request) -> Response:
        return HTMLResponse(_events_page())

    async def asyncapi_json(request: Request) -> Response:
        return JSONResponse(told())

    return [
        Route("/docs", docs),
        Route("/openapi.json", docs_json),
        Route("/asyncapi", asyncapi),
        Route("/asyncapi.json", asyncapi_json),
    ]


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>{body}</html>'
    )


def _docs_page(document: Mapping[str, Any]) -> str:
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_shown(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(rows)}" for tag, rows in by_tag.items())
    return _page(
        "Interlock API",
        "<h1>Interlock API</h1><p>Every request carries <code>Authorization: Bearer …</code>. "
        'As a document: <a href="/openapi.json">openapi.json</a>. Events: '
        f'<a href="/asyncapi">asyncapi</a>.</p>{sections}',
    )


def _shown(method: str, path: str, operation: Mapping[str, Any]) -> str:
    verb = method.upper()
    more = f"<p>{_prose(operation['description'])}</p>" if "description" in operation else ""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        more += f"<pre>{escape(_fields(schema))}</pre>"
    head = f'<span class="verb {verb}">{verb}</span><code>{escape(path)}</code> '
    return f"<details><summary>{head}{_prose(operation['summary'])}</summary>{more}</details>"


def _fields(schema: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    lines = []
    for name, field in schema.get("properties", {}).items():
        kind = field.get("type") or field.get("$ref", "").rpartition("/")[2] or "any"
        default = f", default {field['default']!r}" if "default" in field else ""
        must = "required" if name in needed else "optional"
        lines.append(f"{name}: {kind} ({must}{default})")
    return "\n".join(lines)


def _events_page() -> str:
    sections = [_topic(topic, spec) for topic, spec in TOPOLOGY.items()]
    return _page(
        "Interlock events",
        "<h1>Interlock events</h1><p>CloudEvents 1.0 in binary mode; each body is the JSON of one "
        'message. As a document: <a href="/asyncapi.json">asyncapi.json</a> (AsyncAPI 3). HTTP: '
        f'<a href="/docs">docs</a>.</p>{"".join(sections)}',
    )


def _topic(topic: Topic, spec: TopicSpec) -> str:
    by, groups = ", ".join(sorted(spec.publishers)), ", ".join(spec.groups)
    messages = "".join(_message(one) for one in MESSAGES.values() if one.topic is topic)
    return f"<h2>{topic}</h2><p>Published by {by}; consumed by {groups}.</p>{messages}"


def _message(message: type[Fact]) -> str:
    told = inspect.cleandoc(message.__doc__ or "")
    fields = escape(_fields(message.model_json_schema()))
    head = f"<code>{message.type}</code> {_prose(told.partition(chr(10))[0])}"
    return f"<details><summary>{head}</summary><pre>{fields}</pre></details>"


def _prose(text: str) -> str:
    """Text of a docstring as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))

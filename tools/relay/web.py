"""The relay over HTTP: POST /skill answers directives as the deployed function does."""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .skill import Skill

MAX_DIRECTIVE_BYTES = 65536


def application(skill: Skill) -> Starlette:
    """Return the ASGI application."""

    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            directive = json.loads(body) if len(body) <= MAX_DIRECTIVE_BYTES else None
        except ValueError:
            directive = None
        if not isinstance(directive, dict):
            return JSONResponse({"error": "not a directive"}, status_code=400)
        return JSONResponse(await run_in_threadpool(skill.handler, directive))

    return Starlette(routes=[Route("/skill", answer, methods=["POST"])])

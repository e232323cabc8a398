"""The body of a request, no longer than it may be and no slower than it must be."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request

WITHIN_S = 10.0


async def body_of(request: Request, most_bytes: int) -> bytes:
    """Return the body. It is counted while it comes, whatever its length was said to be.

    Raises HTTPException: 413 once it is longer, 408 for one that takes longer than WITHIN_S. What still comes then is
    thrown away until server.py hangs up: a connection closed at once would be reset, and the answer lost.
    """

    async def read() -> bytes:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise HTTPException(413, f"longer than {most_bytes} bytes\n")
        return body

    try:
        return await asyncio.wait_for(read(), WITHIN_S)
    except asyncio.TimeoutError:
        raise HTTPException(408, "too slow\n") from None

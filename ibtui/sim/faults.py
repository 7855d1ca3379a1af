"""Trouble on demand: `POST /sim/faults {path, kind, count, seconds, status, skip}`."""

from __future__ import annotations

import asyncio
import fnmatch
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ibtui.errors import UsageError
from ibtui.sim.seam import reply

KINDS = ("delay", "status", "garble", "cut", "hang", "lose", "half")
FRAME_KINDS = ("garble", "silent")
SOCKET = "/ws"
_FOREVER = 10**9


def bare(path: str) -> str:
    """A path without its `/v1/api` or `/v1/portal` and a slash at the end: all names of a route are one."""
    for prefix in ("/v1/api", "/v1/portal"):
        if path.startswith(prefix + "/"):
            return path[len(prefix) :].rstrip("/")
    return path


@dataclass(slots=True)
class Fault:
    """One kind of trouble on a path (`*` and `?` match as in a shell) for the next `count` requests."""

    path: str
    kind: str
    count: int
    seconds: float
    status: int
    skip: int = 0
    """So many requests pass unharmed first."""

    def hits(self, path: str) -> bool:
        """Whether it is for this path."""
        return self.count > 0 and fnmatch.fnmatchcase(bare(path), bare(self.path))

    def as_dict(self) -> dict[str, Any]:
        """As `GET /sim/faults` shows it."""
        return {
            "path": self.path,
            "kind": self.kind,
            "count": None if self.count >= _FOREVER // 2 else self.count,
            "seconds": self.seconds,
            "status": self.status,
            "skip": self.skip,
        }


class Faults:
    """The faults that wait for a request, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, wish: dict[str, Any]) -> Fault:
        """Take a fault from its JSON. `count` null means until cleared. Raises UsageError."""
        path, kind = wish.get("path"), wish.get("kind")
        if not isinstance(path, str) or not path:
            raise UsageError("path is missing")
        frames = bare(path) == SOCKET
        if kind not in KINDS and not (frames and kind in FRAME_KINDS):
            raise UsageError(
                f"kind must be one of {', '.join(KINDS)} (websocket: {', '.join(FRAME_KINDS)} too)"
            )
        try:
            given = wish.get("count", 1)
            count = _FOREVER if given is None else int(given)
            seconds = float(wish.get("seconds") or 0.0)
            status = int(wish.get("status") or 503)
            skip = int(wish.get("skip") or 0)
        except (TypeError, ValueError):
            raise UsageError("count, seconds, status and skip are numbers") from None
        if count < 1 or seconds < 0 or skip < 0 or not 200 <= status <= 599:
            raise UsageError("count from 1, seconds and skip from 0, status 200 to 599")
        fault = Fault(path, kind, count, seconds, status, skip)
        self._waiting.append(fault)
        return fault

    def rows(self) -> list[dict[str, Any]]:
        """What still waits."""
        return [fault.as_dict() for fault in self._waiting]

    def clear(self) -> None:
        """Back to fair weather."""
        self._waiting.clear()

    def take(self, path: str, *, frames: bool = False) -> Fault | None:
        """Use up one count of the first fault for this path; `frames` asks for those of websocket frames."""
        if not self._waiting:
            return None
        for fault in self._waiting:
            of_frames = bare(fault.path) == SOCKET and fault.kind in FRAME_KINDS
            if of_frames == frames and fault.hits(path):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                return fault
        return None


async def before(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """Play a fault that comes before the handler; a response here ends the request."""
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "status":
        return reply({"error": _words(fault.status), "statusCode": fault.status}, fault.status)
    elif fault.kind == "cut":
        _abort(request)
    elif fault.kind == "hang":
        # With seconds: then the connection is cut; without: until the client or the server goes.
        await asyncio.sleep(fault.seconds or 3600.0)
        _abort(request)
    return None


async def after(fault: Fault, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Play a fault that comes after the handler: a reply that is garbled, cut in its middle, or lost."""
    if fault.kind == "half":
        return await _half(request, response)
    if fault.kind == "lose":
        _abort(request)
    return garble(response) if fault.kind == "garble" else response


async def _half(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """All headers, half of the body, then the end of the connection."""
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes) or request.transport is None:
        _abort(request)
        return response
    cut = web.StreamResponse(
        status=response.status, headers={**response.headers, "Content-Length": str(len(body))}
    )
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    request.transport.close()
    return cut


def garble(response: web.StreamResponse) -> web.StreamResponse:
    """The same reply with its second half missing and a byte that is no UTF-8."""
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        response.body = garbled(response.body)
    return response


def garbled(data: bytes) -> bytes:
    """Bytes that neither decode nor parse."""
    return data[: max(1, len(data) // 2)] + b"\xff{"


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut by a fault")


def _words(status: int) -> str:
    known = {
        400: "Bad Request: no bridge",
        401: "not authenticated",
        429: "Too Many Requests",
        500: "Internal Server Error",
        503: "Service Unavailable",
    }
    return known.get(status, "Error on demand")

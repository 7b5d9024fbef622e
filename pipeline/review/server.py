"""Serve exported batches on this machine: the same page, one queue for several reviewers, decisions straight to disk.

Loopback only. Each reviewer has a link with a token; a cookie holds it from then on. A request whose Host is not this
machine (DNS rebinding) or whose Origin is another page (forgery) is refused; no CORS header is ever sent.
"""

import contextlib
import hmac
import json
import logging
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manifests.errors import DataError, Missing, UsageError
from pipeline.review import decisions, importer, page
from pipeline.review.decisions import Decision
from pipeline.review.queue import Queue, merge

HOST = "127.0.0.1"
_LOG = logging.getLogger("uvicorn.error")  # what reaches the terminal of whoever serves
_OWN_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?")  # any port: it may come through a tunnel
_MAX_BODY = 2**20  # bytes; 200 decisions are a tenth of that
_SAME = ("dataset", "blind", "least", "most", "reasons")  # what batches of one export have in common
_WITHDRAWN = ("withdrawn",)  # reasons of a decision that the page took back: nothing is decided there (server.js)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # beside the page's own; a meta element cannot say this one
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(slots=True)
class Desk:
    """What the requests share."""

    common: Mapping[str, Any]  # the page's data without people
    queue: Queue
    pictures: Mapping[str, Path]  # name in the address -> file: no path is ever made of an address
    shown: Mapping[str, tuple[str, str, int]]  # task id -> sample id, sha256 of the picture, round
    said: dict[tuple[str, str], Decision]  # reviewer, task id -> the last word
    file: Path  # decisions.jsonl
    clock: Callable[[], float] = time.monotonic  # seconds
    today: Callable[[], date] = date.today
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def expired(self) -> bool:
        """Whether the pictures may not be shown any more."""
        return self.common["expires"] is not None and self.today().isoformat() > self.common["expires"]

    def page(self, reviewer: str) -> str:
        """The page with the people that a reviewer holds or has begun."""
        with self.lock:
            mine = self.queue.of(reviewer)
            said = [self.said[reviewer, task] for e in mine for task in e.tasks if (reviewer, task) in self.said]
        people = [entry.person for entry in mine]
        decided = [asdict(decision) for decision in said if decision.reasons != _WITHDRAWN]
        return page.page({**self.common, "reviewer": reviewer, "people": people, "decided": decided}, served=True)

    def take(self, reviewer: str) -> dict[str, Any]:
        """One more person for a reviewer."""
        with self.lock:
            given = self.queue.take(reviewer, self.clock())
        return {"person": given.entry.person if given.entry else None, "left": given.left, "lent": given.lent}

    def save(self, reviewer: str, lines: Sequence[Any]) -> dict[str, Any]:
        """Write a reviewer's lines, all or none, and renew what they hold.

        Raises HTTPException where one is wrong, or the file cannot take them.
        """
        made = [self._checked(reviewer, line) for line in lines]
        with self.lock:
            try:
                importer.append(self.file, made)
            except (DataError, OSError) as error:
                _LOG.error("%s", error)
                raise HTTPException(503, f"The decisions could not be written ({error}).") from error
            self.said |= {(reviewer, decision.task_id): decision for decision in made}
            self.queue.decided(reviewer, [decision.task_id for decision in made])
            lost = self.queue.renew(reviewer, self.clock())
            left = self.queue.left(reviewer, self.clock())
        names = [entry.person["name"] or entry.person["identity"] for entry in lost]
        return {"saved": len(made), "lost": names, "left": left}

    def _checked(self, reviewer: str, line: Any) -> Decision:
        made = decisions.decision_of(line)
        if isinstance(made, list):
            raise HTTPException(400, f"a line is wrong: {'; '.join(made)}")
        if made.reviewer != reviewer:
            raise HTTPException(409, f"this window is {made.reviewer}'s, but the browser has since been {reviewer}'s")
        if self.shown.get(made.task_id) != (made.sample_id, made.shown_sha256, made.round):
            raise HTTPException(409, f"task {made.task_id} is not in this queue, or its picture is another one now")
        return made


def open_desk(folder: Path, file: Path) -> Desk:
    """The batches under a folder that `review-export` wrote, with what has been decided about them in `file`.

    Raises Missing where there is none, DataError where the batches are of different exports.
    """
    pages = sorted(folder.glob("index.html")) or sorted(folder.glob("*/index.html"))
    if not pages:
        raise Missing(f"no page of a batch in {folder}: run `pipeline review-export` (format html)")
    batches = [page.read(path) for path in pages]
    first = batches[0]
    for path, batch in zip(pages, batches, strict=True):
        if any(batch[name] != first[name] for name in _SAME):
            raise DataError(f"{path.parent} and {pages[0].parent} are of different exports: export them again together")
    expires = min((batch["expires"] for batch in batches if batch["expires"]), default=None)
    common = {**first, "batch": f"queue-{first['dataset']}", "expires": expires}
    return _desk(common, batches, [path.parent for path in pages], file)


def _desk(common: Mapping[str, Any], batches: Sequence[Mapping[str, Any]], folders: Sequence[Path], file: Path) -> Desk:
    queue = Queue(merge(batches))
    pictures: dict[str, Path] = {}
    shown: dict[str, tuple[str, str, int]] = {}
    for batch, folder in zip(batches, folders, strict=True):
        for task in (task for person in batch["people"] for task in person["tasks"]):
            shown[task["task_id"]] = task["sample_id"], task["shown_sha256"], batch["round"]
            for name in (Path(task["white"]).name, Path(task["original"]).name):
                pictures[name] = folder / "pictures" / name
    said = {(one.reviewer, one.task_id): one for one in decisions.read(file) if one.task_id in shown}
    for reviewer, task in said:
        queue.decided(reviewer, [task])
    return Desk(common, queue, pictures, shown, said, file)


class Guard:
    """Lets through only requests of this machine's own pages with a reviewer's token, and marks every answer."""

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str]) -> None:
        self.app = app
        self.tokens = tokens  # reviewer -> token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on with the reviewer's name in the request's state."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        answer = self._answer(request)
        await (answer or self.app)(scope, receive, marked)

    def _answer(self, request: Request) -> Response | None:
        """A refusal or a sign-in; None where the request may pass."""
        host = request.headers.get("host", "")
        if not _OWN_HOST.fullmatch(host):
            return PlainTextResponse("not a name of this machine", 421)
        cookie = f"review_{host.partition(':')[2]}"  # cookies do not tell ports apart
        offered = request.query_params.get("token") if request.url.path == "/" else None
        reviewer = self._whose(offered or request.cookies.get(cookie, ""))
        if reviewer is None:
            return PlainTextResponse("Open the link that `pipeline review-serve` printed for you.", 403)
        if offered:
            # Lax, not strict: a strict cookie would be missing after a click on the link in a mail.
            answer = RedirectResponse("/", 303)
            answer.set_cookie(cookie, offered, max_age=86400, httponly=True, samesite="lax")
            return answer
        if request.method != "GET":
            own = request.headers.get("origin") in {f"http://{host}", None}
            if not own or request.headers.get("x-review") != "1":  # a foreign page cannot send this header unasked
                return PlainTextResponse("only the page itself may send this", 403)
        request.state.reviewer = reviewer
        return None

    def _whose(self, token: str) -> str | None:
        given = token.encode()
        matches = [name for name, own in self.tokens.items() if hmac.compare_digest(own.encode(), given)]
        return matches[0] if matches else None


async def _body(request: Request) -> Any:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _MAX_BODY:
        raise HTTPException(413, f"expected at most {_MAX_BODY} bytes")
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error


def app(desk: Desk, tokens: Mapping[str, str]) -> ASGIApp:
    """The application; `tokens` are the reviewers' (name -> token)."""

    def index(request: Request) -> Response:
        return HTMLResponse(desk.page(request.state.reviewer))

    def picture(request: Request) -> Response:
        if desk.expired:
            return PlainTextResponse("this batch has expired", 410)
        path = desk.pictures.get(request.path_params["name"])
        if path is None or not path.is_file():
            return PlainTextResponse("no such picture", 404)
        return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def take(request: Request) -> Response:
        return JSONResponse(desk.take(request.state.reviewer))

    async def save(request: Request) -> Response:
        body = await _body(request)
        lines = body.get("lines") if isinstance(body, dict) else None
        if not isinstance(lines, list):
            raise HTTPException(400, "expected lines")
        return JSONResponse(await run_in_threadpool(desk.save, request.state.reviewer, lines))

    routes = [
        Route("/", index),
        Route("/pictures/{name}", picture),
        Route("/api/take", take, methods=["POST"]),
        Route("/api/save", save, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), tokens)


def serve(folder: Path, file: Path, reviewers: Sequence[str], port: int, told: Callable[[str], None]) -> None:
    """Serve the batches of a folder until interrupted; `told` is given one line per reviewer with their link.

    Raises UsageError where the port is taken, Missing and DataError as `open_desk` does.
    """
    desk = open_desk(folder, file)
    names = list(reviewers) or sorted({name for entry in desk.queue.entries for name in entry.reviewers})
    tokens = {name: secrets.token_urlsafe(32) for name in names}
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen()  # who opens their link at once waits, and is not refused
        except OSError as error:
            raise UsageError(f"port {port} cannot be opened ({error.strerror}): choose another with --port") from error
        bound = listening.getsockname()[1]
        for name, token in tokens.items():
            told(f"{name}: http://{HOST}:{bound}/?token={token}")
        # No access log: it would hold the tokens.
        config = uvicorn.Config(
            app(desk, tokens), log_level="warning", access_log=False, server_header=False, lifespan="off"
        )
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
            uvicorn.Server(config).run(sockets=[listening])

"""A web server on loopback that behaves as badly as it is told to, path by path."""

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

HOST = "world.test"
Answer = Callable[[BaseHTTPRequestHandler], None]


def jpeg(seed: int = 0, side: int = 32) -> bytes:
    """A plain picture; each seed has bytes of its own."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 90, 160)).save(out, "JPEG", comment=str(seed))
    return out.getvalue()


def reply(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    """An answer; header names are written with underscores."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Length": str(len(body))} | named).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Web:
    """A running server: where it is, what it answers, and what it was asked."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port: int = server.server_address[1]
        self.answers: dict[str, list[Answer]] = {}
        self.otherwise: Answer = reply(status=404)
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.agents: set[str] = set()

    def on(self, path: str, *answers: Answer) -> str:
        """Let `path` answer so, one after another (the last one for ever); returns its address."""
        self.answers[path] = list(answers)
        return f"http://{HOST}{path}"

    @property
    def connect_to(self) -> dict[str, tuple[str, int]]:
        return {HOST: ("127.0.0.1", self.port)}


@contextmanager
def serve() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            web.connections += 1

        def do_GET(self) -> None:
            web.asked[self.path] += 1
            web.agents.add(self.headers["User-Agent"])
            answers = web.answers.get(self.path) or [web.otherwise]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            try:
                answer(self)
            except OSError:  # the client has had enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

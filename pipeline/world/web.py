"""A web server for this computer only, so that the crawler's real code fetches the synthetic world."""

import contextlib
import mimetypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

_QUIET_S = 10.0  # a connection that says nothing for so long is closed
_NO_BODY = "text/plain; charset=utf-8"


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the files under a folder, read-only, on a free loopback port; yield (host, port)."""

    class Handler(_Handler):
        root = folder.resolve()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield "127.0.0.1", int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file_under(root: Path, url_path: str) -> Path | None:
    """Return the file that a request's path names; None where it is absent or outside the (resolved) root."""
    relative = os.fsdecode(unquote_to_bytes(urlsplit(url_path).path)).lstrip("/")  # names need not be UTF-8
    if "\0" in relative:
        return None
    found = (root / relative).resolve()
    return found if found.is_relative_to(root) and found.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of whole files over kept-alive connections."""

    root: Path  # resolved; what is served lies under it
    protocol_version = "HTTP/1.1"
    timeout = _QUIET_S
    # Headers and body are two writes; without this the second waits for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        found = file_under(self.root, self.path)
        body = found.read_bytes() if found else b"no such file\n"
        kind = (mimetypes.guess_type(found.name)[0] or "application/octet-stream") if found else _NO_BODY
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def handle(self) -> None:
        """Answer until the crawler hangs up, which it may do in the middle of a picture."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Say nothing: the crawler keeps its own record."""

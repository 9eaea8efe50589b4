"""A page for the browser of this machine, and for nobody else."""

import secrets
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

LOOPBACK = "127.0.0.1"
# Seconds that a client may keep silent, and clients at a time: a browser needs a few.
PATIENCE = 10
MOST_CLIENTS = 16

# Seconds; Windows notices Ctrl-C only between two waits.
_WAKING = 0.5


class PageServer(ThreadingHTTPServer):
    """Serves one page on the loopback interface, at an address that cannot be guessed.

    Attributes:
        url: the page's address; everything else is not found.
    """

    daemon_threads = True

    def __init__(self, page: str) -> None:
        super().__init__((LOOPBACK, 0), _PageHandler)
        self.content = page.encode()
        self.path = f"/{secrets.token_urlsafe(24)}/"
        self.host = f"{LOOPBACK}:{self.server_port}"
        self.url = f"http://{self.host}{self.path}"
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread; one client too many is let go at once."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread's work."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that went away or keeps silent is no news for the terminal."""


class _PageHandler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = PATIENCE

    def do_GET(self) -> None:
        """The page, or not found. Another host's name in the request means that its pages try to read ours."""
        is_ours = secrets.compare_digest(self.path.encode(), self.server.path.encode())
        if not is_ours or self.headers.get("Host") != self.server.host:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the address is a secret, and a terminal's log is not."""


def serve_page(page: str, tell: Callable[[str, bool], None], open_browser: bool = True) -> None:
    """Serves the page on this machine only, opens it in the browser, and returns when Ctrl-C is pressed.

    Args:
        page: the HTML.
        tell: called once with the address and whether a browser was opened.
    """
    with PageServer(page) as server, redirecting_file(server.url) as redirect:
        # A browser that runs in the terminal is back only after it got the page.
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            tell(server.url, open_browser and webbrowser.open(redirect.as_uri()))
            while thread.is_alive():
                thread.join(_WAKING)
        except KeyboardInterrupt:
            server.shutdown()


@contextmanager
def redirecting_file(url: str) -> Iterator[Path]:
    """A file that leads a browser to a secret address, and that only this user can read, as long as the block runs.

    A browser gets what it shall open as an argument, and every user of a machine sees the arguments of all programs.
    """
    with TemporaryDirectory(prefix="medssm-view-") as folder:  # of mode 0700
        path = Path(folder, "scan.html")
        path.touch(mode=0o600)
        path.write_text(
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={escape(url)}">'
            f'<title>medssm</title><a href="{escape(url)}">The scan</a>\n',
            encoding="utf-8",
        )
        yield path

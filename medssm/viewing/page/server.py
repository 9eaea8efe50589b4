"""A page for the browser of this machine, and for nobody else."""

import secrets
import threading
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"

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


class _PageHandler(BaseHTTPRequestHandler):
    server: PageServer

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
    with PageServer(page) as server:
        # A browser that runs in the terminal is back only after it got the page.
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            tell(server.url, open_browser and webbrowser.open(server.url))
            while thread.is_alive():
                thread.join(_WAKING)
        except KeyboardInterrupt:
            server.shutdown()

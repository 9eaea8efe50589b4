"""The interactive page of a scan: one HTML file that needs no network."""

from medssm.viewing.page.document import build_page, write_page
from medssm.viewing.page.server import serve_page

__all__ = ["build_page", "serve_page", "write_page"]

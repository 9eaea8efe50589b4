"""The content-security policy of a page that is one file: its own style and scripts run, and nothing is fetched."""

import base64
import hashlib
from collections.abc import Sequence


def content_policy(style: str, scripts: Sequence[str]) -> str:
    """Allows what stands between the tags of the page, told by its SHA-256, and pictures inside of the page.

    Source: W3C, Content Security Policy Level 3, section 6.7.
    """
    return (
        f"default-src 'none'; script-src {' '.join(map(_source, scripts))}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

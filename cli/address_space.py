"""A limit on the address space (ulimit -v), which torch answers by ending the process without a word."""

import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType

from medssm.errors import MedssmError


class _BeforeTorch:
    """Sees whether there is room for torch when it is first imported, in a process that may come to harm."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name != "torch":
            return
        sys.meta_path.remove(self)
        if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, check=False).returncode:
            raise MedssmError(
                "the limit on this process's address space (ulimit -v) leaves no room for torch; raise it, or lift it "
                "and give --memory"
            )


def watch_limit() -> None:
    """Has a limit that leaves no room for torch end in a sentence; nothing where there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        sys.meta_path.insert(0, _BeforeTorch())

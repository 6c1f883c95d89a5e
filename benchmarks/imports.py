"""How long it takes to import the library, in fresh processes."""

from __future__ import annotations

import subprocess
import sys

from . import peers
from .timing import Case


def case() -> Case:
    """`import minidl` against `import torch`, the whole process of an interpreter included in both."""

    def importing(name: str):
        return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    peer = {"torch": importing("torch")} if peers.find("torch") is not None else {}
    return Case("import (whole process)", 0.15, importing("minidl"), peer)

"""minidl: one small tape whose every operation carries three backward rules.

    y = model(x)                        # records a tape
    minidl.grad(y, x)                   # dy/dx
    minidl.explain.lrp(model, x, 0)     # relevance that sums to the output
    minidl.explain.deeplift(model, x, 0, reference=0.0)   # contributions that sum to the difference
"""

from __future__ import annotations

import importlib
from typing import Any

from . import backend, ops
from .tape import NoRule, Tensor, grad, no_grad

__version__ = "0.1.0"
__all__ = ["NoRule", "Tensor", "__version__", "backend", "grad", "load", "no_grad", "ops", "save"]

# imported at first use: `import minidl` stays light
_LATER = {
    "bayes", "data", "draw", "explain", "federated", "losses", "metrics", "mixture", "nn", "optim", "report",
    "threads", "train", "train_sequences",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    if name in ("save", "load"):
        return getattr(importlib.import_module(f"{__name__}.nn.serialise"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""`python -m benchmarks [--smoke]`: one line a comparison."""

from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported; minidl brings its own second thread

import argparse  # noqa: E402
import platform  # noqa: E402

import numpy as np  # noqa: E402

import minidl  # noqa: E402
from minidl import threads  # noqa: E402

from . import attribution, dropout, estimators, federated, imports, mixtures, recurrent, tape, training  # noqa: E402
from .timing import load, measure  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one pair: only shows that it runs")
    parser.add_argument("--pairs", type=int, default=15, help="paired runs of each comparison (default 15)")
    parser.add_argument("--only", default="", help="only comparisons whose name contains this text")
    arguments = parser.parse_args()
    threads.keep_memory()  # as `fit` does; it serves the peers in this process as well
    smoke, pairs = arguments.smoke, 1 if arguments.smoke else arguments.pairs
    print(f"minidl {minidl.__version__}, numpy {np.__version__}, python {platform.python_version()}; {load()}")
    kinds = training, recurrent, attribution, estimators, dropout, mixtures, federated
    cases = [*(case for kind in kinds for case in kind.cases(smoke)), imports.case()]
    wanted = [case for case in cases if arguments.only in case.name]
    alone = {  # those that have no peer
        "tape": lambda: tape.overhead(50 if smoke else 1000, pairs),
        federated.GROWTH: lambda: federated.growth(smoke, pairs),
    }
    alone = {name: line for name, line in alone.items() if arguments.only in name}
    if not wanted and not alone:
        parser.error(f"no comparison's name contains {arguments.only!r}: {'; '.join(case.name for case in cases)}")
    for line in alone.values():
        print(line(), flush=True)
    for case in wanted:
        print(measure(case, pairs, warmup=1 if smoke else 2), flush=True)
    print(load())


if __name__ == "__main__":
    main()

"""The benchmarks run, and their verdicts say what they should. They measure nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmarks_run_at_smoke_size_without_peers():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    names = "tape", "2NN step", "CNN step", "char-LSTM step", "MC dropout", "epsilon-LRP", "DeepLIFT Rescale", "import"
    names += "2 clients, one after another", "2 clients, two processes", "FedAvg round by number of clients"
    for name in names:
        assert name in done.stdout


def test_the_benchmark_against_flower_runs_without_it():
    code = "import sys; sys.modules['flwr'] = None; sys.argv[1:] = ['--smoke']\n"
    code += "from benchmarks.flower import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "peer not installed" in done.stdout


@pytest.mark.parametrize("low, high, said", [(0.5, 0.7, "met"), (0.8, 0.9, "missed"), (0.7, 0.8, "undecided")])
def test_a_bar_is_met_or_missed_only_if_the_middle_half_of_the_pairs_agrees(monkeypatch, low, high, said):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.timing import verdict

    assert verdict(low, high, 0.75) == said

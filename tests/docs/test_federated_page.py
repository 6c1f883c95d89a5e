"""Every block of docs/federated.md runs; those of Flower do in tests/federated/test_flower.py."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "federated.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def run(name, folder):
    (text,) = (block for _, block in BLOCKS if block.startswith(f"# {name}"))
    (folder / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, name], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (folder / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 and lines[0].startswith("round,lr,selected")


def test_the_page_prints_what_it_says():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 30 and not failed


def test_the_script_runs_and_keeps_its_state(tmp_path):
    run("train.py", tmp_path)
    assert (tmp_path / "state" / "round-000005.npz").exists()


@pytest.mark.federated
@pytest.mark.slow
def test_the_script_for_dask_runs(tmp_path):
    pytest.importorskip("distributed", reason="needs Dask: pip install 'minidl[federated]'")
    run("on_dask.py", tmp_path)


def test_no_block_is_left_out():
    others = [text.partition("\n")[0] for kind, text in BLOCKS if ">>>" not in text and kind != "sh"]
    assert others == ["# train.py", "# on_dask.py", "# app.py", "# pyproject.toml", "# simulate.py", "# config.toml"]

"""The pages that are made from the code are up to date, and what the README prints is true."""

import doctest
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_errata_page_is_made_from_the_docstrings():
    command = [sys.executable, ROOT / "docs" / "build_errata.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_prints_what_it_says():
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried >= 6 and not failed

"""The data sets by name, as the command line asks for them."""

import subprocess
import sys

import pytest

from minidl.data import DATASETS, embedded, registry


def test_every_data_set_is_described():
    assert registry.names() == list(DATASETS) and {"digits", "mnist"} <= set(DATASETS)
    for name in registry.names():
        description, licence, size = registry.describe(name)
        assert description and licence and size > 0


def test_the_digits_are_always_there():
    assert registry.missing("digits") is None
    assert registry.fetch("digits") == embedded.FILE.parent
    assert registry.describe("digits")[2] == embedded.FILE.stat().st_size


@pytest.mark.parametrize("ask", [registry.describe, registry.fetch, registry.missing])
def test_a_name_that_is_none(ask):
    with pytest.raises(ValueError, match="data set: got 'mnits', expected one of digits, mnist, uci"):
        ask("mnits")


def test_importing_the_loaders_imports_nothing_heavy():
    code = "import sys, minidl.data; print(sorted({'pooch', 'requests', 'gzip', 'matplotlib'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

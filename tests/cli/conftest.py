"""The fixture of the command line's tests."""

import pytest
from cli.books import Book


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)

"""Recorded values: what is taken, how it is shown, how it is set beside the paper's."""

import numpy as np
import pytest

from minidl.report.values import plain, readable, text_table


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array(2.5), 2.5),
        (np.bool_(True), True),
        (float("nan"), "nan"),
        (np.float64("-inf"), "-inf"),
        (None, None),
        ("86 %", "86 %"),
    ],
)
def test_values_become_plain(value, expected):
    came = plain(value)
    assert came == expected and type(came) is type(expected)


@pytest.mark.parametrize("value", [[1, 2], np.array([1.0]), {"a": 1}, object()])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="must be a number, a string or None"):
        plain(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1663370, "1,663,370"),
        (0.971234, "0.9712"),
        (0.0, "0"),
        (-2.5e-16, "-2.5e-16"),
        (12345.6, "12,346"),
        (1.5e9, "1.5e+09"),
        (True, "yes"),
        (None, "–"),
        (".30", ".30"),
    ],
)
def test_numbers_are_readable(value, expected):
    assert readable(value) == expected


def test_the_papers_numbers_stand_beside_ours_where_there_are_any():
    rows = [
        {"label": "first", "paper": {"error": 0.25}, "ours": {"error": 0.5, "flow": 3}},
        {"label": "2nd", "paper": {}, "ours": {"error": 0.125}},
    ]
    assert text_table(("error", "flow"), rows).splitlines() == [
        "         error (paper)  error (ours)  flow",
        "  first           0.25           0.5     3",
        "  2nd                –         0.125     –",
    ]

"""Carbon dioxide: the simulated series, and the loader on small files and on the real one where MINIDL_DATA has it."""

import os
from pathlib import Path

import numpy as np
import pytest

from minidl.data import DataError, co2, registry

HEAD = "date,decimal_date,average_ppm,deseasonalized_ppm\n"
ROWS = ["1958-03,1958.2027,315.71,314.44", "1958-04,1958.2877,317.45,315.16", "1958-05,1958.3699,317.51,314.69"]


def fill(folder, rows=ROWS):
    folder.mkdir(parents=True)
    (folder / co2.FILE).write_text(HEAD + "\n".join(rows) + "\n")
    return folder


def test_the_simulated_series_rises_and_swings():
    series = co2.simulate(240, 3)
    assert len(series.years) == len(series.ppm) == 240 and np.allclose(np.diff(series.years), 1 / 12)
    yearly = series.ppm.reshape(20, 12)
    assert (np.diff(yearly.mean(1)) > 0).all()
    swing = (yearly - yearly.mean(1, keepdims=True)).mean(0)  # over the year; the noise of a mean is 0.3 / sqrt(20)
    assert 4 < np.ptp(swing) < 8
    np.testing.assert_array_equal(series.ppm, co2.simulate(240, 3).ppm)
    assert (co2.simulate(240, 4).ppm != series.ppm).any()
    with pytest.raises(ValueError, match="months must be at least 1, got 0"):
        co2.simulate(0)


def test_a_record_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_DATA", str(fill(tmp_path / "a" / "co2").parent))
    for series in (co2.mauna_loa(), co2.mauna_loa(tmp_path / "a"), co2.mauna_loa(tmp_path / "a" / "co2")):
        np.testing.assert_array_equal(series.ppm, [315.71, 317.45, 317.51])
        np.testing.assert_allclose(series.years, 1958 + np.array([2.5, 3.5, 4.5]) / 12)
    assert registry.missing("co2") is None and registry.fetch("co2") == tmp_path / "a" / "co2"


def test_what_is_missing_or_wrong_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    with pytest.raises(DataError, match="there is no such file.*co2-ppm.*MINIDL_DATA"):
        co2.mauna_loa()
    assert "there is no such file" in registry.missing("co2")
    for k, (rows, sentence) in enumerate(
        [
            (ROWS[1:], "does not hold every month from 1958-03 on"),
            ([ROWS[0], ROWS[2]], "does not hold every month"),
            ([], "does not hold every month"),
            (["1958-03,1958.2,31.5,0"], "holds means from 31.5 to 31.5"),
            (["1958-03,1958.2,none,0"], "cannot be read"),
            (["March"], "cannot be read"),
        ]
    ):
        with pytest.raises(DataError, match=sentence):
            co2.mauna_loa(fill(tmp_path / str(k), rows))


@pytest.mark.skipif(
    not Path(os.environ.get("MINIDL_DATA", ""), "co2", co2.FILE).is_file(), reason="MINIDL_DATA holds no co2 record"
)
def test_the_real_record():
    series = co2.mauna_loa()
    assert len(series.years) >= 800 and 310 < series.ppm.min() < 320 and series.ppm.max() > 420
    simulated = co2.simulate(len(series.years))
    assert abs(simulated.ppm - series.ppm).max() < 8  # like it

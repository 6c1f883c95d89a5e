"""A chapter's run: its parameters, and the state that it resumes from."""

import runpy

import numpy as np
import pytest

from minidl import report
from minidl.data import registry
from minidl.report import run as runs

VARIABLES = ("MINIDL_SCALE", "MINIDL_SEED", "MINIDL_BACKEND", "MINIDL_OUT", "MINIDL_FRESH")
CHAPTER = """# %% [markdown]
# # A title
# %%
import numpy as np
from minidl import report
run = report.chapter("00_one", minutes=1)
calls = []

def step():
    calls.append(1)
    return {ARRAYS}

arrays = run.cached("step", step)
"""
ARRAYS = '{"W": np.arange(12.0).reshape(3, 4).T[::2], "names": np.array(["a", "bc"]), "seconds": 1}'


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Run the chapter as a script with results going to an out folder; returns its names."""
    path = tmp_path / "00_one.py"
    path.write_text(CHAPTER.replace("{ARRAYS}", ARRAYS))
    # A package of one file, which the tests may change.
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "tape.py").write_text("as it was")
    monkeypatch.setattr(runs, "PACKAGE", tmp_path / "package")
    monkeypatch.setenv("MINIDL_OUT", str(tmp_path / "out"))
    return lambda: runpy.run_path(str(path))


def test_the_defaults_of_a_plain_script_keep_results_in_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = report.chapter("00_one", minutes=1)
    assert (run.scale, run.seed, run.backend, run.out) == ("quick", 0, "numpy", None)
    assert run.pick(smoke=1, quick=2, full=3) == 2
    report.record("minidl:x", "x", columns=("a",), rows=[{"label": "l", "ours": {"a": 1}}], figure="<svg/>")
    assert run.results["minidl:x"]["rows"] == [{"label": "l", "paper": {}, "ours": {"a": 1}}]
    run.cached("step", lambda: {"a": 1})
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out.startswith("chapter 00_one, scale quick, seed 0, backend numpy\n")


@pytest.mark.parametrize(
    ("variable", "value"), [("MINIDL_SCALE", "huge"), ("MINIDL_SEED", "-1"), ("MINIDL_BACKEND", "abacus")]
)
def test_a_bad_parameter_is_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable} must be .* got '{value}'"):
        report.chapter("00_one", minutes=1)


def test_a_name_cannot_lead_out_of_the_folder(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="named like its file"):
        report.chapter("../other", minutes=1)
    run = report.chapter("00_one", minutes=1, out=tmp_path)
    with pytest.raises(ValueError, match="a cached step is named"):
        run.cached("../step", dict)


def test_threads_that_are_not_fixed_are_mentioned(monkeypatch, capsys):
    report.chapter("00_one", minutes=1)
    assert "BLAS" not in capsys.readouterr().out
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable)
    report.chapter("00_one", minutes=1)
    assert "BLAS threads are not fixed" in capsys.readouterr().out


def test_missing_data_stops_a_plain_script_at_its_first_line(monkeypatch):
    monkeypatch.setattr(registry, "missing", lambda name: f"{name} is not here; fetch it")
    report.chapter("00_one", minutes=1, data={"full": ("mnist",)})
    monkeypatch.setenv("MINIDL_SCALE", "full")
    with pytest.raises(FileNotFoundError, match="^mnist is not here; fetch it$"):
        report.chapter("00_one", minutes=1, data={"full": ("mnist",)})


def test_a_step_is_computed_once_and_loaded_as_it_was(execute):
    first, second = execute(), execute()
    assert (len(first["calls"]), len(second["calls"])) == (1, 0)
    for name in ("W", "names", "seconds"):
        one, two = first["arrays"][name], second["arrays"][name]
        np.testing.assert_array_equal(one, two)
        assert (one.dtype, one.strides) == (two.dtype, two.strides), "BLAS sums another layout in another order"


def test_the_seconds_of_a_loaded_step_count(execute, tmp_path):
    text = (tmp_path / "00_one.py").read_text()
    (tmp_path / "00_one.py").write_text(text.replace("calls.append(1)", "import time; time.sleep(0.3)"))
    execute()
    assert execute()["run"].seconds > 0.3


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"", lambda data: b"\x93NUMPY" + data[6:]])
def test_a_damaged_state_is_computed_again_and_said_so(execute, tmp_path, capsys, damage):
    good = execute()
    (path,) = tmp_path.glob("out/state/00_one/quick-seed0-numpy/step.npz")
    path.write_bytes(damage(path.read_bytes()))
    again = execute()
    assert "the saved step 'step' is damaged" in capsys.readouterr().out
    assert len(again["calls"]) == 1
    np.testing.assert_array_equal(again["arrays"]["W"], good["arrays"]["W"])
    assert len(execute()["calls"]) == 0


def test_state_of_other_code_is_not_reused_but_prose_may_change(execute, tmp_path, capsys):
    path = tmp_path / "00_one.py"
    execute()
    path.write_text(path.read_text().replace("# # A title", "# # A better title\n# and more"))
    assert len(execute()["calls"]) == 0
    path.write_text(path.read_text().replace("np.arange(12.0)", "1 + np.arange(12.0)"))
    (tmp_path / "out/state/00_one/quick-seed0-numpy/checkpoint.npz").write_text("of the old code")
    changed = execute()
    assert "the code has changed since the saved state was made" in capsys.readouterr().out
    assert len(changed["calls"]) == 1 and changed["arrays"]["W"][0, 0] == 1
    assert not (changed["run"].state / "checkpoint.npz").exists(), "checkpoints are state, too"


def test_state_of_another_library_is_not_reused(execute, monkeypatch, tmp_path):
    execute()
    monkeypatch.setattr("minidl.__version__", "999")
    assert len(execute()["calls"]) == 1
    assert len(execute()["calls"]) == 0
    (tmp_path / "package" / "tape.py").write_text("mended")
    assert len(execute()["calls"]) == 1


def test_fresh_forgets(execute, monkeypatch):
    execute()
    monkeypatch.setenv("MINIDL_FRESH", "1")
    assert len(execute()["calls"]) == 1


def test_a_notebook_always_computes(tmp_path):
    """Its cells may have changed since the last call, and no file tells."""
    names = {"out": tmp_path / "out"}
    exec("from minidl import report\nrun = report.chapter('00_one', minutes=1, out=out)", names)
    run = names["run"]
    assert run.cached("step", lambda: {"a": 1})["a"] == 1
    assert run.cached("step", lambda: {"a": 2})["a"] == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.array([None]), [1, [2, 3]]])
def test_a_step_returns_arrays_that_need_no_pickle(value):
    run = report.chapter("00_one", minutes=1)
    with pytest.raises((TypeError, ValueError)):
        run.cached("step", lambda: {"a": value})
    with pytest.raises(TypeError, match="must return a dict of arrays, got list"):
        run.cached("step", lambda: [value])

"""The notebooks are the chapters, executed; making them twice gives the same bytes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "notebooks" / "build.py"
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

CHAPTER = '''\
# %% [markdown]
# # A title

# %%
import sys
print("one")
print("a progress bar", file=sys.stderr)
object()

# %%
print("one")

# %%
print("one")
'''


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("notebooks_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_build(chapters, out, *arguments):
    out.mkdir(exist_ok=True)
    command = [sys.executable, str(BUILD), *arguments, "--chapters", str(chapters), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_chapter_has_its_notebook_and_every_notebook_its_chapter():
    assert [n.stem for n in NOTEBOOKS] == [c.stem for c in CHAPTERS], "run 'make notebooks'"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)
def test_a_notebook_has_its_chapters_cells(build, chapter):
    path = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
    if not path.exists():
        pytest.fail(f"{path.name} is missing; run 'make notebooks'")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size <= build.LARGEST
    expected = [(c.id, c.cell_type, c.source) for c in build.unexecuted(chapter).cells]
    found = [(c.id, c.cell_type, c.source) for c in notebook.cells]
    assert found == expected, f"{path.name} is older than its chapter; run 'make notebooks'"
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), f"{path.name} was not run from top to bottom"
    results = [o.data for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "data" in o]
    undrawn = [data for data in results if set(data) == {"text/plain"} and "Figure" in data["text/plain"]]
    assert not undrawn, f"{path.name} has figures that were not drawn: {undrawn}"


def test_ids_are_stable_and_different(build, tmp_path):
    chapter = tmp_path / "07_test.py"
    chapter.write_text(CHAPTER)
    ids = [c.id for c in build.unexecuted(chapter).cells]
    assert len(set(ids)) == 4
    chapter.write_text("# %%\nfirst = 1\n\n" + CHAPTER)
    assert [c.id for c in build.unexecuted(chapter).cells][1:] == ids  # a new cell leaves the others alone


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path):
    pytest.importorskip("nbclient")
    (tmp_path / "07_test.py").write_text(CHAPTER)
    texts = []
    for out in (tmp_path / "a", tmp_path / "b"):
        done = run_build(tmp_path, out)
        assert done.returncode == 0, done.stderr
        texts.append((out / "07_test.ipynb").read_bytes())
    assert texts[0] == texts[1]
    notebook = nbformat.reads(texts[0].decode(), as_version=4)
    outputs = notebook.cells[1].outputs
    assert [o.output_type for o in outputs] == ["stream", "execute_result"] and outputs[0].text == "one\n"
    assert outputs[1].data["text/plain"] == "<object>"
    assert notebook.metadata.language_info == {"name": "python"}


@pytest.mark.slow
def test_a_failing_or_fat_chapter_is_reported_and_the_others_are_built(tmp_path):
    pytest.importorskip("nbclient")
    (tmp_path / "07_broken.py").write_text("# %%\n1 / 0\n")
    (tmp_path / "08_fat.py").write_text("# %%\nprint('xxxx xxxx\\n' * 50_000)\n")
    (tmp_path / "09_good.py").write_text("# %%\nprint('fine')\n")
    done = run_build(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "07_broken" in done.stderr and "ZeroDivisionError" in done.stderr
    assert "08_fat: the notebook has" in done.stderr and "expected at most 400000" in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["09_good.ipynb"]
    assert run_build(tmp_path, tmp_path / "out", "nothing").returncode == 2

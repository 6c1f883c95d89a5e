"""What a user gets: the wheel, installed by pip into an empty environment, runs a chapter far from the sources."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 300


def run(command, **kwargs):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT, **kwargs)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments, python=sys.executable):
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for the test, if pip can reach an index at all: after that nothing is an excuse."""
    folder = tmp_path_factory.mktemp("wheel")
    patience = ("--retries", "1", "--timeout", "10")
    command = pip("download", "--quiet", "--no-deps", *patience, "--dest", folder / "probe", "tqdm")
    try:
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("pip reaches no package index, which building and installing a wheel needs")
    return folder


@pytest.fixture(scope="module")
def wheel(folder):
    run(pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT))
    (path,) = folder.glob("minidl-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_what_a_user_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    for chapter in (ROOT / "chapters").glob("[0-9][0-9]_*.py"):
        assert f"minidl/chapters/{chapter.name}" in names
    for name in ("__init__.py", "py.typed", "concordance.csv", "data/files/digits.npz", "data/files/README.md"):
        assert f"minidl/{name}" in names
    assert [n for n in names if not n.startswith("minidl")] == []
    assert [n for n in names if "__pycache__" in n or n.endswith((".pyc", ".ipynb"))] == []
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert sorted(line.split()[1].split(">")[0] for line in required) == ["numpy", "pooch", "threadpoolctl", "tqdm"]
    assert wheel.stat().st_size < 5_000_000  # most of it are the figures of results at full scale


@pytest.mark.slow
def test_an_installed_wheel_runs_a_chapter_from_any_folder(wheel, tmp_path):
    venv.create(tmp_path / "empty", with_pip=True)
    bin_ = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin")
    python = bin_ / "python"
    # the chapters draw, and drawing is all that they need beyond the library's own dependencies
    run(pip("install", "--quiet", wheel, "matplotlib", python=python))

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # no trace of this checkout: neither its path nor the settings of the suite
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MINIDL", "PYTEST"))}
    where = run([python, "-c", "import minidl; print(minidl.__file__)"], cwd=elsewhere, env=environment)
    assert Path(where.strip()).is_relative_to(tmp_path)
    assert run([bin_ / "minidl", "--version"], cwd=elsewhere, env=environment).strip()

    out = tmp_path / "report"
    command = [python, "-m", "minidl", "reproduce", "00", "--scale", "smoke", "--out", out]
    run(command, cwd=elsewhere, env=environment)
    assert (out / "index.html").stat().st_size > 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert isinstance(results, list) and all(row["scale"] == "smoke" for row in results)
    assert list(elsewhere.iterdir()) == []

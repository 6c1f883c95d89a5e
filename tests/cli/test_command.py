"""The command as such: versions, helps, data sets, and what it must never do."""

import os
import subprocess
import sys

import pytest

import minidl


def run(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "minidl", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def test_version(tmp_path):
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"minidl {minidl.__version__}\n")


def test_without_a_command_the_help_is_shown(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 2 and "COMMAND" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ("reproduce", "concordance", "data", "130 interrupted")),
        (
            ("reproduce",),
            ("--scale", "--jobs", "--seed", "--backend", "--out", "--fresh", "--keep", "3 data is missing"),
        ),
        (("concordance",), ("--missing",)),
        (("data",), ("list", "fetch", "path", "MINIDL_DATA")),
    ],
)
def test_every_command_explains_itself(command, words, capsys):
    from minidl.cli import main

    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert [word for word in words if word not in shown] == []


def test_chapters_of_the_current_folder_are_never_run(tmp_path):
    folder = tmp_path / "chapters"
    folder.mkdir()
    (folder / "99_trap.py").write_text('open("ran", "w")')
    done = run("reproduce", "99", cwd=tmp_path)
    assert done.returncode == 2 and "99_trap" not in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def no_mnist(tmp_path):
    """A data folder that has a folder for MNIST, so that nothing is downloaded, and none of its files."""
    (tmp_path / "mnist").mkdir()
    return str(tmp_path)


def test_data_list_says_what_there_is(tmp_path, no_mnist):
    done = run("data", "list", cwd=tmp_path, MINIDL_DATA=no_mnist)
    assert done.returncode == 0
    (digits,) = [line for line in done.stdout.splitlines() if line.startswith("digits ")]
    (mnist,) = [line for line in done.stdout.splitlines() if line.startswith("mnist ")]
    assert " here " in digits and "not here" not in digits and "CC BY 4.0" in digits
    assert " not here " in mnist


def test_data_path_is_one_line(tmp_path):
    done = run("data", "path", cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1


def test_fetching_an_unknown_data_set_is_an_argument_error(tmp_path):
    done = run("data", "fetch", "digits", "letters", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == "" and "no data set letters; there are digits, mnist" in done.stderr


def test_fetching_what_cannot_be_had_is_data_missing(tmp_path, no_mnist):
    done = run("data", "fetch", "mnist", "digits", cwd=tmp_path, MINIDL_DATA=no_mnist)
    assert done.returncode == 3
    assert no_mnist in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.startswith("digits: "), "the others are fetched all the same"


def test_an_unknown_backend_in_the_environment_is_refused(tmp_path):
    done = run("reproduce", "00", "--scale", "smoke", cwd=tmp_path, MINIDL_BACKEND="torch")
    assert done.returncode == 2
    assert "MINIDL_BACKEND must be numpy or cupy, got 'torch'" in done.stderr

"""`minidl reproduce`: what it runs, what it writes, and each of its exit statuses."""

import importlib.util
import json

import pytest
from cli.books import recording


def test_a_chapter_learns_its_parameters_and_its_result_is_written(book):
    book.write(
        "03_parameters",
        """import os
names = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED", "MPLBACKEND"
report.record("deeplift:fig4", "a figure", columns=("a", "b"), note="why they differ",
    figure="<svg xmlns='http://www.w3.org/2000/svg'/>", rows=[
    {"label": "x", "paper": {"a": 0.5}, "ours": {"a": run.pick(smoke=1, quick=2, full=3), "b": run.seed}},
    {"label": "environment", "ours": {"b": " ".join(os.environ[name] for name in names)}}])
""",
    )
    done = book.reproduce("--scale", "smoke", "--seed", 7)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((book.out / "results.json").read_text())
    assert list(entry) == [
        *("id", "title", "scale", "backend", "seed", "versions"),
        *("columns", "rows", "figure", "seconds", "note"),
    ]
    assert (entry["id"], entry["scale"], entry["backend"], entry["seed"]) == ("deeplift:fig4", "smoke", "numpy", 7)
    assert entry["rows"] == [
        {"label": "x", "paper": {"a": 0.5}, "ours": {"a": 1, "b": 7}},
        {"label": "environment", "paper": {}, "ours": {"b": "1 1 1 0 Agg"}},
    ]
    assert {"python", "numpy", "minidl", "platform"} <= set(entry["versions"])
    assert entry["seconds"] > 0 and entry["note"] == "why they differ"
    assert (book.out / entry["figure"]).exists()
    assert f'src="{entry["figure"]}"' in book.page()
    log = (book.out / "logs" / "03_parameters.txt").read_text()
    assert "a (paper)" in log and log in done.stdout, "with one job the output goes to the log and to the terminal"
    assert "03_parameters  ok" in done.stdout


def test_a_failed_chapter_is_reported_and_the_others_still_run(book):
    book.write("00_bad", 'print("a <b>last</b> word")\nraise SystemExit(9)')
    book.write("01_good", recording("good", 1))
    for jobs in (1, 2):
        done = book.reproduce("--jobs", jobs)
        assert done.returncode == 1
        assert "00_bad  failed (exit status 9)" in done.stdout and "01_good  ok" in done.stdout
        assert list(book.results()) == ["minidl:good"]
        assert "This chapter failed (exit status 9)" in book.page()
        assert "a &lt;b&gt;last&lt;/b&gt; word" in book.page()
    assert "a <b>last</b> word" in done.stderr, "with several jobs the end of the log is shown when a chapter fails"


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("7", "'7' is no chapter; there are 00_one, 01_two_a, 02_two_b"),
        ("two", "'two' fits several chapters: 01_two_a, 02_two_b"),
        ("../00_one", "'../00_one' is no chapter; there are 00_one, 01_two_a, 02_two_b"),
    ],
)
def test_an_unknown_or_ambiguous_chapter_is_refused_in_one_sentence(book, word, sentence):
    for name in ("00_one", "01_two_a", "02_two_b"):
        book.write(name, "")
    done = book.reproduce(word)
    assert done.returncode == 2
    assert done.stderr.strip() == f"minidl reproduce: {sentence}"
    assert not book.out.exists()


def test_chapters_are_chosen_by_number_and_by_the_beginning_of_their_names(book):
    for name in ("00_one", "01_two_a", "02_two_b", "03_three", "04_four", "05_four_more"):
        book.write(name, recording(name.replace("_", "-"), 1))
    done = book.reproduce("0", "02", "two_b", "th", "four")
    assert done.returncode == 0, done.stderr
    assert list(book.results()) == ["minidl:00-one", "minidl:02-two-b", "minidl:03-three", "minidl:04-four"]


@pytest.mark.parametrize(
    "arguments",
    [("--jobs", "0"), ("--seed", "-1"), ("--seed", "x"), ("--scale", "huge"), ("--backend", "abacus"), ("--x",)],
)
def test_bad_options_are_refused(book, arguments):
    book.write("00_one", "")
    done = book.reproduce(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr and not book.out.exists()


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_backend_that_is_not_installed_is_refused(book):
    book.write("00_one", 'open("ran", "w")')
    done = book.reproduce("--backend", "cupy")
    assert done.returncode == 2
    assert "backend 'cupy' is not installed" in done.stderr and not (book.folder / "ran").exists()


def test_an_out_folder_that_cannot_be_made_is_refused(book):
    book.write("00_one", "")
    (book.folder / "file").write_text("")
    done = book.reproduce(out=book.folder / "file" / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("minidl reproduce: cannot make the folder")


def test_missing_data_is_named_before_anything_runs(book):
    book.write("00_needs", 'open("ran", "w")', arguments=', data={"full": ("mnist",)}')
    book.write("01_needs_nothing", 'open("ran", "w")')
    empty = book.folder / "empty"
    (empty / "mnist").mkdir(parents=True)
    done = book.reproduce("--scale", "full", environment={"MINIDL_DATA": str(empty)})
    assert done.returncode == 3
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("chapter 00_needs at --scale full: ") and str(empty) in sentence
    assert not (book.folder / "ran").exists() and not book.out.exists()
    assert book.reproduce("--scale", "quick", environment={"MINIDL_DATA": str(empty)}).returncode == 0
    assert (book.folder / "ran").exists()


def test_results_of_chapters_that_are_not_run_stay(book):
    book.write("00_one", recording("one", 1) + recording("old", 1))
    book.write("01_two", recording("two", 2))
    book.reproduce("0")
    book.write("00_one", recording("one", 11))
    book.reproduce("1")
    assert list(book.results()) == ["minidl:one", "minidl:old", "minidl:two"]
    assert book.reproduce("0").returncode == 0
    assert list(book.results()) == ["minidl:one", "minidl:two"], "what the chapter records no more is dropped"
    assert book.results()["minidl:one"]["rows"][0]["ours"] == {"a": 11}


def test_a_failure_keeps_earlier_results_and_says_that_they_are_earlier(book):
    book.write("00_one", recording("b", 1) + recording("a", 2))
    book.reproduce()
    assert "From an earlier run" not in book.page()
    book.write("00_one", recording("b", 3) + "1 / 0")
    assert book.reproduce().returncode == 1
    values = {id: entry["rows"][0]["ours"]["a"] for id, entry in book.results().items()}
    assert values == {"minidl:b": 3, "minidl:a": 2}
    assert book.page().count("From an earlier run") == 1
    assert "ZeroDivisionError" in book.page()


def test_jobs_run_at_the_same_time(book):
    meeting = """import pathlib, time
pathlib.Path("{mine}").touch()
deadline = time.monotonic() + 20
while not pathlib.Path("{other}").exists():
    assert time.monotonic() < deadline
    time.sleep(0.02)
"""
    book.write("00_one", meeting.format(mine="one", other="two"))
    book.write("01_two", meeting.format(mine="two", other="one"))
    done = book.reproduce("--jobs", 2)
    assert done.returncode == 0, done.stdout + done.stderr


def test_full_scale_results_are_kept_with_the_chapters_on_demand(book):
    own = 'old = report.kept("minidl:own")\n' + recording("own", '(old["rows"][0]["ours"]["a"] + 1 if old else 1)')
    figure = "report.record('minidl:drawn', 'drawn', figure='<svg/>')\n"
    book.write("00_one", own + figure)
    refused = book.reproduce("--keep")
    assert refused.returncode == 2 and "--keep is for results at full scale" in refused.stderr
    book.reproduce("--scale", "full")
    assert not (book.chapters / "results").exists(), "results are kept only if asked for"
    assert book.reproduce("--scale", "full", "--keep").returncode == 0
    kept = json.loads((book.chapters / "results" / "minidl_own.json").read_text())
    assert kept["scale"] == "full" and kept["rows"][0]["ours"] == {"a": 1}
    assert (book.chapters / "results" / "minidl_drawn.svg").exists()
    book.reproduce()
    assert book.results()["minidl:own"]["scale"] == "quick"
    assert book.results()["minidl:own"]["rows"][0]["ours"] == {"a": 2}, "the chapter read the kept result"
    assert book.page().count("At full scale, kept with the project") == 2
    assert (
        'src="figures/kept_minidl_drawn.svg"' in book.page() and (book.out / "figures/kept_minidl_drawn.svg").exists()
    )


def test_a_chapter_killed_by_a_signal_is_a_failure(book):
    book.write("00_one", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    done = book.reproduce()
    assert done.returncode == 1 and "failed (killed by signal 9)" in done.stdout
    assert "signal 9 killed it" in book.page()

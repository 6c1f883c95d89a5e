"""What a chapter declares is read without running it."""

import pytest

from minidl import report
from minidl.report import declaration

TEXT = """# %% [markdown]
# Some words.
# # Digits & heatmaps
# ## A part
# %%
raise SystemExit("this was run")
# %%
run = report.chapter("02_digits", minutes=20, law="sums to y", data={"full": ("mnist",)}, out=folder)
"""


def test_the_declaration_is_read_and_the_chapter_not_run(tmp_path):
    path = tmp_path / "02_digits.py"
    path.write_text(TEXT)
    assert report.declared(path) == report.Declaration(
        "02_digits", "Digits & heatmaps", 20, "sums to y", {"full": ("mnist",)}
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("report.chapter", "report.page", "declares no chapter"),
        ("minutes=20", "minutes=20 * long", "literal arguments only"),
        ('"02_digits", ', "", "needs its name first"),
        ('"02_digits"', '"03_digits"', "declares the name '03_digits', its file is '02_digits'"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(tmp_path, old, new, sentence):
    path = tmp_path / "02_digits.py"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ValueError, match=sentence):
        report.declared(path)


def test_the_chapters_are_beside_the_package_or_inside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(declaration, "PACKAGE", tmp_path / "minidl")
    with pytest.raises(FileNotFoundError, match="no chapters found"):
        declaration.find_chapters()
    beside, inside = tmp_path / "chapters", tmp_path / "minidl" / "chapters"
    for place in (beside, inside):
        place.mkdir(parents=True)
        assert place.name == "chapters" and declaration.is_source_checkout(place) == (place == beside)
        (place / "00_one.py").write_text("")
        assert declaration.find_chapters() == place

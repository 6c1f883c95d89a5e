"""`minidl concordance`: every tag is found where it stands, and nothing else is taken for one."""

import pytest

from minidl import concordance
from minidl.cli import main

LIST = """id,kind,what
lrp:eq58,rule,the epsilon rule
lrp:eq2,law,conservation
lrp:fig2,figure,a figure
gal:eq3.18,equation,"a sum, with a comma"
lrp:bias-redistribution,rule,bias
"""
CODE = '''"""Module.

Source: lrp:eq58,
    lrp:bias-redistribution.
"""

class Rule:
    """A rule.

    Source: lrp:eq2
    Source: gal:eq3.18 (printed wrongly)
    """

NOT_A_DOCSTRING = 0
TEXT = """
Source: lrp:nothing
"""
'''
TESTS = """import pytest
pytestmark = pytest.mark.source("lrp:bias-redistribution")

@pytest.mark.source("lrp:eq58", "lrp:eq2")
def test_one():
    text = 'pytest.mark.source("lrp:nothing")'
    file.source("lrp:nothing")

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.source("gal:eq3.18"))])
def test_two(x):
    pass
"""
CHAPTER = """# %% [markdown]
# # A title [markdown] [link](http://x.org) [lrp: eq 58] [other:eq1] [0, 1]
# The rule [lrp:eq58, lrp:eq2].
# %%
# [gal:eq3.18] in a code cell is not prose
x = "[gal:eq3.18]"
report.record("lrp:fig2", "title")
report.record("minidl:own", "title")
"""


@pytest.fixture
def package(tmp_path):
    for path, text in {
        "pyproject.toml": "",
        "minidl/concordance.csv": LIST,
        "minidl/ops/rules.py": CODE,
        "tests/laws/test_rules.py": TESTS,
        "chapters/01_rules.py": CHAPTER,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path / "minidl"


def test_every_id_is_shown_with_its_places_and_the_count(package, capsys):
    assert main(["concordance"], package=package) == 0
    code, test, chapter = "minidl/ops/rules.py", "tests/laws/test_rules.py", "chapters/01_rules.py"
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        f"lrp:eq58 code {code}:3 test {test}:4 chapter {chapter}:3",
        f"lrp:eq2 code {code}:10 test {test}:4 chapter {chapter}:3",
        f"lrp:fig2 code {chapter}:7 test - chapter {chapter}:7",
        f"gal:eq3.18 code {code}:11 test {test}:9 chapter -",
        f"lrp:bias-redistribution code {code}:4 test {test}:2 chapter -",
        "5 ids: 5 have code, 4 have a test, 3 have a chapter; 2 lack nothing",
    ]


def test_missing_shows_only_what_is_missing(package, capsys):
    (package / "ops/rules.py").write_text("")
    assert main(["concordance", "--missing"], package=package) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "lrp:eq58 code",
        "lrp:eq2 code",
        "lrp:fig2 test",
        "gal:eq3.18 code, chapter",
        "lrp:bias-redistribution code, chapter",
    ]


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        ("minidl/new.py", 'def f():\n    """Do.\n\n    Source: lrp:eq59\n    """\n', "minidl/new.py:4"),
        (
            "tests/test_new.py",
            'import pytest\n@pytest.mark.source("lrp:eq59")\ndef test(): pass\n',
            "tests/test_new.py:2",
        ),
        ("chapters/02_new.py", "# %% [markdown]\n#\n# See [lrp:eq59].\n", "chapters/02_new.py:3"),
        ("chapters/02_new.py", 'report.record("lrp:eq59", "t")\n', "chapters/02_new.py:1"),
    ],
)
@pytest.mark.parametrize("option", [(), ("--missing",)])
def test_an_unknown_id_is_an_error_that_names_its_place(package, capsys, path, text, place, option):
    (package.parent / path).write_text(text)
    assert main(["concordance", *option], package=package) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"{place}: unknown id 'lrp:eq59'"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def f(:\n", "invalid syntax"),
        ('"""Do.\n\nSource: Bach et al.\n"""\n', "line 3: 'Source:' without an id"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(package, capsys, text, reason):
    (package / "new.py").write_text(text)
    assert main(["concordance"], package=package) == 1
    error = capsys.readouterr().err
    assert error.startswith("minidl/new.py: ") and reason in error


def test_an_installation_has_no_tests_and_says_so(package, capsys):
    (package.parent / "pyproject.toml").unlink()
    (package / "chapters").mkdir()
    (package.parent / "chapters/01_rules.py").rename(package / "chapters/01_rules.py")
    assert main(["concordance"], package=package) == 0
    output, error = capsys.readouterr()
    assert "test_rules" not in output and "minidl/chapters/01_rules.py:3" in output
    assert "tests are not part of an installation" in error


def test_an_id_listed_twice_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text(LIST + "lrp:eq2,law,again\n")
    with pytest.raises(ValueError, match="lrp:eq2 more than once"):
        concordance.entries(tmp_path / "list.csv")


def test_the_projects_own_tags_are_all_known():
    found = concordance.scan()
    assert len(found.entries) > 200
    assert [f"{mention}: {mention.id}" for mention in found.unknown] == []
    assert found.unreadable == []

"""What the README says is true."""

import ast
import dataclasses
import difflib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from reference import options, told_default

import gradcheck_magic
from gradcheck_magic import Cause, GradientCheck, StepCurve, Verdict, check_gradients, step_curve
from gradcheck_magic._notebook.project import read_project
from gradcheck_magic._result.close_up import CloseUp

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--?[a-z]+")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_minimal_example(shell, run, capsys):
    """The cells of the README run as they are, and the card says what the README quotes."""
    cells = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    in_notebook, in_python = cells[:3], cells[3]
    for cell in in_notebook:
        run(cell)
    found = shell.user_ns["_gradcheck"]
    assert found.verdict is Verdict.BUG
    sentence = re.search(r"says: “(.*?)”", README, flags=re.DOTALL).group(1)
    assert found.diagnoses[0].sentence.startswith(" ".join(sentence.split()))
    capsys.readouterr()
    error = shell.run_cell(in_python).error_in_exec
    assert type(error).__name__ == "GradientCheckFailed"
    assert "There is a bug in backpropagation." in capsys.readouterr().out


def section(title):
    """Return the text under a heading."""
    _, found, text = README.partition(f"\n## {title}\n")
    assert found, title
    return text.partition("\n## ")[0]


def test_jacobian(shell, run, capsys):
    """The fit of the README runs, and its card says what is quoted there."""
    text = section("Jacobians")
    run(re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)[1])
    quoted = " ".join(re.search(r"“(.*?)”", text, flags=re.DOTALL)[1].split())
    assert shell.user_ns["_gradcheck"].diagnoses[0].sentence.startswith(quoted)
    assert quoted in " ".join(capsys.readouterr().out.split())


def rows(title):
    """Return the cells of the first table under a heading, without its header."""
    _, *table = re.search(r"(?:^\|.*\n)+", section(title), flags=re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1:]]


def plain(text):
    """Return Markdown without its markup."""
    return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text).replace("`", "")


OPTIONS = {name: option for option in options() for name in option.flags}


def test_options():
    """Every option is in the table, and nothing else is."""
    told = [name for option, *_ in rows("Options") for name in OPTION.findall(option)]
    assert sorted(told) == sorted(name for name in OPTIONS if not name.startswith("--no-"))


@pytest.mark.parametrize("row", rows("Options"), ids=lambda row: plain(row[0]))
def test_meaning_of_an_option(row):
    """`%gradcheck?` says the same, in a few words more or less, and gives the same default."""
    option, meaning, default = map(plain, row)
    name = OPTION.findall(option)[0]
    helped, known = told_default(OPTIONS[name])
    assert meaning in helped or helped in meaning
    assert default == known


def test_verdicts():
    """The verdicts are quoted to the letter."""
    told = [verdict for verdict, *_ in rows("How to read the verdict")]
    assert told == [f"{verdict.symbol} {verdict.value}" for verdict in Verdict]


def in_ci(language):
    """Return the code in the section on CI."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", section("In CI"), flags=re.DOTALL)
    return code


def test_options_of_a_project(tmp_path, monkeypatch):
    """The table can be copied into a `pyproject.toml`."""
    (tmp_path / "pyproject.toml").write_text(in_ci("toml"))
    monkeypatch.chdir(tmp_path)
    assert read_project().options == {"strict": "ci"}


def test_pytest(tmp_path):
    """The example passes; with a bug, it fails at its own line, and one line says why."""
    right = in_ci("python")
    wrong = right.replace("2 * X.T", "X.T")
    assert wrong != right
    (tmp_path / "test_right.py").write_text(right)
    (tmp_path / "test_wrong.py").write_text(wrong)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        # Importing other plugins takes longer than everything else.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout
    assert "test_right.py ." in done.stdout
    (error,) = re.findall("^E +(.*)$", done.stdout, flags=re.MULTILINE)
    assert error.startswith(
        "gradcheck_magic.errors.GradientCheckFailed: There is a bug in backpropagation. The "
        "difference is 0.333. `grads` is 0.5000 times the numerical gradient, in all 3 entries"
    )
    assert ">       check.raise_if_failed()" in done.stdout
    assert "check.py" not in done.stdout


def test_versions():
    """The README gives the versions that are required."""
    where = " ".join(section("Where it works").split())
    for requirement in PROJECT["dependencies"]:
        name, _, version = requirement.partition(">=")
        assert re.search(rf"{name} {version}", where, flags=re.IGNORECASE), requirement
    assert PROJECT["requires-python"].removeprefix(">=") in where


def test_tutorials():
    """Each tutorial is in the table, with a link that opens it on Binder from the repository."""
    table = section("Tutorials")
    tutorials = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(re.findall(r"\]\((notebooks/\S+?)\)", table)) == tutorials
    repository = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    opened = re.findall(r"mybinder\.org/v2/gh/(\S+?)/HEAD\?urlpath=lab/tree/(\S+?)\)", README)
    assert {owner_and_name for owner_and_name, _ in opened} == {repository}
    assert {notebook for _, notebook in opened} == tutorials


def test_causes():
    """Every cause is in the table, and nothing else is."""
    table = README.partition("| cause |")[2].partition("The check names a cause")[0]
    assert set(re.findall(r"`([A-Z_]{4,})`", table)) == {cause.name for cause in Cause}


def test_diagnosis_that_is_quoted():
    """The sentence that is shown as an example is among the tested ones."""
    quoted = " ".join(README.partition("> The error")[2].partition("\n\n")[0].split())
    golden = (ROOT / "tests" / "golden" / "diagnoses.txt").read_text(encoding="utf-8")
    assert f"The error {quoted.replace('> ', '')}" in golden


# Names in the text

PROSE = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
QUOTED = sorted({" ".join(code.split()) for code in re.findall(r"`([^`]+)`", PROSE)})
# The names of results in the examples.
RESULTS = {
    "check": GradientCheck,
    "_gradcheck": GradientCheck,
    "close_up": CloseUp,
    "curve": StepCurve,
    "gradcheck_magic": gradcheck_magic,
    **{name: getattr(gradcheck_magic, name) for name in gradcheck_magic.__all__},
}


def attributes(thing):
    fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
    return {*dir(thing), *(field.name for field in fields)}


def expressions(code):
    """Yield the parts of a text that is Python, in which `(...)` stands for any arguments."""
    try:
        yield from ast.walk(ast.parse(code.removeprefix("%").replace("(...)", "()")))
    except SyntaxError:
        return


@pytest.mark.parametrize("code", QUOTED)
def test_code_in_the_text(code):
    """Attributes of results, functions and their keywords exist and are spelled correctly."""
    for part in expressions(code):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            known = RESULTS.get(part.value.id)
            assert known is None or part.attr in attributes(known)
        if isinstance(part, ast.Name) and part.id not in gradcheck_magic.__all__:
            assert not difflib.get_close_matches(part.id, gradcheck_magic.__all__, cutoff=0.85)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            function = {"check_gradients": check_gradients, "step_curve": step_curve}.get(
                part.func.id
            )
            told = {keyword.arg for keyword in part.keywords}
            assert function is None or told <= inspect.signature(function).parameters.keys()


def test_keywords_in_the_text():
    """Every keyword, such as `workers=2`, is one of the check."""
    told = {match[1] for code in QUOTED if (match := re.fullmatch(r"(\w+)=[^=\s]+", code))}
    assert told
    assert told <= inspect.signature(check_gradients).parameters.keys()


def test_imports():
    """Everything that blocks of code import from the package exists."""
    imported = re.findall(r"^from gradcheck_magic import (.*)", README, flags=re.MULTILINE)
    assert imported
    assert {name for names in imported for name in names.split(", ")} <= set(
        gradcheck_magic.__all__
    )


def test_links():
    """Linked, shown and executed files are in the repository, and linked headings in the text."""
    linked = re.findall(r"\]\(([^)\s:]+)\)|(?:src|srcset)=\"([^\":]+)\"", README)
    paths = [first or second for first, second in linked]
    headings = re.findall(r"^#+ (.*)", README, flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    missing = [path for path in paths if path.startswith("#") and path not in anchors]
    missing += [path for path in paths if not (ROOT / path.partition("#")[0]).exists()]
    modules = re.findall(r"python -m (tests\.[\w.]+)", README)
    missing += [m for m in modules if not (ROOT / f"{m.replace('.', '/')}.py").is_file()]
    assert missing == []

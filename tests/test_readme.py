"""What the README says is true."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from gradcheck_magic import Cause, Verdict
from gradcheck_magic.options import project_options

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_minimal_example(shell, run, capsys):
    """Its cells run as they stand, and the card says what the README says it does."""
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


def test_options(shell):
    """Every option is in the table, and nothing else is."""
    parser = shell.find_line_magic("gradcheck").__func__.parser
    known = {option for action in parser._actions for option in action.option_strings}
    table = README.partition("## Options")[2].partition("`%gradcheck` does")[0]
    told = set(re.findall(r"(?<![\w-])--?[a-z]+", table))
    assert told == {option for option in known if not option.startswith("--no-")}


def in_ci(language):
    """Return the code in the section on CI."""
    section = README.partition("## In CI")[2].partition("\n## ")[0]
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
    return code


def test_options_of_a_project(tmp_path, monkeypatch):
    """The table can be copied into a `pyproject.toml`."""
    (tmp_path / "pyproject.toml").write_text(in_ci("toml"))
    monkeypatch.chdir(tmp_path)
    assert project_options() == {"strict": "ci"}


def test_pytest(tmp_path):
    """The test passes; with a bug in it, it fails at its own line and says in one why."""
    right = in_ci("python")
    wrong = right.replace("2 * X.T", "X.T")
    assert wrong != right
    (tmp_path / "test_right.py").write_text(right)
    (tmp_path / "test_wrong.py").write_text(wrong)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
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
    """The versions that are told are the ones that are required and tested."""
    where = " ".join(README.partition("## Where it works")[2].split())
    for requirement in PROJECT["dependencies"]:
        name, _, version = requirement.partition(">=")
        assert re.search(rf"{name} {version}", where, flags=re.IGNORECASE), requirement
    assert PROJECT["requires-python"].removeprefix(">=") in where


def test_badges():
    """They open notebooks that exist, in the repository that the project names."""
    repository = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    opened = re.findall(r"mybinder\.org/v2/gh/(\S+?)/HEAD\?urlpath=lab/tree/(\S+?)\)", README)
    assert len(opened) == 2
    for owner_and_name, notebook in opened:
        assert owner_and_name == repository
        assert (ROOT / notebook).is_file()


def test_causes():
    """Every cause is in the table, and nothing else is."""
    table = README.partition("| cause |")[2].partition("A cause is named")[0]
    assert set(re.findall(r"`([A-Z_]{4,})`", table)) == {cause.name for cause in Cause}


def test_diagnosis_that_is_quoted():
    """The sentence that is shown as an example is one that is tested."""
    quoted = " ".join(README.partition("> The error")[2].partition("\n\n")[0].split())
    golden = (ROOT / "tests" / "golden" / "diagnoses.txt").read_text(encoding="utf-8")
    assert f"The error {quoted.replace('> ', '')}" in golden

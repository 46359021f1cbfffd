"""What the README says is true."""

import re
import tomllib
from pathlib import Path

from gradcheck_magic import Cause, Verdict

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

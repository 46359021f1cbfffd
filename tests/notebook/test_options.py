"""Options of the project, in `pyproject.toml`, and checks that are strict only in CI."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from gradcheck_magic import GradientCheckFailed, InputError
from gradcheck_magic.__main__ import main
from gradcheck_magic._notebook.magic import GradcheckMagics
from gradcheck_magic._notebook.options import SETTINGS
from gradcheck_magic._notebook.project import LONGEST_FILE, Project, read_project

OURS = "[tool.gradcheck_magic]\n"
WRONG = "params, grads, cost_function = [1.0, 2.0], [2.0, 5.0], lambda p: p[0] ** 2 + p[1] ** 2"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes a `pyproject.toml`, two folders above the current one.

    That one is a repository.
    """
    here = tmp_path / "course" / "week 1"
    here.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("CI", raising=False)

    def write(text, folder="."):
        (tmp_path / folder / "pyproject.toml").write_text(text, encoding="utf-8")

    return write


def magics_of(shell):
    return shell.magics_manager.registry.get("GradcheckMagics")


def test_all_options():
    """Everything that can be configured can be set in the file, by the same name."""
    assert set(SETTINGS) == set(GradcheckMagics.class_trait_names(config=True))


VALUES = """
strict = "ci"
quiet = true
params = "weights"
grads = "[dW, db]"
cost = "J"
epsilon = 1e-6
call = "flat"
points = 3
seed = 0
mode = "scan"
budget = 60
workers = 2
display = "text"
enabled = false
"""


def test_every_option_is_set(shell, run, project):
    project(OURS + VALUES)
    run("%reload_ext gradcheck_magic")
    magics = magics_of(shell)
    told = tomllib.loads(VALUES)
    assert set(told) == set(SETTINGS)
    assert {name: getattr(magics, name) for name in told} == told


FOUND = {
    "in the folder": {"course/week 1": "points = 2", "course": "points = 3"},
    "above it": {"course": "points = 2", ".": "points = 3"},
    "two above it": {".": "points = 2"},
    "above a part of the project that says nothing": {"course": None, ".": "points = 2"},
}


@pytest.mark.parametrize("files", FOUND.values(), ids=FOUND)
def test_nearest_file_with_our_table(project, files):
    for folder, line in files.items():
        project("[project]\nname = 'part'\n" if line is None else OURS + line, folder)
    assert read_project().options == {"points": 2}


@pytest.mark.parametrize("text", ["", "[tool.ruff]\n", "tool = 3\n", OURS, "\ufeff[project]\r\n"])
def test_nothing_is_set(project, text):
    project(text)
    assert read_project().options == {}


def test_deleted_folder(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert read_project().options == {}
    monkeypatch.chdir(tmp_path)


# The root of the repository or the home folder, the working directory, and the folder of the file;
# in the last column, whether the file is found.
BORDERS = {
    "the root of the repository": ("a/.git", "home", "a/b/c", "a", True),
    "a worktree of it": ("a/.git", "home", "a/b/c", "a", True),
    "above the repository": ("a/b/.git", "home", "a/b/c", "a", False),
    "another system": ("a/.hg", "home", "a/b/c", "a", True),
    "the home folder": (None, "a", "a/b/c", "a", True),
    "above the home folder": (None, "a/b", "a/b/c", "a", False),
    "a repository around the home folder": ("a/.git", "a/b", "a/b/c", "a", False),
    "the working directory itself": (None, "home", "a/b/c", "a/b/c", True),
    "above it, where nothing is ours": (None, "home", "a/b/c", "a/b", False),
}


@pytest.mark.parametrize("name", BORDERS)
def test_no_file_is_read_above_the_project(tmp_path, monkeypatch, name):
    repository, home, here, folder, is_found = BORDERS[name]
    (tmp_path / here).mkdir(parents=True)
    (tmp_path / "home").mkdir()
    if repository:
        # In a worktree of git, it is a file.
        make = Path.touch if "worktree" in name else Path.mkdir
        make(tmp_path / repository)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / home))
    (tmp_path / folder / "pyproject.toml").write_text(f"{OURS}points = 2", encoding="utf-8")
    monkeypatch.chdir(tmp_path / here)
    assert read_project().options == ({"points": 2} if is_found else {})


# Nothing from the file is run


NO_PLAIN_NAMES = [
    "(print(1), grads)[1]",
    "grads()",
    "lambda p: p",
    "[W, print()]",
    "[]",
    "{'W': W}",
    "[w for w in W]",
    "W if W else b",
    "W[0]",
    "(W := b)",
    "f'{W}'",
    "1",
    "'W'",
    # Reading an attribute may run a property, and `os.abort` would be called as the cost.
    "model.weights",
    "os.abort",
    # So would these, and they are there without an import. The last one is `exit` to Python, too.
    "exit",
    "breakpoint",
    "__import__",
    "[W, quit]",
    "𝐞xit",
    "-" * 100_000 + "W",
    "(" * 100_000,
]


ROWS = [
    *(("params", value) for value in NO_PLAIN_NAMES),
    *((option, "grads()") for option in ("grads", "cost", "workers")),
    ("workers", "[pool]"),
]


@pytest.mark.parametrize(("option", "value"), ROWS, ids=lambda text: text[:20])
def test_nothing_from_the_file_is_run(project, option, value):
    """Where a notebook may set an expression, a file may only set a name or several."""
    project(f"{OURS}{option} = {json.dumps(value, ensure_ascii=False)}")
    with pytest.raises(InputError, match=f"`{option}` in .* is .*: expected .*%config") as error:
        read_project()
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("value", ["W", " W ", "θ", "[W]", "[W1, b1,]", "(W1, b1)", "W1, b1", "_W"])
def test_names_are_accepted(project, value):
    project(f"{OURS}params = {json.dumps(value)}")
    assert read_project().options == {"params": value}


def test_the_notebook_may_set_an_expression(shell, run):
    run(f"{WRONG}\nholder = [params]")
    for value in ("[holder[0]][0]", "(lambda: holder[0])()"):
        run(f"%config GradcheckMagics.params = {value!r}")
        assert not run("%gradcheck -q").passed


# Files that others may write to


STRANGER = 65533
ENDLESS = "/dev/zero"
FILE = r"\.\./pyproject\.toml"
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")


@pytest.fixture(params=["owner", "file", "folder", "link"])
def theirs(request, project, tmp_path, monkeypatch):
    """Return who may write where, of the file in the folder above, which switches checks off."""
    project(OURS + "enabled = false", "course")
    folder = tmp_path / "course"
    file = folder / "pyproject.toml"
    if request.param == "owner":
        try:
            os.chown(file, STRANGER, -1)
        except PermissionError:
            # Only root can give a file away; but anybody can be somebody else.
            monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        return r"the user \w+ may write to it"
    if request.param == "file":
        file.chmod(0o666)
        return "everybody may write to it"
    if request.param == "folder":
        folder.chmod(0o777)
        return "everybody may write to its folder"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    file.rename(elsewhere / file.name)
    file.symlink_to(elsewhere / file.name)
    return r"everybody may write to \.\./\.\./elsewhere"


@on_posix
def test_no_file_counts_that_others_may_write_to(shell, run, project, theirs):
    """One line says so, and the nearest file of the user's own counts instead."""
    project(OURS + "seed = 7")
    read = read_project()
    # The owner of nothing has no file above it, either.
    assert read.options in ({"seed": 7}, {})
    advice = r"change that with chown or chmod, or set the options with %config\."
    assert re.fullmatch(f"{FILE} is not used, as {theirs}: {advice}", read.left_out[0])
    with capture_output() as captured:
        run("%reload_ext gradcheck_magic")
    assert captured.stdout == "".join(f"gradcheck: {sentence}\n" for sentence in read.left_out)
    assert magics_of(shell).enabled is True


@on_posix
def test_in_ci_such_a_file_is_an_error(shell, project, monkeypatch):
    """Nobody would see that the checks are no longer strict."""
    project(OURS + "strict = 'ci'", "course/week 1")
    Path("pyproject.toml").chmod(0o666)
    monkeypatch.setenv("CI", "true")
    with capture_output() as captured:
        error = shell.run_cell("%reload_ext gradcheck_magic").error_in_exec
    assert isinstance(error, InputError)
    assert captured.stdout.startswith("InputError: pyproject.toml is not used, as everybody may")


@on_posix
@pytest.mark.parametrize(
    "text", ["[project]\nname = 'theirs'", "[project", "\0", OURS.replace("_", "-")]
)
def test_other_files_of_others_do_not_matter(project, text):
    """They cannot stop the extension from being loaded, either."""
    project(text, "course")
    Path("../pyproject.toml").chmod(0o666)
    assert read_project() == Project()


# Files that are no settings


@on_posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda name: Path(name).symlink_to(ENDLESS)])
def test_only_files_are_opened(project, make):
    """Opening a pipe would wait for somebody who writes to it."""
    project(OURS + "points = 2")
    make("pyproject.toml")
    assert read_project().options == {"points": 2}


def test_huge_file(project):
    project(OURS + "#" * LONGEST_FILE, "course/week 1")
    with pytest.raises(InputError) as error:
        read_project()
    assert str(error.value) == (
        "pyproject.toml is longer than 1,000,000 bytes, which no settings need."
    )


# What the user is told


def test_help_names_the_file(shell, run, project):
    """`%gradcheck?` shows what the project sets, and where."""

    def shown():
        return shell.find_line_magic("gradcheck").__doc__

    assert "Defaults from" not in shown()
    project(OURS + "strict = 'ci'\nepsilon = 1e-6\ngrads = '[dW, db]'")
    run("%reload_ext gradcheck_magic")
    file = Path("../../pyproject.toml").resolve()
    assert (
        f'\nDefaults from {file}:\n\n    strict = "ci"\n    epsilon = 1e-06\n'
        '    grads = "[dW, db]"\n\nOptions:\n' in shown()
    )
    project("")
    run("%reload_ext gradcheck_magic")
    assert "Defaults from" not in shown()


MISTAKES = {
    "stirct = true": "[tool.gradcheck_magic] has no option `stirct` (did you mean `strict`?).",
    "Strict = true": "[tool.gradcheck_magic] has no option `Strict` (did you mean `strict`?).",
    "only = 'W'": (
        "[tool.gradcheck_magic] has no option `only`: expected `params`, `grads`, `cost`, "
        "`mode`, `budget`, `epsilon`, `call`, `points`, `workers`, `display`, `seed`, `quiet`, "
        "`strict` and `enabled`."
    ),
    "strict = 'CI'": (
        '`strict` in [tool.gradcheck_magic] is "CI" (did you mean `"ci"`?): expected true, false '
        'or "ci".'
    ),
    "strict = 'true'": (
        '`strict` in [tool.gradcheck_magic] is "true" (did you mean `true`?): expected true, '
        'false or "ci".'
    ),
    "strict = 1": '`strict` in [tool.gradcheck_magic] is 1: expected true, false or "ci".',
    "quiet = 'ci'": '`quiet` in [tool.gradcheck_magic] is "ci": expected true or false.',
    "mode = 'scann'": (
        '`mode` in [tool.gradcheck_magic] is "scann" (did you mean `"scan"`?): expected "auto", '
        '"full" or "scan".'
    ),
    "call = []": (
        '`call` in [tool.gradcheck_magic] is []: expected "auto", "structured", "flat", '
        '"arguments" or "closure".'
    ),
    "params = 'my params'": (
        '`params` in [tool.gradcheck_magic] is "my params": expected a name of the notebook or a '
        'list of names, such as "[W1, b1]"; %config takes expressions.'
    ),
    "cost = '''\nlambda p:\n  p'''": (
        r'`cost` in [tool.gradcheck_magic] is "lambda p:\n  p": expected a name of the notebook or '
        'a list of names, such as "[W1, b1]"; %config takes expressions.'
    ),
    r'mode = "\u001b[2J\u202e"': (
        r'`mode` in [tool.gradcheck_magic] is "\u001b[2J\u202e": expected "auto", "full" or "scan".'
    ),
    r'"\u009b2J" = 1': (
        r"[tool.gradcheck_magic] has no option `\x9b2J`: expected `params`, `grads`, `cost`, "
        "`mode`, `budget`, `epsilon`, `call`, `points`, `workers`, `display`, `seed`, `quiet`, "
        "`strict` and `enabled`."
    ),
    "epsilon = '1e-7'": (
        '`epsilon` in [tool.gradcheck_magic] is "1e-7": expected a positive number, such as 1e-7.'
    ),
    "epsilon = nan": (
        "`epsilon` in [tool.gradcheck_magic] is NaN: expected a positive number, such as 1e-7."
    ),
    "budget = 0": (
        "`budget` in [tool.gradcheck_magic] is 0: expected a positive number, such as 10."
    ),
    "points = true": (
        "`points` in [tool.gradcheck_magic] is true: expected a whole number from 1 on."
    ),
    "seed = 2026-11-27": (
        '`seed` in [tool.gradcheck_magic] is "2026-11-27": expected a whole number from 0 on.'
    ),
    "workers = 0": (
        "`workers` in [tool.gradcheck_magic] is 0: expected a whole number from 1 on, or the name "
        'of an executor, such as "pool"; %config takes expressions.'
    ),
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items())
def test_mistakes(project, line, message):
    """A mistake is one line: the file, the key, the value, and what may be meant."""
    project(f"{OURS}{line}\n")
    with pytest.raises(InputError) as error:
        read_project()
    assert str(error.value) == f"../../pyproject.toml: {message}".replace("/", os.sep)


FILES = {
    "no TOML": ("strict = = true", " is not valid TOML: Invalid value (at line 1, column 10)."),
    "digits": (
        "x = " + "1" * 5000,
        (
            " is not valid TOML: Exceeds the limit (4300 digits) for integer string conversion: "
            "value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit."
        ),
    ),
    "more digits": (
        f"{OURS}mode = 0x{'F' * 5000}",
        (
            ": `mode` in [tool.gradcheck_magic] is a number with too many digits: expected "
            '"auto", "full" or "scan".'
        ),
    ),
    "nested": ("x = " + "[" * 9999, " is not valid TOML: it is nested too deeply."),
    "no table": (
        "[tool]\ngradcheck_magic = true",
        ": `gradcheck_magic` in [tool] is true: expected [tool.gradcheck_magic].",
    ),
    "a hyphen": (
        "[tool.gradcheck-magic]\nstrict = true",
        ": [tool.gradcheck-magic] is not read: rename it to [tool.gradcheck_magic].",
    ),
    "half the name": (
        "[tool.gradcheck]\nstrict = true",
        ": [tool.gradcheck] is not read: rename it to [tool.gradcheck_magic].",
    ),
    "the name in %config": (
        "[tool.GradcheckMagics]\nstrict = true",
        ": [tool.GradcheckMagics] is not read: rename it to [tool.gradcheck_magic].",
    ),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_files_that_cannot_be_meant(project, text, message):
    project(text, "course/week 1")
    with pytest.raises(InputError) as error:
        read_project()
    assert str(error.value) == f"pyproject.toml{message}"


def test_other_encoding(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_bytes("name = 'Übung'".encode("latin-1"))
    with pytest.raises(InputError, match=r"^pyproject\.toml is not valid TOML: 'utf-8' codec"):
        read_project()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_unreadable_file(tmp_path, monkeypatch):
    """A file that cannot be read is an error; not even root in a container can read this one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match=r"^pyproject\.toml cannot be read: Input/output error\.$"):
        read_project()


@pytest.mark.parametrize("command", ["load_ext", "reload_ext"])
def test_a_mistake_is_seen_when_the_extension_is_loaded(shell, run, project, command):
    """The error is one line, and nothing is half loaded: once it is fixed, everything works."""
    if command == "load_ext":
        run("%unload_ext gradcheck_magic")
    project(OURS + "stirct = true")
    with capture_output() as captured:
        result = shell.run_cell(f"%{command} gradcheck_magic")
    assert isinstance(result.error_in_exec, InputError)
    assert captured.stdout.strip() == f"InputError: {result.error_in_exec}"
    assert captured.stderr == ""
    assert magics_of(shell) is None
    assert shell.find_line_magic("gradcheck") is shell.find_cell_magic("gradcheck") is None
    assert "GradcheckMagics" not in [type(c).__name__ for c in shell.configurables]
    project(OURS + "strict = true")
    run("%load_ext gradcheck_magic")
    assert magics_of(shell).strict is True


def test_a_mistake_in_the_users_configuration(tmp_path, monkeypatch):
    """This error is one line as well, now and at each check until it is fixed."""
    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    config = {"HistoryManager": {"enabled": False}, "GradcheckMagics": {"epsilon": "tiny"}}
    shell = InteractiveShell.instance(config=Config(config))
    for cell in ("%load_ext gradcheck_magic", "%gradcheck", "%load_ext gradcheck_magic"):
        error = shell.run_cell(cell).error_in_exec
        assert isinstance(error, InputError)
        assert str(error) == (
            "`GradcheckMagics.epsilon` is 'tiny': expected a positive number, such as 1e-7."
        )
    assert [type(c).__name__ for c in shell.configurables].count("GradcheckMagics") == 1
    InteractiveShell.clear_instance()


def test_precedence(shell, run, project):
    """The command line counts first, then %config, the user's configuration, and the project's."""

    def strict(line="%gradcheck -q"):
        return isinstance(shell.run_cell(line).error_in_exec, GradientCheckFailed)

    run(WRONG)
    assert not strict()
    project(OURS + "strict = true")
    assert not strict()
    run("%reload_ext gradcheck_magic")
    assert strict()
    assert not strict("%gradcheck -q --no-strict")
    shell.config.GradcheckMagics.strict = False
    run("%reload_ext gradcheck_magic")
    assert not strict()
    run("%config GradcheckMagics.strict = True")
    assert strict()
    # Changing another setting leaves this one as it is.
    run("%config GradcheckMagics.seed = 1")
    assert strict()
    assert not strict("%gradcheck -q --no-strict")


def test_demonstration_is_the_same_in_any_project(project, capsys):
    project(OURS + "strict = true\ngrads = 'gradients'")
    InteractiveShell.clear_instance()
    assert main() == 0
    InteractiveShell.clear_instance()
    assert "GradientCheckFailed" not in capsys.readouterr().out


CI = {
    None: False,
    "": False,
    "0": False,
    "false": False,
    "False": False,
    "no": False,
    "off": False,
    " ": False,
    "true": True,
    "1": True,
    "yes": True,
    "woodpecker": True,
}


@pytest.mark.parametrize(("value", "strict"), CI.items())
def test_strict_in_ci(shell, run, monkeypatch, value, strict):
    """The value of the variable at the time of the check counts."""
    run(f"{WRONG}\n%config GradcheckMagics.strict = 'ci'")
    if value is None:
        monkeypatch.delenv("CI", raising=False)
    else:
        monkeypatch.setenv("CI", value)
    error = shell.run_cell("%gradcheck -q").error_in_exec
    assert isinstance(error, GradientCheckFailed) == strict
    assert shell.run_cell("%gradcheck -q --no-strict").success
    assert not shell.run_cell("%gradcheck -q --strict").success


NO_SETTINGS = {
    "strict = 'CI'": "'CI' (did you mean `'ci'`?): expected True, False or 'ci'",
    "strict = 'true'": "'true': expected True, False or 'ci'",
    "strict = 2": "2: expected True, False or 'ci'",
    "strict = 1": "1: expected True, False or 'ci'",
    "strict = None": "None: expected True, False or 'ci'",
    "mode = 'scam'": "'scam' (did you mean `'scan'`?): expected 'auto', 'full' or 'scan'",
    "enabled = 'no'": "'no': expected True or False",
    "epsilon = 0": "0: expected a positive number, such as 1e-7",
    "budget = True": "True: expected a positive number, such as 10",
    "seed = 1.5": "1.5: expected a whole number from 0 on",
    "grads = ['dW']": "['dW']: expected a name or an expression, such as \"model.weights\"",
}


@pytest.mark.parametrize(("setting", "sentence"), NO_SETTINGS.items())
def test_wrong_settings(shell, run, setting, sentence):
    """`%config` would only log an invalid value, so the next check raises an error, also in CI."""
    name = setting.partition(" ")[0]
    run(f"{WRONG}\nbefore = get_ipython().magics_manager.registry['GradcheckMagics'].{name}")
    run(f"%config GradcheckMagics.{setting}")
    with capture_output() as captured:
        result = shell.run_cell("%%gradcheck\nran = True")
    assert "ran" not in shell.user_ns
    assert captured.stdout == f"InputError: `GradcheckMagics.{name}` is {sentence}.\n"
    assert isinstance(result.error_in_exec, InputError)
    run(f"%config GradcheckMagics.{name} = before\n%gradcheck")


VALID_SETTINGS = [
    "epsilon = np.float64(1e-6)",
    "seed = np.int64(3)",
    "points = 1",
    "budget = None",
    "workers = 1",
    "workers = None",
]


@pytest.mark.parametrize("setting", VALID_SETTINGS)
def test_valid_settings(run, setting):
    """Settings may be numbers of NumPy, and None where that is the default."""
    run(f"import numpy as np\n{WRONG}\n%config GradcheckMagics.{setting}\n%gradcheck")


@pytest.mark.parametrize(("given", "strict"), [("True", True), ("ci", "ci")])
def test_strict_on_the_command_line_of_ipython(tmp_path, given, strict):
    """On that command line, the value is text."""
    shown = "print(repr(get_ipython().magics_manager.registry['GradcheckMagics'].strict))"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--ext=gradcheck_magic",
         f"--GradcheckMagics.strict={given}", "--HistoryManager.enabled=False", "-c", shown],
        capture_output=True, check=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == repr(strict)

"""Backward passes in the styles in which people write them, each with slips to plant.

A pass is a file in `tests/corpus/passes`; one in torch or JAX is in a folder of that name. Its
first line says whose style it is. Cells begin with
``# %%``; one that begins with ``# %% file NAME`` is written to a file that later cells import. The
last cell begins with ``# %% gradcheck``, followed by the options of the magic, and is run as the
body of ``%%gradcheck``.

A comment that begins with ``#!`` is a slip: it may take the place of the last line above it that is
none.
"""

import atexit
import contextlib
import importlib
import importlib.util
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gradcheck_magic import GradientCheck

PASSES = Path(__file__).parent.parent / "corpus" / "passes"
HEAD = re.compile(r"# %%(?P<kind>.*)")
SLIP = re.compile(r"(?P<indent>\s*)#! ?(?P<text>.*)")


@dataclass(frozen=True)
class Place:
    """A line of a cell or a file, as a card calls it: the cell that makes the check is "cell"."""

    file: str
    line: int


@dataclass(frozen=True)
class Slip:
    """A line that takes the place of another one."""

    at: int
    line: str


@dataclass(frozen=True)
class Pass:
    """A backward pass, without slips.

    Attributes
    ----------
    name, title : str
        The name of its file, and whose style it is.
    lines : tuple of str
        Its lines.
    slips : tuple of Slip
        What may be planted in it.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    slips: tuple[Slip, ...]

    def with_slip(self, slip: Slip | None) -> list[str]:
        """Return the lines with a slip planted."""
        lines = list(self.lines)
        if slip is not None:
            lines[slip.at] = slip.line
        return lines

    def place(self, slip: Slip) -> Place:
        """Return where a slip is."""
        heads = [k for k, line in enumerate(self.lines) if HEAD.match(line)]
        start = max(k for k in heads if k < slip.at)
        kind = HEAD.fullmatch(self.lines[start])["kind"].split()
        if kind[:1] == ["gradcheck"]:
            # The magic is the first line of its cell.
            return Place("cell", slip.at - start + 1)
        if kind[:1] == ["file"]:
            return Place(kind[1], slip.at - start)
        number = sum(not self.lines[k].startswith("# %% file") for k in heads if k <= start)
        # The first cell loads the extension.
        return Place(f"cell [{number + 1}]", slip.at - start)


def passes(names: str = "") -> Iterator[Pass]:
    """Yield the backward passes whose names contain a text, if their library is installed."""
    for path in sorted(PASSES.glob("*.py")) + sorted(PASSES.glob("*/*.py")):
        library = path.parent.name
        if names in path.stem and (path.parent == PASSES or importlib.util.find_spec(library)):
            yield read(path.stem, path.read_text(encoding="utf-8"))


def read(name: str, text: str) -> Pass:
    """Return a backward pass, given its text."""
    lines: list[str] = []
    slips: list[Slip] = []
    for line in text.splitlines():
        if slip := SLIP.fullmatch(line):
            slips.append(Slip(len(lines) - 1, slip["indent"] + slip["text"]))
        else:
            lines.append(line)
    return Pass(name, lines[0].strip('"'), tuple(lines), tuple(slips))


def checked(backward: Pass, slip: Slip | None = None, options: str = "") -> GradientCheck:
    """Run the cells of a backward pass in a shell, and return the check that the last one makes."""
    cells: list[tuple[str, list[str]]] = []
    for line in backward.with_slip(slip):
        if head := HEAD.match(line):
            cells.append((head["kind"].strip(), []))
        elif cells:
            cells[-1][1].append(line)
    with _shell() as shell, _folder() as folder:
        for kind, lines in cells:
            body = "\n".join(lines) + "\n"
            if kind.startswith("file "):
                (folder / kind.removeprefix("file ").strip()).write_text(body, encoding="utf-8")
                importlib.invalidate_caches()
                continue
            if kind.startswith("gradcheck"):
                body = f"%%{kind} {'' if options in kind else options}\n{body}"
            ran = shell.run_cell(body, store_history=True)
            ran.raise_error()
        check: GradientCheck = shell.user_ns["_gradcheck"]
        return check


@contextlib.contextmanager
def _shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            shell.run_cell("%load_ext gradcheck_magic", store_history=True)
            yield shell
            shell.run_line_magic("unload_ext", "gradcheck_magic")
    finally:
        InteractiveShell.clear_instance()
        # At exit, hundreds of shells would each collect garbage once more.
        atexit.unregister(shell.atexit_operations)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder for the files of a pass, from which its cells can import them."""
    before, modules = Path.cwd(), set(sys.modules)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        sys.path.insert(0, name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)
            sys.path.remove(name)
            for module in set(sys.modules) - modules:
                file = getattr(sys.modules[module], "__file__", None) or ""
                if file.startswith(name):
                    del sys.modules[module]

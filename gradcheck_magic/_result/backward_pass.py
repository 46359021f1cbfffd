"""What the backward pass has computed, statement by statement, and which statement is wrong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BackwardPass", "Fault", "Line", "Step"]

# A sentence names at most this many statements besides the first.
MOST_OTHERS = 3


@dataclass(frozen=True)
class Line:
    """A statement of the user's code.

    Attributes
    ----------
    file : str
        Where it is: ``cell`` for the cell that made the check, ``cell [3]`` for the cell with that
        number, else the name of a file.
    line, last_line : int
        Its first and its last line, from 1, as an editor counts them.
    function : str
        The function that it is in; empty at the top level.
    text : str
        The statement, in one line.
    """

    file: str
    line: int
    last_line: int
    function: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, such as ``line 7 of the cell`` or ``layers.py, line 31``."""
        is_one = self.line == self.last_line
        lines = f"line {self.line}" if is_one else f"lines {self.line} to {self.last_line}"
        if self.file == "cell":
            return f"{lines} of the cell"
        return (
            f"{lines} of {self.file}" if self.file.startswith("cell ") else f"{self.file}, {lines}"
        )


@dataclass(frozen=True)
class Fault:
    """A value of the backward pass that is wrong, although what it was made from is right.

    Attributes
    ----------
    lines : tuple of Line
        The statements one of which is wrong, the most likely first. After what may itself be wrong
        come the statements that it depends on: those that have bound what it reads, and the loops,
        conditions and calls that it is in.
    n_likely : int
        How many of them may themselves be wrong; if it is only one, it is.
    value : str
        What the first wrong statement has bound, such as ``dZ1``; empty if a function returns it.
    inputs : tuple of str
        The right gradients that it starts from.
    factor : float
        It is this many times what it should be; nan if it is no multiple of that.
    parameters : tuple of str
        The parameters whose gradient is wrong because of it.
    outcome : str
        What is right and what is wrong there, in words.
    """

    lines: tuple[Line, ...]
    n_likely: int
    value: str
    inputs: tuple[str, ...]
    factor: float
    parameters: tuple[str, ...]
    outcome: str

    @property
    def sentence(self) -> str:
        """The finding in words."""
        first = self.lines[0]
        within = "" if first.place.startswith("line") else "in "
        start = f"{self.probably}{within}{first.place}"
        parts = [f"{start[0].upper()}{start[1:]}: `{first.text}`.", self.outcome, self.others]
        return " ".join(filter(None, parts))

    @property
    def probably(self) -> str:
        """The word for it before the place of the first statement; empty if nothing else may be."""
        return "probably " if self.n_likely > 1 else ""

    @property
    def others(self) -> str:
        """Which other statements may be to blame instead, in words; empty if there are none.

        Of what the statements depend on, only the places are told.
        """
        likely, further = self.lines[1 : self.n_likely], self.lines[self.n_likely :]
        told = [f"{line.place}: `{line.text}`" for line in likely]
        told += [line.place for line in further]
        more = len(told) - MOST_OTHERS
        told = [*told[:MOST_OTHERS], *([f"{more} more"] if more > 0 else [])]
        if len(told) > 1:
            told[-1] = f"and {told[-1]}"
        separator = "; " if likely else ", "
        return f"If that statement is right, look at {separator.join(told)}." if told else ""


@dataclass(frozen=True)
class Step:
    """A value that the backward pass has bound.

    Attributes
    ----------
    line : Line
        The statement.
    value : str
        What it is bound to; empty if a function returns it.
    mark : str
        "right" if it is a gradient, but for the factor; "wrong"; or "not looked at", if nothing
        tells what it should be.
    factor : float
        It is this many times the gradient; nan if it is none that is known.
    of : str
        The array that it is the gradient of, as the forward pass calls it.
    """

    line: Line
    value: str
    mark: str
    factor: float
    of: str


@dataclass(frozen=True)
class BackwardPass:
    """The backward pass, statement by statement.

    Attributes
    ----------
    faults : tuple of Fault
        What is wrong, in the order in which it ran.
    steps : tuple of Step
        What it has bound, in order.
    n_evaluations : int
        The number of calls of the cost that this took.
    notes : tuple of str
        What could not be looked at, as sentences.
    """

    faults: tuple[Fault, ...]
    steps: tuple[Step, ...]
    n_evaluations: int
    notes: tuple[str, ...]

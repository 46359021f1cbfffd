"""`python -m gradcheck_magic`: a demonstration in a real IPython shell, without a browser."""

from __future__ import annotations

import sys

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gradcheck_magic._notebook.magic import GradcheckMagics

CELLS = (
    """\
%load_ext gradcheck_magic
from gradcheck_magic.demo import backward, cost, initialize, load_digits

X, Y = load_digits(100)                  # real handwritten digits
params = initialize()                    # a network 64 -> 8 (tanh) -> 10 (softmax)

def cost_function(params):
    return cost(params, X, Y)""",
    """\
%%gradcheck
grads = backward(params, X, Y)""",
    """\
%%gradcheck
grads = backward(params, X, Y)
grads["dW2"] = len(X) * grads["dW2"]     # a bug: the sum over the examples, not the mean""",
)

FAREWELL = """
In a notebook, the same cells show a card with pictures. To open the tutorials:

    python -m pip install "gradcheck_magic[lab]"    (in a clone: python -m pip install ".[lab]")
    jupyter lab notebooks/01_first_check.ipynb
"""


def main() -> int:
    """Run the cells as a person would type them; return 0 if they all ran."""
    traits = GradcheckMagics.class_traits(config=True)
    config = Config(
        {
            # The history is in memory, so that these cells do not end up in the user's own.
            "HistoryManager": {"hist_file": ":memory:"},
            # The options of the project in the current directory must not affect these cells.
            "GradcheckMagics": {name: trait.default_value for name, trait in traits.items()},
        }
    )
    shell = InteractiveShell.instance(config=config)
    for number, cell in enumerate(CELLS, start=1):
        prompt, more = f"In [{number}]: ", "   ...: "
        print(prompt + cell.replace("\n", "\n" + more) + "\n")
        if not shell.run_cell(cell, store_history=True).success:
            return 1
        print()
    print(FAREWELL)
    return 0


if __name__ == "__main__":
    sys.exit(main())

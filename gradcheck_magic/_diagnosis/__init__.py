"""The diagnosis: sentences that say what is probably wrong, where, and why the verdict follows.

This package takes measured entries and a comparison and returns diagnoses, reasons and notes;
`conclude.py` puts the whole result together. `diagnose.py` asks one cause after another: does it
explain the difference between the two gradients (`mismatch.py`) within its error bars? Each cause
has a file in `causes/`. It proposes a `Finding` (`finding.py`) and says it in a sentence, some of
whose parts are in `phrases.py`. `layers.py` finds the place at which an error enters,
`gradient_of_other_cost.py` tells if a gradient is right for another function, and
`notebook_numbers.py` finds the number in the notebook that a factor may be. `unlocated.py` is for
gradients that are wrong in no entry that is known, and `beside_solver.py` looks again at those that
seem wrong beside a solver that stops early. `reasons.py`, `scan_reasons.py` and `shapes.py` explain
the verdict from the evidence (`evidence.py`).
"""

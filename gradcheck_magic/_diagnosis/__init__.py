"""The diagnosis: sentences that say what is probably wrong, where, and why the verdict follows.

This package takes measured entries and a comparison and returns diagnoses, reasons and notes;
`conclude.py` puts the whole result together. `diagnose.py` tests one cause after another: does it
explain the difference between the two gradients (`mismatch.py`) within its error bars?
`recognise_cause.py` looks at one parameter at a time, `upstream.py` finds the layer in which an
error enters, and `experiments.py` tests causes that need more evaluations of the cost (`stale.py`,
`broadcasting.py`, `gradient_of_other_cost.py`). `notebook_numbers.py` finds the number in the
notebook that a factor may be. A `Finding` (`finding.py`) becomes a sentence in `sentences.py`;
`reasons.py` and `scan_reasons.py` explain the verdict from the evidence (`evidence.py`).
"""

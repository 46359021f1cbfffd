"""What is probably wrong, where, and why the verdict is what it is: in sentences with numbers.

Measured entries and a comparison come in; diagnoses, reasons and notes go out, and `conclude.py`
puts the whole result together. `diagnose.py` asks each cause in turn whether it explains the
`mismatch.py` between the two gradients within its error bars: `recognise.py` for what one
parameter shows by itself, `upstream.py` for the layer in which an error enters, and
`experiments.py` for causes that need more evaluations of the cost (`stale.py`, `broadcasting.py`,
`other_cost.py`). `named_numbers.py` finds which number of the notebook a factor may be. A
`finding.py` becomes a sentence in `sentences.py`; `reasons.py` and `scan_reasons.py` explain the
verdict from the `evidence.py`.
"""

"""The numerical gradient with an error bar on every entry, and the verdict that follows from it.

J(θ) and the analytic gradient come in; measured entries and a `Comparison` go out. `measurement.py`
chooses between the two ways there are. One measures every entry: `refine.py` takes the textbook's
step (`central_differences.py`) with each and repeats what that leaves open with other steps, and
`ladder.py` turns several steps into one value and its bar. What still looks wrong may be right all
the same where kinks meet (`meeting_kinks.py`), where J jumps (`jumps.py`), or within the rounding
of half precision (`half_precision.py`); and what no entry shows may show along a line (`lines.py`)
of all errors (`together.py`). The other is a scan for a million entries: `scan.py` looks along
random directions, `residuals.py` measures them, `locate.py` finds what is wrong and `sampling.py`
measures suspects individually. `measured_entries.py` is the table of entries that both fill,
`analytic_gradient.py` the gradient under test, and `compare.py` judges one by the other.
`jacobian.py` measures a Jacobian, row by row, once `all_outputs.py` has looked at all rows
together. `repeatability.py` evaluates again what a random cost may have done. `step_curve.py`
measures one entry with steps of every size.
"""

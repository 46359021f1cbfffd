"""The result of a check: plain frozen data that is independent of how it is computed or shown.

The packages that measure and diagnose fill it in; the user gets a `GradientCheck` and its parts.
`gradient_check.py` is the result as a whole, and `parameter_check.py` is one parameter of it.
`verdict.py` and `cause.py` list the possible verdicts and causes. `backward_pass.py` holds the
statements of the backward pass, and which of them is wrong. `close_up.py` has the entries of
one parameter, which `error_grid.py` lays out in a plane. `step_curve.py` is one entry with steps
of every size. `changes.py` compares two checks. `display.py` holds the only import from a package
above this one: a result imports its renderers when it is shown.
"""

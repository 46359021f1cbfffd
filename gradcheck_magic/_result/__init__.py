"""What a check found: plain frozen data, which knows nothing of how it came about or is shown.

Numbers come in, from the rooms that measure and diagnose; `GradientCheck` and its parts go out to
the user. `gradient_check.py` is the result as a whole and `parameter_check.py` one parameter of
it; `verdict.py` and `cause.py` name what may be said of them. `close_up.py` looks at the entries
of one parameter, laid out in a plane by `error_grid.py`; `step_curve.py` is one entry with steps
of every size; `changes.py` compares two checks. `display.py` holds the only import that looks
upwards: a result finds what shows it when it is shown.
"""

"""The only room that calls the user's code: their cost becomes J(θ), and leaves no trace.

A function and a point come in; values of J go out, counted, guarded and known to a noise level.
`cost.py` is J(θ) as the other rooms see it. `convention.py` finds out how the function wants its
parameters, `evaluation.py` calls it, `noise.py` estimates what one value is worth, and
`directions.py` moves θ along random directions. `workers.py` hands evaluations to other processes,
in which `worker_process.py` runs. `gradient_function.py` calls a gradient that is a function;
`restore.py` and `interrupt.py` put everything back, whatever happens; `free_variables.py` lists
what a function reads besides its arguments.
"""

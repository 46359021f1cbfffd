"""The user's cost function as J(θ): the only package that calls the user's code.

A function and a point come in; values of J go out, together with their rounding noise. Calls are
counted, and everything that they change is restored. `cost.py` is J(θ) as the other packages see
it. `filled.py` finds what a cost needs besides the parameters, and `written.py` writes a function
that passes it. `convention.py` lists the ways to call that, `calling.py` finds the one it wants,
and `evaluation.py` calls it. `surroundings.py` moves θ to other points, from which `precision.py`
and `noise.py` find the rounding noise. `directions.py` moves θ along random directions.
`workers.py` sends evaluations to other processes, in which `worker_process.py` runs.
`gradient_function.py` calls a gradient that is a function, `jacobian.py` finds out if a function
has a Jacobian, and `one_output.py` makes one of its outputs J. `restore.py` restores everything,
and `interrupt.py` sees to it that no signal prevents that. `threads.py` lets one thread check at a
time, and `frames.py` lets no error keep arrays in memory. `free_variables.py` lists the variables
that a function reads besides its arguments, and `reached.py` all that is inside them, as far as it
is the user's own. `random_states.py` puts random states back before each call of a random cost, and
`printed.py` shows what a cost prints only once.
"""

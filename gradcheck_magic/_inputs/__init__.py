"""The user's input, read as one flat vector θ and the gradient that belongs to it.

Arrays of any library come in, in containers of any shape; `Parameters` and `Pairing` go out, with a
label for each entry. `request.py` validates the options of a check. `arrays.py` knows the array
libraries (NumPy, PyTorch, JAX, the array API) and finds arrays that share memory, `precision.py`
how precise their numbers are, and `shared_memory.py` which share memory with a file or other
processes. `containers.py` reads dicts, lists, modules and pytrees, `objects.py` the user's own
objects, and `parameters.py` assigns names and positions. `pairing.py` matches each parameter with
its gradient, `jacobian.py` outputs (`outputs.py`) and parameters with the blocks of a Jacobian, and
`fingerprint.py` detects later whether either has changed. `computed.py` finds which statements of a
notebook have computed a value, given the `effects.py` of each, and `ownership.py` knows whose code
it is.
"""

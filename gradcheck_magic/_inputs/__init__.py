"""What the user gives, read as one flat vector θ and the gradient that belongs to it.

Arrays of any library come in, in containers of any shape; `Parameters` and `Pairing` go out,
each entry with its label. `request.py` reads the options of a check; `arrays.py` knows the
libraries (NumPy, PyTorch, JAX, the array API) and which arrays share memory, `containers.py` the
dicts, lists, modules and pytrees that hold them, `parameters.py` the names and shapes.
`pairing.py` matches each parameter with its gradient; `fingerprint.py` tells later whether either
has changed.
"""

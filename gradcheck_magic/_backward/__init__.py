"""Which statement of the backward pass is wrong.

In comes what the user's code has bound while it ran, the cost, and the check; out goes a
`BackwardPass`. An array of the forward pass is moved at the moment it is bound, so that J has
slopes by it; a value of the backward pass that has these slopes is its gradient. The first
statement whose inputs are gradients, and whose result is none although it should be, is wrong.

`find.py` is the entrance. `trace.py` says when a statement begins and has ended, and `sources.py`
which statement that is, by its text; `statements.py` says what a statement binds and reads, and
`references.py` looks that up. `record.py` records the values, as `bound.py` describes them, and
`memory.py` finds them again. `forward.py` moves the arrays of the forward pass, and `inner.py`
those inside its expressions. `match.py` says which value is the gradient by which array, and
`blame.py` which statement is to blame.
"""

"""Which statement of the backward pass is wrong.

In comes what the user's code has bound while it ran, the cost, and the check; out goes a
`BackwardPass`. An array of the forward pass is moved at the moment it is bound, so that J has
slopes by it; a value of the backward pass that has these slopes is its gradient. The first
statement whose inputs are gradients, and whose result is none although it should be, is wrong.

`find.py` is the entrance. What happens between it and the answer, in order:

Recording. `trace.py` says when a statement begins and has ended, and `sources.py` which statement
that is, by its text; `statements.py` says what a statement binds and reads, and `references.py`
looks that up. `record.py` records the values, as `bound.py` describes them, and `memory.py` finds
them again. `arrays.py` sees those of torch and JAX as arrays, and complex numbers as pairs;
`custom.py` finds the calls of custom functions, and `autograd.py` lets torch run its backward pass
once more. `flat.py` looks at the first evaluation of the cost: of a flat θ, it tells the arrays
that the cost reads from it.

Slopes. `forward.py` moves the arrays of the forward pass, for all of their uses or for one, and
`inner.py` those inside its expressions.

Matching. `nodes.py` has the values of the backward pass, `names.py` says what their names tell, and
`known.py` which of them are of the forward pass. `under_test.py` finds the gradients under test
among them, in one of the `layouts.py` that they may have, and `match.py` says which value is the
gradient by which array. `returned.py` judges what custom functions return. `again.py` evaluates a
statement again, as `expressions.py` writes it, and so `mend.py` finds what would make a wrong value
right: another value in it; or, by `rewrite.py`, a statement that is written a little differently,
as `edits.py` says how.

Blaming. `evidence.py` collects what is right and what is wrong; `slices.py` goes back from a wrong
gradient, up to what is right; `factors.py` finds where it was scaled, and `ranks.py` puts the
likeliest statement first. `blame.py` puts this together to a `suspicion.py`, and `further.py` adds
what those statements depend on. `repair.py` tests this: it writes a statement differently, perhaps
with a value that was `at_hand.py`, and `replay.py` computes again all that follows, unless a
`checkpoint.py` stops it early. What makes all gradients right at once comes first.
"""

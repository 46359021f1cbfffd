"""Normalisation over an axis (the examples or a layer), forwards and backwards."""

BUGS = ("centre of the norm detached", "spread of the norm detached")


def normalise(xp, H, axis):
    """Return H with mean 0 and variance 1 along the axis, and its old standard deviation."""
    centred = H - xp.mean(H, axis=axis, keepdims=True)
    spread = xp.sqrt(xp.mean(centred**2, axis=axis, keepdims=True) + 1e-5)
    return centred / spread, spread


def normalise_back(dN, N, spread, axis, bug):
    """Return the gradient with respect to the array that was normalised."""
    centre = 0.0 if bug == BUGS[0] else dN.mean(axis=axis, keepdims=True)
    along = 0.0 if bug == BUGS[1] else N * (dN * N).mean(axis=axis, keepdims=True)
    return (dN - centre - along) / spread

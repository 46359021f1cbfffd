"""Real handwritten digits, and a two-layer network on them with backpropagation by hand.

The digits are the 1797 test images of *Optical Recognition of Handwritten Digits* (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49, CC BY 4.0), as scikit-learn
ships them in ``load_digits``: 8 × 8 pixels, each with a grey level from 0 to 16.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

__all__ = ["backward", "cost", "forward", "initialize", "load_digits"]

Matrix = NDArray[np.float64]
Weights = dict[str, Matrix]

# The number of digits, and the darkest grey level of a pixel.
CLASSES = 10
DARKEST = 16


def load_digits(n: int | None = None) -> tuple[Matrix, Matrix]:
    """Return handwritten digits and their labels.

    Parameters
    ----------
    n : int, optional
        The number of images, counted from the first; all 1797 by default.

    Returns
    -------
    X : ndarray, shape (n, 64)
        The pixels of each image, row by row, from 0 (white) to 1 (black).
    Y : ndarray, shape (n, 10)
        The labels, one-hot.

    References
    ----------
    * E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
      Repository (1998), doi:10.24432/C50P49, CC BY 4.0: the test images, as in scikit-learn.

    Examples
    --------
    >>> from gradcheck_magic.demo import load_digits
    >>> X, Y = load_digits(100)
    >>> X.shape, Y.argmax(axis=1)[:5]
    ((100, 64), array([0, 1, 2, 3, 4]))
    """
    # The package may be inside a zip file, so there may be no path to open.
    file = resources.files("gradcheck_magic").joinpath("digits.npz")
    with file.open("rb") as stream, np.load(stream) as data:
        images, labels = data["images"][:n], data["labels"][:n]
    return images.reshape(len(images), -1) / DARKEST, np.eye(CLASSES)[labels]


def initialize(hidden: int = 8, seed: int = 0) -> Weights:
    """Return random weights ``W1`` (64, hidden), ``b1``, ``W2`` (hidden, 10), ``b2``."""
    random = np.random.default_rng(seed)
    return {
        "W1": random.normal(scale=0.3, size=(64, hidden)),
        "b1": random.normal(scale=0.1, size=hidden),
        "W2": random.normal(scale=0.3, size=(hidden, CLASSES)),
        "b2": random.normal(scale=0.1, size=CLASSES),
    }


def forward(params: Weights, X: Matrix) -> tuple[Matrix, Matrix]:  # noqa: N803 (the field's names)
    """Return the hidden activations tanh(X W1 + b1) and the probabilities of the classes."""
    hidden = np.tanh(X @ params["W1"] + params["b1"])
    scores = hidden @ params["W2"] + params["b2"]
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, odds / odds.sum(axis=1, keepdims=True)


def cost(params: Weights, X: Matrix, Y: Matrix) -> float:  # noqa: N803
    """Return the mean cross-entropy over the examples."""
    _, probabilities = forward(params, X)
    return float(-np.mean(np.sum(Y * np.log(probabilities), axis=1)))


def backward(params: Weights, X: Matrix, Y: Matrix) -> Weights:  # noqa: N803
    """Return the gradient of `cost` by backpropagation: ``dW1``, ``db1``, ``dW2``, ``db2``."""
    hidden, probabilities = forward(params, X)
    scores = (probabilities - Y) / len(X)
    sums = (scores @ params["W2"].T) * (1 - hidden**2)
    return {
        "dW1": X.T @ sums,
        "db1": sums.sum(axis=0),
        "dW2": hidden.T @ scores,
        "db2": scores.sum(axis=0),
    }

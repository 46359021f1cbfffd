"""What a statement binds and reads is told from its syntax tree."""

import ast

import pytest

from gradcheck_magic._backward.statements import parts_of


def told(source):
    """Return what each part of a statement binds, and what it reads."""
    (node,) = ast.parse(source).body
    return [
        (
            "" if part.target is None else part.target.text,
            part.path,
            sorted({load.text for load in part.loads if not load.text.startswith("np")}),
        )
        for part in parts_of(node)
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    {
        "a name": ("dZ = dA * (1 - A)", [("dZ", (), ["A", "dA"])]),
        "an item by a computed key": (
            "grads['dW' + str(l)] = dZ @ A.T",
            [("grads['dW' + str(l)]", (), ["A", "dZ", "l"])],
        ),
        "an attribute": ("self.dW = x.T @ dout", [("self.dW", (), ["dout", "x"])]),
        "HARD: two at once": (
            "dW, db = dZ @ A.T, dZ.sum(1)",
            [("dW", (), ["A", "dZ"]), ("db", (), ["dZ"])],
        ),
        "HARD: two from one call": (
            "dx, dw = backward(dout, cache)",
            [("dx", (), ["cache", "dout"]), ("dw", (), ["cache", "dout"])],
        ),
        "HARD: what it is added to is read": ("dW += dz", [("dW", (), ["dW", "dz"])]),
        "HARD: a slice": ("dh[:, t] = V.T @ e", [("dh[:, t]", (), ["V", "e", "t"])]),
        "HARD: a mask": ("dZ[Z <= 0] = 0", [("dZ[Z <= 0]", (), ["Z"])]),
        "HARD: scattered": (
            "np.add.at(dE, ids, dx)",
            [("dE", (), ["dE", "dx", "ids"])],
        ),
        "HARD: out=": (
            "np.multiply(dh, 1 - h * h, out=dz)",
            [("dz", (), ["dh", "dz", "h"])],
        ),
        "HARD: a dict that is written out": (
            "grads = {'dW': dZ @ A.T, 'db': dZ.sum(1)}",
            [("grads", ("dW",), ["A", "dZ"]), ("grads", ("db",), ["dZ"])],
        ),
        "HARD: keywords": (
            "grads.update(dW=dZ @ A.T)",
            [("grads['dW']", (), ["A", "dZ"])],
        ),
        "an item more": ("deltas.append(delta * sp)", [("deltas", (), ["delta", "sp"])]),
        "HARD: the variables of a comprehension are its own": (
            "dWs = [d @ a.T for d, a in zip(ds, As)]",
            [("dWs", (), ["As", "ds"])],
        ),
        "HARD: an item by one of them": (
            "dWs = [d[k] @ a[j].T for k in keys]",
            [("dWs", (), ["a[j]", "d", "j", "keys"])],
        ),
        "HARD: what is only given to a function": ("print(dW)", [("", (), ["dW"])]),
        "nor does a function": ("def f(): pass", []),
    }.values(),
)
def test_parts(source, expected):
    assert told(source) == expected


def test_returned():
    (function,) = ast.parse("def f():\n    return loss, {'dW': dZ @ A.T}").body
    assert [part.path for part in parts_of(function.body[0])] == [(0,), (1,)]

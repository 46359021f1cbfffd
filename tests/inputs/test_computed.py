"""The statements of the cells that lead from the parameters to a value, and no others."""

import ast

import pytest

from gradcheck_magic._inputs.computed import Computed, Roles, leading_to
from gradcheck_magic._inputs.effects import names_read, read_within

# What the cells of these tests call parameters, and objects that hold some.
OWN, OBJECTS = {"W", "b", "params"}, {"layer", "model"}


def roles(own=OWN, objects=OBJECTS):
    given = (own | objects).__contains__, own.__contains__, objects.__contains__
    return Roles(*given, attributes={"W", "b"})


def leading(expression, cells, *, own=OWN, objects=OBJECTS):
    """Return the code of the statements that lead to an expression."""
    names = roles(own, objects)
    statements = Computed(cells).statements(names)
    tree = ast.parse(expression, mode="eval").body
    found = leading_to(list(names_read(tree)), statements, len(statements), names)
    return [ast.unparse(each.node) for each in found.statements]


WITHIN = """
def f(x, *y, k=a):
    global g
    z = x + b
    g = [z + y for y in c]
    return h(z) + f(k)
def h(z): return z + d
later = lambda v: v + e
"""


@pytest.mark.parametrize(("names", "expected"), [
    ("f", "bcdfgh"), ("h", "d"), (["later"], "e"), ("dz", ""), (["h", "later"], "de"),
])  # fmt: skip
def test_what_functions_read(names, expected):
    """Arguments and variables of their own are no global ones; functions that they call count."""
    assert read_within(names, Computed([WITHIN]).functions) == set(expected)


def test_functions_that_call_each_other():
    """What forty functions change that call each other twice is found, without trying all ways."""
    chain = [f"def f{k}(a):\n    f{k + 1}(a)\n    return f{k + 1}(a)" for k in range(40)]
    cells = ["\n".join([*chain, "def f40(a):\n    a[0] = 1\n    f0(a)"]), "f0(z)\nf40(y)"]
    (first, second) = Computed(cells).statements(roles())[-2:]
    assert (first.called, second.called) == ({"z"}, {"y"})


STRAIGHT = [
    pytest.param("J", ["J = W @ x"], ["J = W @ x"], id="one statement"),
    pytest.param("J", ["z = W @ x\nJ = z.sum()"], ["z = W @ x", "J = z.sum()"], id="a chain"),
    pytest.param("J", ["z = W @ x", "J = z.sum()"], ["z = W @ x", "J = z.sum()"], id="two cells"),
    pytest.param("F(z, y)", ["z = W @ x\nJ = F(z, y)"], ["z = W @ x"], id="a call"),
    pytest.param(
        "J", ["s = W @ x\nW = W - 1\nJ = f(W, s)"], ["J = f(W, s)"],
        id="HARD: what was computed before an update is data after it",
    ),
    pytest.param(
        "J", ["for k in ks:\n    s = W @ x\n    W = W - s\n    t = 2 * s\nW = W + 1\nJ = f(W, t)"],
        ["J = f(W, t)"], id="HARD: so is all that a loop has left behind",
    ),
    pytest.param(
        "J", ["s = W @ x\nJ = f(W, s)\nW = W - 1"], ["s = W @ x", "J = f(W, s)"],
        id="HARD: but not what was computed before the update, too",
    ),
    pytest.param(
        "J", ["W = zeros(3)\ns = W @ x\nb = zeros(3)\nJ = f(b, s)"], ["s = W @ x", "J = f(b, s)"],
        id="HARD: nor what another parameter has nothing to do with",
    ),
    pytest.param("J", ["W = zeros(3)\nJ = W.sum()"], ["J = W.sum()"], id="θ is not made anew"),
    pytest.param("J", ["x = load()\nJ = x.sum()"], [], id="data only"),
    pytest.param("J", ["x = load()\nJ = W @ x"], ["J = W @ x"], id="data is not loaded again"),
    pytest.param(
        "J", ["a = W * 2\nz = W + 1\nJ = z.sum()\nafter = J + 1"], ["z = W + 1", "J = z.sum()"],
        id="nothing beside it, and nothing after it",
    ),
    pytest.param(
        "J", ["h = W @ x\nh = tanh(h)\nJ = h.sum()"],
        ["h = W @ x", "h = tanh(h)", "J = h.sum()"], id="the same name twice",
    ),
    pytest.param(
        "J", ["h = W @ x\nJ = h.sum()\nh = b * 2"], ["h = W @ x", "J = h.sum()"],
        id="HARD: a name that is something else afterwards",
    ),
    pytest.param(
        "J", ["h = W @ x\nh = load()\nJ = W @ h"], ["J = W @ h"],
        id="HARD: a name that was something else before",
    ),
    pytest.param("J", ["J: float = W.sum()"], ["J: float = W.sum()"], id="with a type"),
    pytest.param("J", ["J: float\nJ = W.sum()"], ["J = W.sum()"], id="a type without a value"),
]  # fmt: skip
TARGETS = [
    pytest.param("J", ["z, J = f(W)"], ["z, J = f(W)"], id="a tuple"),
    pytest.param("J", ["[z, J] = f(W)"], ["[z, J] = f(W)"], id="a list"),
    pytest.param("J", ["(z, (J, c)) = f(W)"], ["z, (J, c) = f(W)"], id="nested"),
    pytest.param("J", ["z, *J = f(W)"], ["z, *J = f(W)"], id="starred"),
    pytest.param("J", ["first = J = f(W)"], ["first = J = f(W)"], id="two targets"),
    pytest.param(
        "J", ["J = W @ x\nJ += b @ b"], ["J = W @ x", "J += b @ b"], id="an augmented assignment",
    ),
    pytest.param(
        "J", ["J = 0\nJ += W @ x"], ["J = 0", "J += W @ x"], id="HARD: it begins anew, from data",
    ),
    pytest.param(
        "J", ["J = 0", "J += W @ x"], ["J = 0", "J += W @ x"], id="HARD: from another cell",
    ),
    pytest.param(
        "out", ["out = zeros(2)\nout[0] = W @ x\nout[1] = b @ x"],
        ["out = zeros(2)", "out[0] = W @ x", "out[1] = b @ x"], id="items",
    ),
    pytest.param(
        "cache", ["cache = {}\ncache['z'] = W @ x"], ["cache = {}", "cache['z'] = W @ x"],
        id="items of a dict",
    ),
    pytest.param(
        "out", ["out = []\nout.append(W @ x)"], ["out = []", "out.append(W @ x)"], id="a method",
    ),
    pytest.param(
        "out", ["out = []\nout.append(x)\nJ = W @ x"], [], id="a method called with data",
    ),
    pytest.param(
        "out", ["out = zeros(2)\nnp.add.at(out, k, W)"],
        ["out = zeros(2)", "np.add.at(out, k, W)"], id="HARD: a function that changes its argument",
    ),
    pytest.param(
        "out", ["out = zeros(2)\nnp.dot(W, x, out=out)"],
        ["out = zeros(2)", "np.dot(W, x, out=out)"], id="out=",
    ),
    pytest.param(
        "out", ["out = zeros(2)\nnp.tanh(W, out)"], ["out = zeros(2)", "np.tanh(W, out)"],
        id="HARD: an output as the last argument",
    ),
    pytest.param(
        "c", ["def f(W, c):\n    c['z'] = W @ x", "c = {}\nf(W, c)"], ["c = {}", "f(W, c)"],
        id="HARD: a function of the cells that changes its argument",
    ),
    pytest.param(
        "c", ["def g(c, z):\n    c.append(z)\ndef f(v, d):\n    g(d, v)\nc = []\nf(W, d=c)"],
        ["c = []", "f(W, d=c)"], id="HARD: by means of another one",
    ),
    pytest.param(
        "c", ["def f(v, c):\n    f(v, c)\n    c.append(v)\nc = []\nf(W, c)"],
        ["c = []", "f(W, c)"],
        id="one that calls itself",
    ),
    pytest.param(
        "c", ["def f(v, c):\n    c = c + 1\n    c += v\nc = zeros(3)\nf(W, c)"], [],
        id="HARD: its own variable is another",
    ),
    pytest.param(
        "J", ["def f(v):\n    v -= 0.1\nJ = W @ x\nf(W)"], ["J = W @ x"],
        id="HARD: a function that updates θ is not called again",
    ),
]  # fmt: skip
LOOPS = [
    pytest.param(
        "J", ["J = 0\nfor x in xs:\n    J += W @ x"], ["J = 0", "for x in xs:\n    J += W @ x"],
        id="for",
    ),
    pytest.param(
        "J", ["J = 0\nk = 0\nwhile k < 3:\n    J += W[k]\n    k += 1"],
        ["J = 0", "k = 0", "while k < 3:\n    J += W[k]\n    k += 1"], id="while",
    ),
    pytest.param(
        "h", ["h = h0\nfor x in xs:\n    h = tanh(W @ x + b @ h)"],
        ["h = h0", "for x in xs:\n    h = tanh(W @ x + b @ h)"], id="a recurrent network",
    ),
    pytest.param(
        "hs", ["hs = []\nfor x in xs:\n    hs.append(W @ x)"],
        ["hs = []", "for x in xs:\n    hs.append(W @ x)"], id="a list that grows",
    ),
    pytest.param(
        "J", ["if deep:\n    J = W.sum()\nelse:\n    J = b.sum()"],
        ["if deep:\n    J = W.sum()\nelse:\n    J = b.sum()"], id="if",
    ),
    pytest.param(
        "J", ["match kind:\n    case 'deep':\n        J = W.sum()"],
        ["match kind:\n    case 'deep':\n        J = W.sum()"], id="match",
    ),
    pytest.param(
        "J", ["with quiet():\n    J = W.sum()"], ["with quiet():\n    J = W.sum()"], id="with",
    ),
    pytest.param(
        "J", ["for step in range(9):\n    J = f(W)\n    W = W - 0.1 * g(W)"], ["J = f(W)"],
        id="HARD: a loop that updates θ stands for one round",
    ),
    pytest.param(
        "J", ["for step in range(9):\n    J = f(W)\n    W -= 0.1 * g(W)"], ["J = f(W)"],
        id="HARD: in place",
    ),
    pytest.param(
        "J", ["for step in range(9):\n    J = f(W)\n    J.backward()\n    optimiser.step()"],
        ["J = f(W)"], id="HARD: a loop that an optimiser trains in",
    ),
    pytest.param(
        "J", ["J = 0\nfor x in xs:\n    L = f(W, x)\n    L.backward()\n    J += L"],
        ["J = 0", "for x in xs:\n    L = f(W, x)\n    pass\n    J += L"],
        id="HARD: all micro-batches, but not their backward pass",
    ),
    pytest.param(
        "L", ["J = 0\nfor x in xs:\n    o.zero_grad()\n    L = f(W)\n    L.backward()\n    J += L"],
        ["L = f(W)"], id="HARD: the gradient of the last one only",
    ),
    pytest.param(
        "L", ["J = 0\nfor x in xs:\n    L = f(W, x)\n    L.backward()\n    o.step()\n    J += L"],
        ["L = f(W, x)"], id="HARD: a loop that trains, and adds up its costs",
    ),
    pytest.param(
        "J", ["for e in range(2):\n    for x in xs:\n        J = W @ x\n        W -= 0.1 * x"],
        ["J = W @ x"], id="HARD: loops in loops",
    ),
]  # fmt: skip
OBJECTS_OF_LAYERS = [
    pytest.param(
        "out", ["out = model.forward(x)"], ["out = model.forward(x)"], id="what forward returns",
    ),
    pytest.param(
        "F(layer.output, y)", ["layer.forward(x)"], ["layer.forward(x)"], id="what it keeps",
    ),
    pytest.param(
        "F(model.output, y)", ["layer.forward(x)\nmodel.forward(layer.output)"],
        ["layer.forward(x)", "model.forward(layer.output)"], id="layer after layer",
    ),
    pytest.param(
        "F(layer.output, y)", ["layer.forward(x)\nJ = F(layer.output, y)\nlayer.backward(d)"],
        ["layer.forward(x)"], id="HARD: but not its backward pass",
    ),
    pytest.param(
        "F(layer.output, y)", ["layer.forward(x)\nlayer.update(0.1)"], ["layer.forward(x)"],
        id="HARD: nor an update",
    ),
    pytest.param(
        "F(cache['A'])", ["cache = {}\nfor w in W:\n    cache.update(A=w @ x)"],
        ["cache = {}", "for w in W:\n    cache.update(A=w @ x)"],
        id="HARD: a dict that is updated trains nothing",
    ),
    pytest.param(
        "J", ["for x in xs:\n    J = model.forward(x)\n    model.update(0.1)"],
        ["J = model.forward(x)"], id="HARD: a network that is updated",
    ),
    pytest.param(
        "F(W.output, y)", ["W.forward(x)\nW.fill(0)"], [], id="an array keeps nothing",
    ),
    pytest.param(
        "J", ["layer = Dense()\nJ = F(layer.forward(x), y)"], ["J = F(layer.forward(x), y)"],
        id="HARD: the layer is not made anew",
    ),
    pytest.param(
        "F(layer.output)", ["layer.W = zeros(3)\nlayer.forward(x)"], ["layer.forward(x)"],
        id="HARD: its parameters are not assigned again",
    ),
    pytest.param(
        "J", ["h = x\nfor layer in model:\n    layer.z = layer.W @ h\n    h = layer.z\nJ = F(h)"],
        ["h = x", "for layer in model:\n    layer.z = layer.W @ h\n    h = layer.z", "J = F(h)"],
        id="HARD: activations of its own are",
    ),
    pytest.param(
        "J", ["layer.cache['z'] = layer.W @ x\nJ = F(layer.cache['z'])"],
        ["layer.cache['z'] = layer.W @ x", "J = F(layer.cache['z'])"], id="in a dict",
    ),
    pytest.param(
        "J", ["layer.params['W'] = W\nlayer.all[k] = W\nJ = F(layer)"], ["J = F(layer)"],
        id="HARD: but no parameters in a dict, nor what may be some",
    ),
    pytest.param(
        "F(layer.output)", ["layer.forward(old)", "layer.forward(x)"], ["layer.forward(x)"],
        id="HARD: what another cell has done to it has been done",
    ),
]  # fmt: skip
KEPT_OUT = [
    pytest.param("J", ["n = W.shape[0]\nJ = x / n"], [], id="its shape"),
    pytest.param("J", ["n = len(W)\nJ = x / n"], [], id="its length"),
    pytest.param("J", ["m = zeros(W.shape, W.dtype)\nJ = m * W.size * W.ndim"], [],
                 id="HARD: all that is not values"),
    pytest.param("J", ["n = len(W)\nJ = W / n"], ["J = W / n"], id="HARD: the shape once more"),
    pytest.param("J", ["def f(x):\n    return W @ x\nJ = x"], [], id="a function"),
    pytest.param(
        "J", ["def f(x):\n    return W @ x\nJ = f(W)"], ["J = f(W)"],
        id="a definition is not run again",
    ),
    pytest.param("J", ["class J:\n    W = W"], [], id="a class"),
    pytest.param("J", ["J = [W for W in xs]"], [], id="HARD: a comprehension's own variable"),
    pytest.param("J", ["J = [W @ x for x in xs]"], ["J = [W @ x for x in xs]"],
                 id="a comprehension"),
    pytest.param("J", ["J = lambda W: W"], [], id="HARD: a lambda's own argument"),
    pytest.param("J", ["J = lambda x: W @ x"], ["J = lambda x: W @ x"], id="a lambda"),
    pytest.param(
        "J", ["J = W @ x", "J = W @ x"], ["J = W @ x"], id="a cell that ran twice counts once",
    ),
    pytest.param(
        "J", ["J = 0\nJ += W @ x", "y = 1", "J = 0\nJ += W @ x"], ["J = 0", "J += W @ x"],
        id="HARD: not twice the sum",
    ),
    pytest.param(
        "J", ["h = zeros(3)", "J = W @ h\nh = tanh(W @ h)"], ["J = W @ h"],
        id="HARD: a state that a cell leaves for its next run is data",
    ),
    pytest.param("J", ["1 +", "J = W @ x"], ["J = W @ x"], id="a cell that is no Python"),
    pytest.param(
        "J", ["J = W @ x\nget_ipython().run_line_magic('time', '')"], ["J = W @ x"], id="a magic",
    ),
    pytest.param("J", ["J = W @ x\nW = W * 2"], ["J = W @ x"], id="the update is not made again"),
    pytest.param(
        "J", ["z, W = f(W)\nJ = z.sum()"], [],
        id="HARD: what is bound together with θ is data",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "cells", "expected"),
    [*STRAIGHT, *TARGETS, *LOOPS, *OBJECTS_OF_LAYERS, *KEPT_OUT],
)
def test_what_leads_to_an_expression(expression, cells, expected):
    assert leading(expression, cells) == expected


def test_a_backward_pass_is_no_update():
    """What a network has computed before it belongs to the same parameters."""
    forward, cost = "A = net.forward(x)", "J = half(A) + np.sum(net.W ** 2)"
    cells = [f"{forward}\nnet.backward(d)\n{cost}"]
    assert leading("J", cells, own={"net"}, objects={"net"}) == [forward, cost]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x + y * x", ["x", "y"]),
        ("f(x)", ["f", "x"]),
        ("x.a.b[k]", ["x", "k"]),
        ("x += y", ["x", "y"]),
        ("x[k] = y", ["x", "k", "y"]),
        ("x = y", ["y"]),
        ("x.shape", ["x"]),
        ("[a + c for a in b]", ["c", "b"]),
        ("{k: v for k, v in d.items() if k != z}", ["d", "z"]),
        ("lambda a, *b, c=1, **e: a + b + c + e + f", ["f"]),
        ("lambda a, b=c: a + b", ["c"]),
        ("for k in ks:\n    s += k", ["ks", "s", "k"]),
    ],
)  # fmt: skip
def test_names_read(code, expected):
    assert list(names_read(ast.parse(code))) == expected


CALLS = [
    pytest.param(["J = f(W)"], ["f(W)"], id="one"),
    pytest.param(["J = f(W)", "y = 1\nK = g(W)"], ["g(W)"], id="only in the last cell"),
    pytest.param(["J = f(W)\nK = g(J)"], ["g(J)", "f(W)"], id="the last first"),
    pytest.param(["J = f(g(W))"], ["f(g(W))", "g(W)"], id="inside a call"),
    pytest.param(["for x in xs:\n    J += f(x)"], ["f(x)"], id="in a loop"),
    pytest.param(["def f(x):\n    return g(x)\nJ = f(W)"], ["f(W)"], id="not in a definition"),
    pytest.param(
        ["J = f(W)", "get_ipython().run_line_magic('gradcheck', '')"], ["f(W)"],
        id="HARD: a cell that only calls a magic does not count",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "expected"), CALLS)
def test_calls(cells, expected):
    computed = Computed(cells)
    found = computed.calls(computed.statements(roles()))
    assert [ast.unparse(call) for _, call in found] == expected


BINDINGS = [
    pytest.param("x = 1", "assigned", {"x"}),
    pytest.param("x, (y, *z) = f()", "assigned", {"x", "y", "z"}),
    pytest.param("def f(): x = 1", "assigned", {"f"}),
    pytest.param("x += 1", "changed", {"x"}),
    pytest.param("x[0].y = 1", "changed", {"x"}),
    pytest.param("x.fit(y)", "changed", {"x"}),
    pytest.param("f(x)", "bound", set(), id="HARD: a function's argument"),
    pytest.param("print(x)", "bound", set()),
    pytest.param("np.copyto(x, y)", "changed", {"x"}, id="the first argument"),
    pytest.param("z = np.add(x, y, out=u)", "changed", {"u"}, id="an output"),
    pytest.param("np.divmod(x, y, out=(u[0], v.w))", "changed", {"u", "v"}, id="two of them"),
    pytest.param("np.random.seed(0)", "bound", set(), id="HARD: np itself is not changed"),
    pytest.param("setattr(x, 'a', y)", "changed", {"x"}, id="an attribute by its name"),
    pytest.param("if x:\n    y = 1\n    z.append(y)", "changed", {"y", "z"}, id="in a branch"),
    pytest.param("for k in x:\n    y += k", "changed", {"k", "y"}, id="in a loop"),
]


@pytest.mark.parametrize(("code", "kind", "expected"), BINDINGS)
def test_what_a_statement_binds(code, kind, expected):
    """What is assigned is new; what is changed may keep something of what it was."""
    (statement,) = Computed([code]).statements(roles(set(), set()))
    assert getattr(statement, kind) == expected


LEFT_OVER = [
    pytest.param(["for p in params: pass"], {"p"}, id="a loop"),
    pytest.param(["for p, (dp, _) in x:\n    q = p"], {"p", "dp", "_"}, id="several variables"),
    pytest.param(["p = W", "for p in params: pass"], set(), id="HARD: bound by a statement, too"),
    pytest.param(["for p in x:\n    p = p + 1"], set(), id="HARD: bound again in the loop"),
    pytest.param(["if x:\n    for p in y: pass"], {"p"}, id="in a branch"),
    pytest.param(["[p for p in x]", "f = lambda p: p"], set(), id="a comprehension binds nothing"),
    pytest.param(
        ["for p in x: pass", "def f():\n    p = 1", "class A:\n    p = 1"], {"p"},
        id="HARD: names of a function's own",
    ),
    pytest.param(["for p.x in y: pass"], set(), id="HARD: an attribute"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "expected"), LEFT_OVER)
def test_what_loops_have_left_over(cells, expected):
    assert Computed(cells).left_over == expected

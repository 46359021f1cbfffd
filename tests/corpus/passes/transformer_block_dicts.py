"""A research engineer's transformer block: every operation a pair of functions with a dict as cache; causal attention with one head, softplus MLP, residuals, layer norm first."""
# %% file block.py
import numpy as np

def linear(x, w, b=None):
    y = x @ w if b is None else x @ w + b
    return y, {"x": x, "w": w}

def linear_bwd(dy, cache):
    x, w = cache["x"], cache["w"]
    dx = dy @ w.T
    dw = np.einsum("bti,btj->ij", x, dy)
    #! dw = np.einsum("bti,btj->ij", x, dy) / x.shape[0]
    return dx, dw, dy.sum(axis=(0, 1))

def norm(x, g, b):
    mu = x.mean(-1, keepdims=True)
    rstd = (x.var(-1, keepdims=True) + 1e-5) ** -0.5
    n = (x - mu) * rstd
    return n * g + b, {"n": n, "rstd": rstd, "g": g}

def norm_bwd(dy, cache):
    n, rstd, g = cache["n"], cache["rstd"], cache["g"]
    dn = dy * g
    #! dn = dy
    dx = dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)
    #! dx = dn - dn.mean(-1, keepdims=True) - n * (dn * n).sum(-1, keepdims=True)
    return dx * rstd, (dy * n).sum((0, 1)), dy.sum((0, 1))

def attention(x, p):
    q, cq = linear(x, p["wq"])
    k, ck = linear(x, p["wk"])
    v, cv = linear(x, p["wv"])
    scale = 1.0 / np.sqrt(q.shape[-1])
    s = q @ k.transpose(0, 2, 1) * scale
    s = np.where(np.tri(x.shape[1], dtype=bool), s, -1e9)
    e = np.exp(s - s.max(-1, keepdims=True))
    a = e / e.sum(-1, keepdims=True)
    y, co = linear(a @ v, p["wo"])
    return y, {"q": q, "k": k, "v": v, "a": a, "scale": scale, "lin": (cq, ck, cv, co)}

def attention_bwd(dy, cache):
    q, k, v, a = (cache[name] for name in ("q", "k", "v", "a"))
    #! k, q, v, a = (cache[name] for name in ("q", "k", "v", "a"))
    cq, ck, cv, co = cache["lin"]
    do, dwo, _ = linear_bwd(dy, co)
    da = do @ v.transpose(0, 2, 1)
    dv = a.transpose(0, 2, 1) @ do
    #! dv = a @ do
    ds = a * (da - (da * a).sum(-1, keepdims=True))
    #! ds = a * (da - (da * a).sum(1, keepdims=True))
    #! ds = a * (1 - a) * da
    ds = ds * cache["scale"]
    #! ds = ds / cache["scale"]
    dq, dk = ds @ k, ds.transpose(0, 2, 1) @ q
    #! dq, dk = ds @ k, ds @ q
    dxq, dwq, _ = linear_bwd(dq, cq)
    dxk, dwk, _ = linear_bwd(dk, ck)
    dxv, dwv, _ = linear_bwd(dv, cv)
    return dxq + dxk + dxv, {"wq": dwq, "wk": dwk, "wv": dwv, "wo": dwo}
    #! return dxq + dxv, {"wq": dwq, "wk": dwk, "wv": dwv, "wo": dwo}

def block(x, p):
    cache = {}
    n1, cache["ln1"] = norm(x, p["g1"], p["b1"])
    att, cache["att"] = attention(n1, p)
    x = x + att
    n2, cache["ln2"] = norm(x, p["g2"], p["b2"])
    h, cache["up"] = linear(n2, p["w_up"], p["c_up"])
    cache["sp"] = {"h": h}
    y, cache["down"] = linear(np.log1p(np.exp(h)), p["w_down"], p["c_down"])
    return x + y, cache

def block_bwd(dy, cache):
    g = {}
    dact, g["w_down"], g["c_down"] = linear_bwd(dy, cache["down"])
    dh = dact / (1 + np.exp(-cache["sp"]["h"]))
    #! dh = dact / (1 + np.exp(-cache["down"]["x"]))
    dn2, g["w_up"], g["c_up"] = linear_bwd(dh, cache["up"])
    dx, g["g2"], g["b2"] = norm_bwd(dn2, cache["ln2"])
    #! dx, g["g2"], g["b2"] = norm_bwd(dn2, cache["ln1"])
    dx += dy
    #! dx += dn2
    dn1, att = attention_bwd(dx, cache["att"])
    dx1, g["g1"], g["b1"] = norm_bwd(dn1, cache["ln1"])
    return dx + dx1, {**g, **att}

# %%
import numpy as np
import block as tf

rng = np.random.default_rng(8)
B, T, D, F = 2, 5, 4, 5
shapes = dict(wq=(D, D), wk=(D, D), wv=(D, D), wo=(D, D), w_up=(D, F), c_up=(F,), w_down=(F, D), c_down=(D,))
params = {name: rng.normal(size=shape) * 0.7 for name, shape in shapes.items()}
params |= {name: rng.uniform(0.6, 1.5, D) for name in ("g1", "g2")} | {name: rng.normal(size=D) * 0.2 for name in ("b1", "b2")}
x = rng.normal(size=(B, T, D))
target = rng.normal(size=(B, T, D))

def cost_function(params):
    out, _ = tf.block(x, params)
    return 0.5 * np.mean((out - target) ** 2)

# %% gradcheck
out, cache = tf.block(x, params)
dx, grads = tf.block_bwd((out - target) / out.size, cache)
#! dx, grads = tf.block_bwd((out - target) / (B * T), cache)

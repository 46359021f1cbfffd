"""A software engineer's pre-norm residual MLP: type hints, frozen dataclass and NamedTuple caches, GELU (tanh approximation), grads collected with update and dict comprehensions."""
# %% file resmlp.py
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

Array = np.ndarray
Params = Dict[str, Array]

SQRT_2_OVER_PI = np.sqrt(2.0 / np.pi)
EPS = 1e-5


class LNCache(NamedTuple):
    xhat: Array
    inv_std: Array
    gamma: Array


@dataclass(frozen=True)
class BlockCache:
    ln: LNCache
    normed: Array
    pre: Array
    act: Array


@dataclass
class NetCache:
    inputs: Array
    blocks: List[BlockCache]
    final_ln: LNCache
    features: Array
    prediction: Array


# ----------------------------------------------------------------- primitives


def layer_norm(x: Array, gamma: Array, beta: Array) -> Tuple[Array, LNCache]:
    mean = x.mean(axis=-1, keepdims=True)
    inv_std = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + EPS)
    xhat = (x - mean) * inv_std
    return gamma * xhat + beta, LNCache(xhat, inv_std, gamma)


def layer_norm_backward(dy: Array, cache: LNCache) -> Tuple[Array, Params]:
    grads = {
        "gamma": (dy * cache.xhat).sum(axis=0),
        #! "gamma": dy.sum(axis=0),
        #! "gamma": (dy * cache.xhat).mean(axis=0),
        "beta": dy.sum(axis=0),
        #! "beta": (dy * cache.gamma).sum(axis=0),
    }
    dxhat = dy * cache.gamma
    #! dxhat = dy
    #! dxhat = dy / cache.gamma
    dx = cache.inv_std * (
        dxhat
        - dxhat.mean(axis=-1, keepdims=True)
        #! - dxhat.mean(axis=0, keepdims=True)
        #! + dxhat.mean(axis=-1, keepdims=True)
        #! - dxhat.sum(axis=-1, keepdims=True)
        - cache.xhat * (dxhat * cache.xhat).mean(axis=-1, keepdims=True)
        #! - cache.xhat * dxhat.mean(axis=-1, keepdims=True)
        #! - (dxhat * cache.xhat).mean(axis=-1, keepdims=True)
        #! - cache.xhat * (dy * cache.xhat).mean(axis=-1, keepdims=True)
        #! - 0.5 * cache.xhat * (dxhat * cache.xhat).mean(axis=-1, keepdims=True)
    )
    return dx, grads


def gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x**3)))


def gelu_grad(x: Array) -> Array:
    inner = SQRT_2_OVER_PI * (x + 0.044715 * x**3)
    tanh = np.tanh(inner)
    sech2 = 1.0 - tanh**2
    #! sech2 = 1.0 - tanh
    #! sech2 = 1.0 + tanh**2
    dinner = SQRT_2_OVER_PI * (1.0 + 3 * 0.044715 * x**2)
    #! dinner = SQRT_2_OVER_PI * (1.0 + 0.044715 * x**2)
    #! dinner = 1.0 + 3 * 0.044715 * x**2
    return 0.5 * (1.0 + tanh) + 0.5 * x * sech2 * dinner
    #! return 0.5 * (1.0 + tanh) + 0.5 * sech2 * dinner
    #! return 0.5 * (1.0 + tanh)
    #! return 0.5 * (1.0 + tanh) + x * sech2 * dinner


# --------------------------------------------------------------------- blocks


def block_forward(x: Array, p: Params) -> Tuple[Array, BlockCache]:
    normed, ln_cache = layer_norm(x, p["gamma"], p["beta"])
    pre = normed @ p["w_up"] + p["b_up"]
    act = gelu(pre)
    return x + act @ p["w_down"] + p["b_down"], BlockCache(ln_cache, normed, pre, act)


def block_backward(dout: Array, p: Params, cache: BlockCache) -> Tuple[Array, Params]:
    grads: Params = {}
    grads.update(w_down=cache.act.T @ dout, b_down=dout.sum(axis=0))
    #! grads.update(w_down=cache.pre.T @ dout, b_down=dout.sum(axis=0))
    #! grads.update(w_down=cache.act.T @ dout, b_down=dout.mean(axis=0))
    dact = dout @ p["w_down"].T
    dpre = dact * gelu_grad(cache.pre)
    #! dpre = dact * gelu_grad(cache.act)
    #! dpre = dact * gelu(cache.pre)
    #! dpre = dact * (cache.pre > 0)
    grads.update(w_up=cache.normed.T @ dpre, b_up=dpre.sum(axis=0))
    #! grads.update(w_up=cache.ln.xhat.T @ dpre, b_up=dpre.sum(axis=0))
    #! grads.update(w_up=cache.normed.T @ dpre, b_up=dact.sum(axis=0))
    dnormed = dpre @ p["w_up"].T
    #! dnormed = dact @ p["w_up"].T
    dx_branch, ln_grads = layer_norm_backward(dnormed, cache.ln)
    grads.update(ln_grads)
    return dout + dx_branch, grads
    #! return dx_branch, grads
    #! return dout, grads
    #! return dout * dx_branch, grads


def sub(params: Params, prefix: str) -> Params:
    return {name[len(prefix):]: value for name, value in params.items() if name.startswith(prefix)}


class ResMLP:
    def __init__(self, depth: int) -> None:
        self.depth = depth

    def init(self, d_in: int, d_model: int, d_hidden: int, d_out: int, seed: int) -> Params:
        rng = np.random.default_rng(seed)
        params: Params = {"w_in": rng.normal(size=(d_in, d_model)), "b_in": 0.1 * rng.normal(size=d_model)}
        for i in range(self.depth):
            params |= {
                f"block{i}.gamma": rng.uniform(0.5, 1.5, size=d_model),
                f"block{i}.beta": 0.2 * rng.normal(size=d_model),
                f"block{i}.w_up": rng.normal(size=(d_model, d_hidden)) / np.sqrt(d_model),
                f"block{i}.b_up": 0.1 * rng.normal(size=d_hidden),
                f"block{i}.w_down": rng.normal(size=(d_hidden, d_model)) / np.sqrt(d_hidden),
                f"block{i}.b_down": 0.1 * rng.normal(size=d_model),
            }
        params |= {"final.gamma": rng.uniform(0.5, 1.5, size=d_model), "final.beta": 0.2 * rng.normal(size=d_model)}
        params |= {"w_out": rng.normal(size=(d_model, d_out)), "b_out": np.zeros(d_out)}
        return params

    def forward(self, params: Params, x: Array) -> Tuple[Array, NetCache]:
        h = x @ params["w_in"] + params["b_in"]
        blocks = []
        for i in range(self.depth):
            h, block = block_forward(h, sub(params, f"block{i}."))
            blocks.append(block)
        features, final_ln = layer_norm(h, params["final.gamma"], params["final.beta"])
        prediction = features @ params["w_out"] + params["b_out"]
        return prediction, NetCache(x, blocks, final_ln, features, prediction)

    def loss(self, params: Params, x: Array, target: Array) -> float:
        prediction, _ = self.forward(params, x)
        return float(0.5 * np.mean(np.sum((prediction - target) ** 2, axis=1)))

    def backward(self, params: Params, cache: NetCache, target: Array) -> Params:
        grads: Params = {}
        dpred = (cache.prediction - target) / len(target)
        #! dpred = (cache.prediction - target) / target.size
        #! dpred = 2 * (cache.prediction - target) / len(target)
        #! dpred = (target - cache.prediction) / len(target)
        grads["w_out"] = cache.features.T @ dpred
        #! grads["w_out"] = cache.final_ln.xhat.T @ dpred
        grads["b_out"] = dpred.sum(axis=0)
        dh, final = layer_norm_backward(dpred @ params["w_out"].T, cache.final_ln)
        #! dh, final = layer_norm_backward(dpred @ params["w_out"].T, cache.blocks[-1].ln)
        grads.update({f"final.{name}": value for name, value in final.items()})
        #! grads.update({f"final.{name}": value / len(target) for name, value in final.items()})
        for i in reversed(range(self.depth)):
            dh, block_grads = block_backward(dh, sub(params, f"block{i}."), cache.blocks[i])
            #! dh, block_grads = block_backward(dh, sub(params, f"block{i}."), cache.blocks[-1])
            #! dh, block_grads = block_backward(dh, sub(params, "block0."), cache.blocks[i])
            #! _, block_grads = block_backward(dh, sub(params, f"block{i}."), cache.blocks[i])
            grads |= {f"block{i}.{name}": value for name, value in block_grads.items()}
            #! grads |= {f"block{self.depth - 1 - i}.{name}": value for name, value in block_grads.items()}
        grads["w_in"], grads["b_in"] = cache.inputs.T @ dh, dh.sum(axis=0)
        #! grads["w_in"], grads["b_in"] = cache.inputs.T @ dpred @ params["w_out"].T, dh.sum(axis=0)
        return {name: grads[name] for name in params}

# %%
import numpy as np

from resmlp import ResMLP

rng = np.random.default_rng(2024)
x_train, y_train = rng.normal(size=(10, 4)), rng.normal(size=(10, 3))
net = ResMLP(depth=2)
weights = net.init(d_in=4, d_model=6, d_hidden=8, d_out=3, seed=11)
f"{net.loss(weights, x_train, y_train):.4f}"

# %% gradcheck -p weights -g gradients -c "lambda w: net.loss(w, x_train, y_train)"
_, cache = net.forward(weights, x_train)
gradients = net.backward(weights, cache, y_train)

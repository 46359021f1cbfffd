"""Somebody who has read JAX's page on custom derivatives: two custom functions with defvjp, and jax.grad."""
# %%
import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)

# %%
@jax.custom_vjp
def dense(x, W, b):
    z = x @ W + b
    y = jnp.tanh(z)
    return y

def dense_fwd(x, W, b):
    y = dense(x, W, b)
    return y, (x, W, y)

def dense_bwd(saved, dy):
    x, W, y = saved
    dz = dy * (1 - y ** 2)
    #! dz = dy * (1 - y)
    #! dz = dy * y * (1 - y)
    dx = dz @ W.T
    #! dx = dy @ W.T
    #! dx = 2 * dz @ W.T
    dW = x.T @ dz
    #! dW = x.T @ dy
    #! dW = x.T @ dz / len(x)
    db = dz.sum(axis=0)
    #! db = dz.mean(axis=0)
    #! db = dy.sum(axis=0)
    return dx, dW, db

dense.defvjp(dense_fwd, dense_bwd)

@jax.custom_vjp
def softplus(a):
    return jnp.log1p(jnp.exp(a))

def softplus_fwd(a):
    return softplus(a), a

def softplus_bwd(a, upstream):
    s = 1 / (1 + jnp.exp(-a))
    #! s = 1 / (1 + jnp.exp(a))
    #! s = jnp.exp(a)
    return (upstream * s,)
    #! return (s,)
    #! return (upstream,)
    #! return (upstream * s * (1 - s),)
    #! return (-upstream * s,)

softplus.defvjp(softplus_fwd, softplus_bwd)

# %%
keys = jax.random.split(jax.random.key(0), 7)
X, Y = jax.random.normal(keys[0], (7, 3)), jax.random.normal(keys[1], (7, 2))
params = {
    "W1": jax.random.normal(keys[2], (3, 4)), "b1": jax.random.normal(keys[3], (4,)),
    "W2": jax.random.normal(keys[4], (4, 5)), "b2": jax.random.normal(keys[5], (5,)),
    "W3": jax.random.normal(keys[6], (5, 2)),
}

def cost_function(params):
    h = dense(dense(X, params["W1"], params["b1"]), params["W2"], params["b2"])
    out = softplus(h) @ params["W3"]
    return ((out - Y) ** 2).mean()

# %% gradcheck
grads = jax.grad(cost_function)(params)

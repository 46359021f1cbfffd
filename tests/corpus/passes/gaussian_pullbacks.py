"""A functional programmer's heteroscedastic regression: every primitive returns its value and a pullback (a closure), a trunk with two heads for mean and log variance, Gaussian NLL."""
# %%
import numpy as np

# %% file primitives.py
import numpy as np

def affine(x, w, b):
    def pullback(g):
        return g @ w.T, x.T @ g, g.sum(0)
        #! return g @ w.T, x.T @ g, g.mean(0)
    return x @ w + b, pullback

def softsign(x):
    d = 1 + np.abs(x)
    def pullback(g):
        return g / d ** 2
        #! return g / d
        #! return g * (1 - (x / d) ** 2)
    return x / d, pullback

def scale_shift(x, gain):
    """x * exp(gain), with one gain for each feature"""
    k = np.exp(gain)
    def pullback(g):
        return g * k, (g * x * k).sum(0)
        #! return g * k, (g * x).sum(0)
        #! return g * gain, (g * x * k).sum(0)
    return x * k, pullback

def gaussian_nll(mu, logvar, y):
    r = y - mu
    precision = np.exp(-logvar)
    def pullback(g=1.0):
        n = y.shape[0]
        dmu = -g * precision * r / n
        #! dmu = g * precision * r / n
        #! dmu = -g * r / n
        dlogvar = g * 0.5 * (1 - precision * r ** 2) / n
        #! dlogvar = g * 0.5 * (1 - precision * r) / n
        return dmu, dlogvar
    value = 0.5 * (logvar + precision * r ** 2 + np.log(2 * np.pi)).sum(1).mean()
    return value, pullback

# %%
from collections import namedtuple
from primitives import affine, gaussian_nll, scale_shift, softsign

Weights = namedtuple("Weights", "w1 b1 gain w2 b2 w_mu b_mu w_var b_var")

def nll(p, x, y):
    """Return the loss, and a function that returns the gradient."""
    u, back_1 = affine(x, p.w1, p.b1)
    h, back_act = softsign(u)
    s, back_gain = scale_shift(h, p.gain)
    v, back_2 = affine(s, p.w2, p.b2)
    t, back_act_2 = softsign(v)
    t = t + s
    mu, back_mu = affine(t, p.w_mu, p.b_mu)
    logvar, back_var = affine(t, p.w_var, p.b_var)
    loss, back_loss = gaussian_nll(mu, logvar, y)

    def gradient():
        dmu, dlogvar = back_loss()
        #! dlogvar, dmu = back_loss()
        dt_mu, dw_mu, db_mu = back_mu(dmu)
        dt_var, dw_var, db_var = back_var(dlogvar)
        #! dt_var, dw_var, db_var = back_var(dmu)
        dt = dt_mu + dt_var
        #! dt = dt_mu
        ds, dw2, db2 = back_2(back_act_2(dt))
        #! ds, dw2, db2 = back_2(back_act(dt))
        ds = ds + dt
        #! ds = ds + dt_mu
        dh, dgain = back_gain(ds)
        _, dw1, db1 = back_1(back_act(dh))
        #! _, dw1, db1 = back_1(dh)
        return Weights(dw1, db1, dgain, dw2, db2, dw_mu, db_mu, dw_var, db_var)

    return loss, gradient

# %%
rng = np.random.default_rng(1958)
normal = lambda *shape, scale=0.7: scale * rng.standard_normal(shape)
x = rng.uniform(-2, 2, (16, 3))
y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] ** 2 - 1], axis=1) + 0.3 * rng.standard_normal((16, 2))
p = Weights(normal(3, 5), normal(5), normal(5, scale=0.3), normal(5, 5), normal(5), normal(5, 2), normal(2), normal(5, 2), normal(2, scale=0.2))
p = p._asdict()

# %% gradcheck -p p -g grad -c "lambda p: nll(Weights(**p), x, y)[0]"
loss, gradient = nll(Weights(**p), x, y)
grad = gradient()._asdict()

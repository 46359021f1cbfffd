"""A physicist: regression with a softplus-like hidden layer, one function that gives the loss and a tuple of gradients, and the check gets functions."""
# %%
import numpy as np

def loss_and_grad(w1, b1, w2, b2, X, y):
    """Log-cosh loss of a two-layer network; X is (n_samples, n_features), y is (n_samples,)."""
    n = len(y)
    a = X @ w1 + b1                      # (n, h)
    h = np.logaddexp(0, a)               # softplus
    mu = np.linalg.norm(h, axis=1)       # rows are normalised
    u = h / mu[:, None]
    f = u @ w2 + b2                      # (n,)
    r = f - y
    loss = np.log(np.cosh(r)).mean() + 0.01 * (w2 @ w2)

    df = np.tanh(r) / n
    #! df = np.tanh(r)
    #! df = r / n
    #! df = np.sinh(r) / n
    #! df = -np.tanh(r) / n
    dw2 = u.T @ df + 0.02 * w2
    #! dw2 = u.T @ df + 0.01 * w2
    #! dw2 = u.T @ df
    #! dw2 = h.T @ df + 0.02 * w2
    #! dw2 = u.T @ r / n + 0.02 * w2
    db2 = df.sum()
    #! db2 = df.mean()
    #! db2 = r.sum() / n
    #! db2 = np.abs(df).sum()
    du = np.outer(df, w2)
    #! du = np.outer(df, dw2)
    #! du = np.outer(df, np.abs(w2))
    #! du = np.outer(r, w2)
    dmu = -(du * h).sum(1) / mu**2
    #! dmu = (du * h).sum(1) / mu**2
    #! dmu = -(du * u).sum(1) / mu**2
    #! dmu = -(du * h).sum(1) / mu
    #! dmu = -du.sum(1) / mu**2
    dh = du / mu[:, None]
    #! dh = du / mu[:, None] ** 2
    #! dh = du
    #! dh = du / h
    dh += dmu[:, None] * u
    #! dh -= dmu[:, None] * u
    #! dh += dmu[:, None] * h
    #! dh += dmu[:, None]
    #! dh = dmu[:, None] * u
    da = dh / (1 + np.exp(-a))
    #! da = dh / (1 + np.exp(a))
    #! da = dh / (1 + np.exp(-h))
    #! da = dh * (a > 0)
    #! da = du / (1 + np.exp(-a))
    dw1 = X.T @ da
    #! dw1 = X.T @ dh
    #! dw1 = X.T @ da / n
    #! dw1 = (da.T @ X**2).T
    db1 = da.sum(0)
    #! db1 = da.mean(0)
    #! db1 = np.full_like(b1, da.sum())
    #! db1 = da[-1]
    return loss, (dw1, db1, dw2, db2)
    #! return loss, (dw1, db1, dw2 / n, db2)

# %%
rnd = np.random.RandomState(11)
X = rnd.uniform(-2, 2, (13, 4))
y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rnd.standard_normal(13)
w1, b1 = rnd.standard_normal((4, 6)), rnd.standard_normal(6)
w2, b2 = rnd.standard_normal(6), 0.3

# %% gradcheck -p [w1,b1,w2,b2] -g "lambda p: loss_and_grad(*p, X, y)[1]" -c "lambda p: loss_and_grad(*p, X, y)[0]"
loss, _ = loss_and_grad(w1, b1, w2, b2, X, y)
loss

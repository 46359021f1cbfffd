"""Somebody who plays in a scratch notebook: two layers with softmax, samples in rows, no functions but the loss, every step a statement of the cell."""
# %%
import numpy as np
rng = np.random.default_rng(42)

# %%
n, d_in, d_hid, n_cls = 14, 5, 8, 3
X = rng.normal(size=(n, d_in))
labels = rng.integers(0, n_cls, size=n)
Y = np.eye(n_cls)[labels]

W1 = rng.normal(size=(d_in, d_hid)) * np.sqrt(1 / d_in)
b1 = rng.normal(size=d_hid) * 0.1
W2 = rng.normal(size=(d_hid, n_cls)) * np.sqrt(1 / d_hid)
b2 = np.zeros(n_cls)
lam = 1e-2

# %%
def loss():
    h = np.tanh(X @ W1 + b1)
    s = h @ W2 + b2
    s = s - s.max(axis=1, keepdims=True)
    logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
    return -(Y * logp).sum() / n + lam / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))

loss()

# %% gradcheck -p "[W1, b1, W2, b2]" -g "[dW1, db1, dW2, db2]" -c loss
# forward
z1 = X @ W1 + b1
h = np.tanh(z1)
scores = h @ W2 + b2
scores -= scores.max(axis=1, keepdims=True)
e = np.exp(scores)
p = e / e.sum(axis=1, keepdims=True)
#! p = e / e.sum(axis=0, keepdims=True)
#! p = e / e.sum()
#! p = 1 / (1 + np.exp(-scores))

# backward
dscores = p.copy()
#! dscores = e.copy()
#! dscores = np.log(p)
dscores -= Y
#! dscores += Y
#! dscores -= Y.mean(axis=0)
dscores /= n
#! dscores /= n_cls
#! dscores //= n
#! dscores /= n ** 2

dW2 = h.T @ dscores
#! dW2 = z1.T @ dscores
#! dW2 = -h.T @ dscores
#! dW2 = np.maximum(h, 0).T @ dscores
dW2 += lam * W2
#! dW2 = lam * W2
#! dW2 += lam * W2 / 2
#! dW2 += lam / n * W2
db2 = dscores.sum(axis=0)
#! db2 = dscores.mean(axis=0)
#! db2 = p.sum(axis=0)
#! db2 = Y.sum(axis=0) / n

dh = dscores @ W2.T
#! dh = (p - Y) @ W2.T
#! dh = -dscores @ W2.T
#! dh = dscores @ (W2 + dW2).T
t = np.tanh(z1)
#! t = np.tanh(h)
#! t = z1
dz1 = dh * (1 - t ** 2)
#! dz1 = dh * (1 - t) ** 2
#! dz1 = dh * (1 - t)
#! dz1 = dh * (1 + t ** 2)
#! dz1 = 1 - t ** 2

dW1 = X.T @ dz1
#! dW1 = X.T @ dh
#! dW1 = X.T @ dz1 / n
dW1 += lam * W1
#! dW1 += W1
#! dW1 -= lam * W1
#! dW1 += lam * np.abs(W1)
#! dW1 += 2 * lam * W1
db1 = np.sum(dz1, axis=0)
#! db1 = np.sum(dh, axis=0)
#! db1 = np.sum(dz1, axis=0) + lam * b1
#! db1 = np.max(dz1, axis=0)

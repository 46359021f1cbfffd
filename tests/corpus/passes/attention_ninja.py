"""Karpathy-style "become a backprop ninja" notebook: one causal self-attention head with a residual, every intermediate by hand at the top level of the cell."""
# %%
import numpy as np

words = ["emma", "olivia", "ava", "isabella"]
chars = ".abeilmosv"
stoi = {s: i for i, s in enumerate(chars)}
itos = {i: s for s, i in stoi.items()}

block_size = 5
X, Y = [], []
for w in words[:3]:
    ix = ([0] + [stoi[c] for c in w] + [0] * block_size)[: block_size + 1]
    X.append(ix[:-1])
    Y.append(ix[1:])
X, Y = np.array(X), np.array(Y)
B, T = X.shape
V = len(chars)
C, H = 6, 4       # n_embd, head_size
X.shape, Y.shape

# %%
rng = np.random.RandomState(1337)
wte = rng.randn(V, C) * 0.7
wpe = rng.randn(T, C) * 0.3
Wq = rng.randn(C, H) * C**-0.5
Wk = rng.randn(C, H) * C**-0.5
Wv = rng.randn(C, H) * C**-0.5
Wo = rng.randn(H, C) * H**-0.5
bo = rng.randn(C) * 0.1
Wh = rng.randn(C, V) * 0.4
bh = rng.randn(V) * 0.1
parameters = [wte, wpe, Wq, Wk, Wv, Wo, bo, Wh, bh]
print(sum(p.size for p in parameters))

# %%
tril = np.tril(np.ones((T, T)))

def forward():
    global emb, q, k, v, wei, att, out, x2, logits, probs
    emb = wte[X] + wpe                            # (B,T,C)
    q = emb @ Wq                                  # (B,T,H)
    k = emb @ Wk
    v = emb @ Wv
    wei = q @ k.transpose(0, 2, 1) * H**-0.5      # (B,T,T)
    wei = np.where(tril == 0, -np.inf, wei)
    e = np.exp(wei - wei.max(-1, keepdims=True))
    att = e / e.sum(-1, keepdims=True)
    out = att @ v                                 # (B,T,H)
    x2 = emb + (out @ Wo + bo)                    # residual
    logits = x2 @ Wh + bh
    ee = np.exp(logits - logits.max(-1, keepdims=True))
    probs = ee / ee.sum(-1, keepdims=True)
    return -np.log(probs[np.arange(B)[:, None], np.arange(T), Y]).mean()

loss = forward()
loss

# %% gradcheck -p parameters -g grads -c forward
dlogits = probs.copy()
dlogits[np.arange(B)[:, None], np.arange(T), Y] -= 1
#! dlogits[np.arange(B)[:, None], np.arange(T), X] -= 1
#! dlogits[np.arange(B)[:, None], np.arange(T), Y] = -1
dlogits /= B * T
#! dlogits /= B
#! dlogits /= V

dWh = x2.reshape(-1, C).T @ dlogits.reshape(-1, V)
#! dWh = emb.reshape(-1, C).T @ dlogits.reshape(-1, V)
dbh = dlogits.sum((0, 1))
#! dbh = dlogits.mean((0, 1))
dx2 = dlogits @ Wh.T

demb = dx2.copy()                                # residual branch
#! demb = np.zeros_like(dx2)
dout = dx2 @ Wo.T
dWo = out.reshape(-1, H).T @ dx2.reshape(-1, C)
#! dWo = v.reshape(-1, H).T @ dx2.reshape(-1, C)
#! dWo = q.reshape(-1, H).T @ dx2.reshape(-1, C)
dbo = dx2.sum(0).sum(0)
#! dbo = demb.sum(0)[0]

datt = dout @ v.transpose(0, 2, 1)
#! datt = dout @ k.transpose(0, 2, 1)
dv = att.transpose(0, 2, 1) @ dout
#! dv = att @ dout
dwei = att * (datt - (att * datt).sum(-1, keepdims=True))
#! dwei = att * (datt - (att * datt).sum(1, keepdims=True))
#! dwei = att * (1 - att) * datt
#! dwei = att * datt - (att * datt).sum(-1, keepdims=True)
dwei = np.where(tril == 0, 0, dwei) * H**-0.5
#! dwei = np.where(tril == 0, 0, dwei)
#! dwei = np.where(tril == 0, 0, dwei) * C**-0.5
dq = dwei @ k
#! dq = dwei @ q
dk = dwei.transpose(0, 2, 1) @ q
#! dk = dwei @ q

e2 = emb.reshape(-1, C)
dWq = e2.T @ dq.reshape(-1, H)
dWk = e2.T @ dk.reshape(-1, H)
#! dWk = e2.T @ dq.reshape(-1, H)
dWv = e2.T @ dv.reshape(-1, H)
demb += dq @ Wq.T
#! demb += dq @ Wk.T
demb += dk @ Wk.T
#! demb = dk @ Wk.T
#! demb += dv @ Wk.T
demb += dv @ Wv.T
#! demb -= dv @ Wv.T

dwpe = demb.sum(0)
#! dwpe = demb.mean(0)
dwte = np.zeros_like(wte)
for b in range(B):
    for t in range(T):
        dwte[X[b, t]] += demb[b, t]
        #! dwte[X[b, t]] = demb[b, t]
        #! dwte[Y[b, t]] += demb[b, t]

grads = [dwte, dwpe, dWq, dWk, dWv, dWo, dbo, dWh, dbh]

"""Somebody who follows the makemore lecture "becoming a backprop ninja": tensors of torch, differentiated by hand, statement by statement."""
# %%
import torch
import torch.nn.functional as F

g = torch.Generator().manual_seed(2147483647)
vocab_size, block_size, n_embd, n_hidden, n = 12, 3, 4, 8, 16
Xb = torch.randint(0, vocab_size, (n, block_size), generator=g)
Yb = torch.randint(0, vocab_size, (n,), generator=g)

def make(*shape, scale=1.0):
    return scale * torch.randn(shape, generator=g, dtype=torch.float64)

C = make(vocab_size, n_embd)
W1, b1 = make(n_embd * block_size, n_hidden, scale=0.3), make(n_hidden, scale=0.1)
W2, b2 = make(n_hidden, vocab_size, scale=0.3), make(vocab_size, scale=0.1)
bngain, bnbias = 1 + make(1, n_hidden, scale=0.1), make(1, n_hidden, scale=0.1)

# %%
def loss_fn():
    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    hprebn = embcat @ W1 + b1
    bnmean = hprebn.mean(0, keepdim=True)
    bnvar = hprebn.var(0, keepdim=True, unbiased=True)
    bnraw = (hprebn - bnmean) * (bnvar + 1e-5) ** -0.5
    hpreact = bngain * bnraw + bnbias
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    return F.cross_entropy(logits, Yb)

# %% gradcheck -p "[C, W1, b1, W2, b2, bngain, bnbias]" -g "[dC, dW1, db1, dW2, db2, dbngain, dbnbias]" -c loss_fn
emb = C[Xb]
embcat = emb.view(emb.shape[0], -1)
hprebn = embcat @ W1 + b1
bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bnvar = 1 / (n - 1) * (bndiff ** 2).sum(0, keepdim=True)
bnvar_inv = (bnvar + 1e-5) ** -0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
h = torch.tanh(hpreact)
logits = h @ W2 + b2

dlogits = F.softmax(logits, 1)
#! dlogits = F.softmax(logits, 0)
#! dlogits = torch.sigmoid(logits)
dlogits[range(n), Yb] -= 1
#! dlogits[range(n), Yb] += 1
#! dlogits[:, Yb] -= 1
dlogits /= n
#! dlogits /= n ** 2
#! dlogits *= 2 / n
dh = dlogits @ W2.T
#! dh = dlogits @ W2.T / n
dW2 = h.T @ dlogits
#! dW2 = hpreact.T @ dlogits
db2 = dlogits.sum(0)
#! db2 = dlogits.mean(0)
dhpreact = (1.0 - h ** 2) * dh
#! dhpreact = (1.0 - h) * dh
#! dhpreact = h * (1.0 - h) * dh
dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
#! dbngain = (bndiff * dhpreact).sum(0, keepdim=True)
dbnraw = bngain * dhpreact
#! dbnraw = bnvar_inv * dhpreact
#! dbnraw = dhpreact
dbnbias = dhpreact.sum(0, keepdim=True)
#! dbnbias = dh.sum(0, keepdim=True)
dbndiff = bnvar_inv * dbnraw
#! dbndiff = bnvar * dbnraw
dbnvar_inv = (bndiff * dbnraw).sum(0, keepdim=True)
#! dbnvar_inv = (bnraw * dbnraw).sum(0, keepdim=True)
dbnvar = -0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv
#! dbnvar = 0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv
#! dbnvar = -0.5 * (bnvar + 1e-5) ** -0.5 * dbnvar_inv
dbndiff2 = 1.0 / (n - 1) * torch.ones_like(bndiff) * dbnvar
#! dbndiff2 = 1.0 / n * torch.ones_like(bndiff) * dbnvar
dbndiff += 2 * bndiff * dbndiff2
#! dbndiff = 2 * bndiff * dbndiff2
#! dbndiff += bndiff * dbndiff2
dhprebn = dbndiff.clone()
dbnmeani = (-dbndiff).sum(0)
#! dbnmeani = dbndiff.sum(0)
dhprebn += 1.0 / n * torch.ones_like(hprebn) * dbnmeani
#! dhprebn += 1.0 / (n - 1) * torch.ones_like(hprebn) * dbnmeani
dembcat = dhprebn @ W1.T
#! dembcat = dbndiff @ W1.T
dW1 = embcat.T @ dhprebn
#! dW1 = embcat.T @ dbndiff
#! dW1 = embcat.T @ dhpreact
db1 = dhprebn.sum(0)
#! db1 = dhpreact.sum(0)
demb = dembcat.view(emb.shape)
dC = torch.zeros_like(C)
dC.index_add_(0, Xb.view(-1), demb.view(-1, n_embd))
#! dC.index_add_(0, Xb.T.reshape(-1), demb.view(-1, n_embd))

"""A linguist's word2vec notebook: skip-gram with negative sampling, double loop over the centre words and their contexts, two embedding tables, explicit scalars."""
# %%
import numpy as np

text = "the quick brown fox jumps over the lazy dog the fox sleeps".split()
vocab = sorted(set(text))
word2id = {w: i for i, w in enumerate(vocab)}
tokens = [word2id[w] for w in text]
V, d, window, K = len(vocab), 4, 2, 3

rng = np.random.RandomState(8)
v_in = rng.normal(0, .7, (V, d))      # centre words
v_out = rng.normal(0, .7, (V, d))     # context words
b_out = rng.normal(0, .2, V)
counts = np.bincount(tokens) ** .75
pairs, negatives = [], []
for i, c in enumerate(tokens):
    for j in range(max(0, i - window), min(len(tokens), i + window + 1)):
        if j != i:
            pairs.append((c, tokens[j]))
            negatives.append(rng.choice(V, size=K, p=counts / counts.sum()))
pairs, negatives = pairs[::3], negatives[::3]

# %%
def sigma(s):
    return 1. / (1. + np.exp(-s))

def J(v_in, v_out, b_out):
    total = 0.
    for (c, o), neg in zip(pairs, negatives):
        total -= np.log(sigma(v_out[o] @ v_in[c] + b_out[o]))
        total -= np.log(sigma(-(v_out[neg] @ v_in[c] + b_out[neg]))).sum()
    return total / len(pairs)

# %% gradcheck -p "{'v_in': v_in, 'v_out': v_out, 'b_out': b_out}" -g "{'v_in': g_in, 'v_out': g_out, 'b_out': g_b}" -c J
g_in, g_out, g_b = np.zeros((V, d)), np.zeros((V, d)), np.zeros(V)
for (c, o), neg in zip(pairs, negatives):
    # positive pair: d(-log sigma(s))/ds = sigma(s) - 1
    e = sigma(v_out[o] @ v_in[c] + b_out[o]) - 1
    #! e = sigma(v_out[o] @ v_in[c] + b_out[o])
    #! e = 1 - sigma(v_out[o] @ v_in[c] + b_out[o])
    #! e = sigma(v_out[o] @ v_in[c]) - 1
    #! e = sigma(v_out[c] @ v_in[o] + b_out[o]) - 1
    g_out[o] += e * v_in[c]
    #! g_out[o] += e * v_in[o]
    #! g_out[o] = e * v_in[c]
    #! g_out[c] += e * v_in[c]
    g_b[o] += e
    #! g_b[c] += e
    grad_c = e * v_out[o]
    #! grad_c = e * v_in[c]
    #! grad_c = v_out[o]
    # negative samples: sigma(s)
    for n in neg:
        s = v_out[n] @ v_in[c] + b_out[n]
        #! s = v_out[o] @ v_in[c] + b_out[n]
        #! s = -(v_out[n] @ v_in[c] + b_out[n])
        grad_c += sigma(s) * v_out[n]
        #! grad_c -= sigma(s) * v_out[n]
        #! grad_c = sigma(s) * v_out[n]
        #! grad_c += sigma(s) * v_out[o]
        #! grad_c += (sigma(s) - 1) * v_out[n]
        g_out[n] += sigma(s) * v_in[c]
        #! g_out[n] += s * v_in[c]
        #! g_out[n] += sigma(-s) * v_in[c]
        #! g_out[n] += sigma(s) * v_in[c] / K
    np.add.at(g_b, neg, sigma(v_out[neg] @ v_in[c] + b_out[neg]))
    #! g_b[neg] += sigma(v_out[neg] @ v_in[c] + b_out[neg])
    #! np.add.at(g_b, neg, sigma(v_out[neg] @ v_in[c] + b_out[neg]) - 1)
    g_in[c] += grad_c
    #! g_in[c] = grad_c
    #! g_in[o] += grad_c
g_in /= len(pairs)
#! g_in /= V
g_out /= len(pairs)
#! g_out /= len(pairs) * K
g_b /= len(pairs)
#! g_b /= len(tokens)

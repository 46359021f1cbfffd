"""min-char-rnn grown into a GRU by somebody careful about allocations: one sequence, np.outer, dict of lists, out= ufuncs, tuple assignment, globals."""
# %%
import numpy as np

data = "hello yellow jello"
chars = sorted(set(data))
vocab_size = len(chars)
char_to_ix = {ch: i for i, ch in enumerate(chars)}

hidden_size, embed_size = 5, 4
np.random.seed(0)

def mat(*shape): return np.random.randn(*shape) * 0.5

E = mat(vocab_size, embed_size)
Wz, Uz, bz = mat(hidden_size, embed_size), mat(hidden_size, hidden_size), mat(hidden_size)
Wr, Ur, br = mat(hidden_size, embed_size), mat(hidden_size, hidden_size), mat(hidden_size)
Wg, Ug, bg = mat(hidden_size, embed_size), mat(hidden_size, hidden_size), mat(hidden_size)
Why, by = mat(vocab_size, hidden_size), np.zeros(vocab_size)
h0 = mat(hidden_size)
inputs = [char_to_ix[c] for c in data[:7]]
targets = [char_to_ix[c] for c in data[1:8]]

# %%
def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def forward(E, Wz, Uz, bz, Wr, Ur, br, Wg, Ug, bg, Why, by, h0):
    S = {'x': [], 'h': [h0], 'z': [], 'r': [], 'g': [], 'p': []}
    loss = 0
    for ix, target in zip(inputs, targets):
        x, h = E[ix], S['h'][-1]
        z = sigmoid(Wz @ x + Uz @ h + bz)
        r = sigmoid(Wr @ x + Ur @ h + br)
        g = np.tanh(Wg @ x + Ug @ (r * h) + bg)
        h = (1 - z) * h + z * g
        y = Why @ h + by
        p = np.exp(y - y.max())
        p /= p.sum()
        loss += -np.log(p[target])
        for name, value in zip('xhzrgp', (x, h, z, r, g, p)):
            S[name].append(value)
    return loss, S

# %%
def backward(S):
    T = len(inputs)
    dE, dWhy, dby = np.zeros_like(E), np.zeros_like(Why), np.zeros_like(by)
    gates = {'z': [], 'r': [], 'g': []}       # gradients of the pre-activations, last step first
    dUz, dUr, dUg = np.zeros_like(Uz), np.zeros_like(Ur), np.zeros_like(Ug)
    dhnext = np.zeros(hidden_size)
    #! dhnext = np.ones(hidden_size)
    tmp = np.empty(hidden_size)

    dys = []
    for t in range(T):
        dy = S['p'][t].copy()
        dy[targets[t]] -= 1
        #! dy[inputs[t]] -= 1
        #! dy[targets[t]] = -1
        #! dy[targets[t - 1]] -= 1
        dys.append(dy)
        #! dys.append(dy / T)
        #! dys.append(-dy)

    for t in reversed(range(T)):
        x, h, hprev = S['x'][t], S['h'][t + 1], S['h'][t]
        #! x, h, hprev = S['x'][t], S['h'][t], S['h'][t]
        #! x, h, hprev = S['x'][t], S['h'][t + 1], S['h'][t + 1]
        z, r, g = S['z'][t], S['r'][t], S['g'][t]
        #! z, r, g = S['z'][t], S['r'][t - 1], S['g'][t]
        dWhy += np.outer(dys[t], h)
        #! dWhy += np.outer(dys[t], hprev)
        #! dWhy = np.outer(dys[t], h)
        dby += dys[t]
        #! dby += dys[T - 1]
        dh = Why.T @ dys[t] + dhnext
        #! dh = Why.T @ dys[t]
        #! dh = Why.T @ dys[t - 1] + dhnext

        dg, dz = dh * z, dh * (g - hprev)
        #! dg, dz = dh * z, dh * (hprev - g)
        #! dg, dz = dh * z, dh * g
        #! dg, dz = dh * (1 - z), dh * (g - hprev)
        #! dg, dz = dh, dh * (g - hprev)
        dag, daz = np.empty(hidden_size), np.empty(hidden_size)
        np.multiply(dg, 1 - g * g, out=dag)
        #! np.multiply(dg, 1 - g, out=dag)
        #! np.multiply(dg, g * (1 - g), out=dag)
        #! np.multiply(dg, 1 - h * h, out=dag)
        #! np.multiply(dz, 1 - g * g, out=dag)
        np.multiply(z, 1 - z, out=tmp)
        #! np.multiply(z, z, out=tmp)
        #! np.multiply(r, 1 - r, out=tmp)
        #! np.subtract(1, z * z, out=tmp)
        np.multiply(dz, tmp, out=daz)
        #! np.multiply(dg, tmp, out=daz)
        drh = Ug.T @ dag
        #! drh = Ug @ dag
        #! drh = Wg @ (Wg.T @ dag)
        dar = drh * hprev
        #! dar = drh * h
        #! dar = drh.copy()
        dar *= r * (1 - r)
        #! dar *= z * (1 - z)
        #! dar *= r
        #! dar *= 1 - r * r

        for name, da in zip('zrg', (daz, dar, dag)):
        #! for name, da in zip('rzg', (daz, dar, dag)):
            gates[name].append(da)
        dUz += np.outer(daz, hprev)
        #! dUz += np.outer(daz, h)
        #! dUz += np.outer(hprev, daz)
        dUr += np.outer(dar, hprev)
        #! dUr += np.outer(dar, r * hprev)
        dUg += np.outer(dag, r * hprev)
        #! dUg += np.outer(dag, hprev)
        dE[inputs[t]] += Wz.T @ daz + Wr.T @ dar + Wg.T @ dag
        #! dE[inputs[t]] = Wz.T @ daz + Wr.T @ dar + Wg.T @ dag
        #! dE[inputs[t]] += Wz.T @ daz + Wg.T @ dag
        #! dE[inputs[t]] += Wz.T @ daz + Wz.T @ dar + Wg.T @ dag
        #! dE[targets[t]] += Wz.T @ daz + Wr.T @ dar + Wg.T @ dag

        np.multiply(dh, 1 - z, out=dhnext)
        #! np.multiply(dh, z, out=dhnext)
        #! np.multiply(dhnext, 1 - z, out=dhnext)
        np.add(dhnext, drh * r, out=dhnext)
        #! np.add(dhnext, drh, out=dhnext)
        #! np.add(dhnext, drh * z, out=dhnext)
        #! np.add(dh, drh * r, out=dhnext)
        dhnext += Uz.T @ daz
        #! dhnext += Uz @ daz
        #! dhnext += Uz.T @ dz
        dhnext += Ur.T @ dar
        #! dhnext += Ur.T @ daz
        #! dhnext -= Ur.T @ dar

    xs = S['x'][::-1]
    #! xs = S['x']
    dWz, dWr, dWg = (sum(np.outer(da, x) for da, x in zip(gates[k], xs)) for k in 'zrg')
    #! dWz, dWr, dWg = (sum(np.outer(da, x) for da, x in zip(gates[k], xs)) for k in 'rzg')
    #! dWz, dWr, dWg = (sum(np.outer(da, x) for da, x in zip(gates[k], xs)) / T for k in 'zrg')
    dbz, dbr, dbg = (np.sum(gates[k], axis=0) for k in 'zrg')
    #! dbz, dbr, dbg = (np.mean(gates[k], axis=0) for k in 'zrg')
    #! dbz, dbr, dbg = (gates[k][0] for k in 'zrg')
    return dE, dWz, dUz, dbz, dWr, dUr, dbr, dWg, dUg, dbg, dWhy, dby, dhnext

# %% gradcheck -p "(E, Wz, Uz, bz, Wr, Ur, br, Wg, Ug, bg, Why, by, h0)" -c forward
loss, S = forward(E, Wz, Uz, bz, Wr, Ur, br, Wg, Ug, bg, Why, by, h0)
grads = backward(S)

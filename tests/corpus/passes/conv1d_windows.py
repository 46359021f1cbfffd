"""An audio engineer's 1-D convnet: windows by stride tricks forward, loops over the taps backward, max pooling with argmax, global average, two classes; conv1d.py is a module."""
# %% file conv1d.py
import numpy as np
from numpy.lib.stride_tricks import as_strided

def windows(x, width, hop):
    n, c, t = x.shape
    frames = (t - width) // hop + 1
    sn, sc, st = x.strides
    return as_strided(x, (n, c, frames, width), (sn, sc, st * hop, st), writeable=False)

class Conv1d:
    def __init__(self, taps, offset, hop=1, pad=0):
        self.taps, self.offset, self.hop, self.pad = taps, offset, hop, pad

    def __call__(self, x):
        self.padded = np.pad(x, ((0, 0), (0, 0), (self.pad, self.pad)))
        win = windows(self.padded, self.taps.shape[2], self.hop)
        return np.tensordot(win, self.taps, axes=([1, 3], [1, 2])).transpose(0, 2, 1) + self.offset[:, None]

    def grad(self, dy):
        frames = dy.shape[2]
        self.d_taps = np.zeros_like(self.taps)
        self.d_offset = dy.sum(axis=(0, 2))
        #! self.d_offset = dy.sum(axis=0).mean(axis=1)
        d_padded = np.zeros_like(self.padded)
        for k in range(self.taps.shape[2]):
            at = slice(k, k + frames * self.hop, self.hop)
            #! at = slice(k, k + frames)
            #! at = slice(0, frames * self.hop, self.hop)
            self.d_taps[:, :, k] = np.einsum("nft,nct->fc", dy, self.padded[:, :, at])
            #! self.d_taps[:, :, k] = np.einsum("nft,nct->fc", dy, self.padded[:, :, at]) / frames
            #! self.d_taps[:, :, -k - 1] = np.einsum("nft,nct->fc", dy, self.padded[:, :, at])
            d_padded[:, :, at] += np.einsum("nft,fc->nct", dy, self.taps[:, :, k])
            #! d_padded[:, :, at] = np.einsum("nft,fc->nct", dy, self.taps[:, :, k])
            #! d_padded[:, :, at] += np.einsum("nft,fc->nct", dy, self.taps[:, :, -k - 1])
        return d_padded[:, :, self.pad:d_padded.shape[2] - self.pad]
        #! return d_padded[:, :, :d_padded.shape[2] - 2 * self.pad]

class MaxPool1d:
    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        n, c, t = x.shape
        self.shape = x.shape
        blocks = x[:, :, :t // self.size * self.size].reshape(n, c, -1, self.size)
        self.winner = blocks.argmax(axis=3)
        return blocks.max(axis=3)

    def grad(self, dy):
        n, c, frames = dy.shape
        dx = np.zeros(self.shape)
        for i in range(self.size):
            dx[:, :, i:frames * self.size:self.size] = dy * (self.winner == i)
            #! dx[:, :, i:frames * self.size:self.size] = dy / self.size
            #! dx[:, :, i:frames * self.size:self.size] = dy * (self.winner == 0)
        return dx

# %%
import numpy as np
from conv1d import Conv1d, MaxPool1d

rng = np.random.default_rng(441)
clips = rng.normal(size=(5, 2, 19))
is_speech = np.array([1.0, 0.0, 1.0, 1.0, 0.0])

first = Conv1d(rng.normal(size=(4, 2, 3)) * 0.6, rng.normal(size=4) * 0.1, hop=1, pad=1)
pool = MaxPool1d(2)
second = Conv1d(rng.normal(size=(3, 4, 3)) * 0.5, rng.normal(size=3) * 0.1, hop=2, pad=1)
readout = rng.normal(size=3) * 2
weights = [first.taps, first.offset, second.taps, second.offset, readout]

def forward():
    a = np.tanh(second(pool(np.arctan(first(clips)))))
    level = a.mean(axis=2)
    return a, level, level @ readout

def cost_function():
    _, _, z = forward()
    return np.mean(np.logaddexp(0, z) - is_speech * z)

# %% gradcheck -p weights
a, level, z = forward()
dz = (1 / (1 + np.exp(-z)) - is_speech) / len(clips)
d_readout = level.T @ dz
#! d_readout = a.sum(axis=2).T @ dz
d_level = np.outer(dz, readout)
d_a = np.repeat(d_level[:, :, None], a.shape[2], axis=2) / a.shape[2]
#! d_a = np.repeat(d_level[:, :, None], a.shape[2], axis=2)
d_pool = second.grad(d_a * (1 - a ** 2))
#! d_pool = second.grad(d_a * (1 - level[:, :, None] ** 2))
u = first(clips)
d_u = pool.grad(d_pool) / (1 + u ** 2)
#! d_u = pool.grad(d_pool) / (1 + np.arctan(u) ** 2)
first.grad(d_u)
grads = [first.d_taps, first.d_offset, second.d_taps, second.d_offset, d_readout]

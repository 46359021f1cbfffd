"""Fourier layers as objects in a list, with a modReLU, by somebody who keeps what backward needs in self."""
# %%
import numpy as np

rng = np.random.default_rng(2)
def c(*shape): return rng.normal(size=shape) + 1j*rng.normal(size=shape)

X, Y = c(6, 4), c(6, 2)

# %%
class Dense:
    def __init__(self, n, m):
        self.W, self.b = c(n, m), c(m)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.conj().T @ dout
        #! self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        #! self.db = dout.conj().sum(axis=0)
        return dout @ self.W.conj().T
        #! return dout @ self.W.T

class Filter:
    def __init__(self, m):
        self.W = c(m)

    def forward(self, x):
        self.f = np.fft.fft(x)
        return np.fft.ifft(self.f*self.W)

    def backward(self, dout):
        d = np.fft.fft(dout)/dout.shape[-1]
        #! d = np.fft.fft(dout)
        #! d = np.fft.ifft(dout)/dout.shape[-1]
        self.dW = np.sum(d*self.f.conj(), axis=0)
        #! self.dW = np.sum(d*self.f, axis=0)
        #! self.dW = np.sum(d.conj()*self.f, axis=0)
        df = d*self.W.conj()
        #! df = d*self.W
        return np.fft.ifft(df)*dout.shape[-1]
        #! return np.fft.ifft(df)

class ModReLU:
    def __init__(self, m):
        self.b = rng.normal(size=m)

    def forward(self, z):
        self.z, self.r = z, np.abs(z)
        self.open = self.r + self.b > 0
        return np.where(self.open, z*(1 + self.b/self.r), 0)

    def backward(self, dout):
        dout = np.where(self.open, dout, 0)
        u = self.z/self.r
        #! u = self.z
        along = (dout.conj()*u).real
        #! along = (dout*u).real
        self.db = along.sum(axis=0)
        #! self.db = along.sum()*np.ones_like(self.b)
        return dout*(1 + self.b/self.r) - along*self.b/self.r*u
        #! return dout*(1 + self.b/self.r) + along*self.b/self.r*u
        #! return dout*(1 + self.b/self.r)

net = [Dense(4, 6), Filter(6), ModReLU(6), Dense(6, 2)]

def loss():
    a = X
    for layer in net:
        a = layer.forward(a)
    return np.sum(np.abs(a - Y)**2)

# %% gradcheck -p net -c loss
a = X
for layer in net:
    a = layer.forward(a)
d = 2*(a - Y)
#! d = a - Y
#! d = 2*np.abs(a - Y)
for layer in reversed(net):
    d = layer.backward(d)

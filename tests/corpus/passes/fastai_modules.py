"""A follower of the fast.ai course (part 2): Module with __call__, .g on an ndarray subclass, Lin, Relu, Mse with .bwd(inp, out), a Model that walks its layers backwards."""
# %% file minimodule.py
import numpy as np

class T(np.ndarray):
    "An array that can carry its gradient in `.g`"

def tensor(a): return np.array(a, dtype=float).view(T)

class Module():
    def __call__(self, *args):
        self.args = args
        self.out = self.forward(*args)
        return self.out

    def forward(self): raise Exception('not implemented')
    def backward(self): self.bwd(self.out, *self.args)

class Lin(Module):
    def __init__(self, w, b): self.w,self.b = w,b

    def forward(self, inp): return inp@self.w + self.b

    def bwd(self, out, inp):
        inp.g = out.g @ self.w.T
        #! inp.g = out @ self.w.T
        self.w.g = inp.T @ out.g
        #! self.w.g = inp.g.T @ out.g
        #! self.w.g = (inp[:,:,None] * out.g[:,None,:]).mean(0)
        self.b.g = out.g.sum(0)
        #! self.b.g = out.g.mean(0)
        #! self.b.g = out.sum(0)

class Relu(Module):
    def forward(self, inp): return np.clip(inp, 0., None) - 0.5

    def bwd(self, out, inp): inp.g = (inp>0) * out.g
    #! def bwd(self, out, inp): inp.g = (out>0) * out.g
    #! def bwd(self, out, inp): inp.g = (inp>0) * 1.

class Swish(Module):
    def forward(self, inp):
        self.sig = 1/(1+np.exp(-inp))
        return inp*self.sig

    def bwd(self, out, inp):
        d = self.sig + out*(1-self.sig)
        #! d = self.sig + out*(1-out)
        #! d = self.sig + self.sig*(1-self.sig)
        inp.g = d * out.g

class Mse(Module):
    def forward(self, inp, targ): return ((inp.squeeze(-1) - targ)**2).mean()

    def bwd(self, out, inp, targ):
        inp.g = 2*(inp.squeeze(-1) - targ)[:,None] / targ.shape[0]
        #! inp.g = 2*(inp.squeeze(-1) - targ)[:,None]
        #! inp.g = 2*(targ - inp.squeeze(-1))[:,None] / targ.shape[0]

class Model(Module):
    def __init__(self, layers): self.layers,self.loss = layers,Mse()

    def forward(self, x, targ):
        for l in self.layers: x = l(x)
        return self.loss(x, targ)

    def backward(self):
        self.loss.backward()
        for l in reversed(self.layers): l.backward()

# %%
import numpy as np
from minimodule import *

n,m,nh = 12,4,6
rng = np.random.default_rng(34)
x_train = tensor(rng.normal(size=(n,m)))
y_train = tensor(rng.normal(size=n))

w1,b1 = tensor(rng.normal(size=(m,nh)) * np.sqrt(2/m)), tensor(rng.normal(size=nh)*.1)
w2,b2 = tensor(rng.normal(size=(nh,5)) * np.sqrt(2/nh)), tensor(rng.normal(size=5)*.1)
w3,b3 = tensor(rng.normal(size=(5,1)) * np.sqrt(2/5)), tensor([0.2])

model = Model([Lin(w1,b1), Relu(), Lin(w2,b2), Swish(), Lin(w3,b3)])
ws = [w1,b1,w2,b2,w3,b3]

# %% gradcheck -p ws -g "[w.g for w in ws]" -c "lambda: model(x_train, y_train)"
loss = model(x_train, y_train)
model.backward()

# %% [markdown]
# # micrograd and relatives
# my own autograd engines (scalar, then tensors), makemore's "becoming a backprop ninja",
# and min-char-rnn

# %%
import math
import random
import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## 1. The engine

# %%
class Value:
    """ stores a single scalar value and its gradient """

    def __init__(self, data, _children=(), _op='', label=''):
        self.data = data
        self.grad = 0
        # internal variables used for autograd graph construction
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op  # the op that produced this node, for graphviz / debugging / etc
        self.label = label

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')

        def _backward():
            self.grad += out.grad
            other.grad += out.grad
        out._backward = _backward

        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward

        return out

    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only supporting int/float powers for now"
        out = Value(self.data**other, (self,), f'**{other}')

        def _backward():
            self.grad += (other * self.data**(other-1)) * out.grad
        out._backward = _backward

        return out

    def relu(self):
        out = Value(0 if self.data < 0 else self.data, (self,), 'ReLU')

        def _backward():
            self.grad += (out.data > 0) * out.grad
        out._backward = _backward

        return out

    def tanh(self):
        x = self.data
        t = (math.exp(2*x) - 1)/(math.exp(2*x) + 1)
        out = Value(t, (self, ), 'tanh')

        def _backward():
            self.grad += (1 - t**2) * out.grad
        out._backward = _backward

        return out

    def exp(self):
        x = self.data
        out = Value(math.exp(x), (self, ), 'exp')

        def _backward():
            self.grad += out.data * out.grad
        out._backward = _backward

        return out

    def backward(self):

        # topological order all of the children in the graph
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build_topo(child)
                topo.append(v)
        build_topo(self)

        # go one variable at a time and apply the chain rule to get its gradient
        self.grad = 1
        for v in reversed(topo):
            v._backward()

    def __neg__(self): # -self
        return self * -1

    def __radd__(self, other): # other + self
        return self + other

    def __sub__(self, other): # self - other
        return self + (-other)

    def __rsub__(self, other): # other - self
        return other + (-self)

    def __rmul__(self, other): # other * self
        return self * other

    def __truediv__(self, other): # self / other
        return self * other**-1

    def __rtruediv__(self, other): # other / self
        return other * self**-1

    def __repr__(self):
        return f"Value(data={self.data}, grad={self.grad})"

# %%
# inputs x1,x2
x1 = Value(2.0, label='x1')
x2 = Value(0.5, label='x2')
# weights w1,w2
w1 = Value(-3.0, label='w1')
w2 = Value(1.0, label='w2')
# bias of the neuron
b = Value(6.8813735870195432, label='b')

# %% check: mg-neuron
# bug: replace: self.grad += (1 - t**2) * out.grad -> self.grad += (1 - x**2) * out.grad
%%gradcheck -p x1,x2,w1,w2,b -c o
# x1*w1 + x2*w2 + b
x1w1 = x1*w1; x1w1.label = 'x1*w1'
x2w2 = x2*w2; x2w2.label = 'x2*w2'
x1w1x2w2 = x1w1 + x2w2; x1w1x2w2.label = 'x1*w1 + x2*w2'
n = x1w1x2w2 + b; n.label = 'n'
o = n.tanh(); o.label = 'o'
o.backward()

# %% [markdown]
# the example of the README, as a function

# %%
def readme(a, b):
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g = g + 10.0 / f
    return g


a = Value(-4.0)
b = Value(2.0)

# %% check: mg-readme
# bug: replace: self.grad += (other * self.data**(other-1)) * out.grad -> self.grad += other * self.data * out.grad
%%gradcheck -p a,b -c readme
g = readme(a, b)
g.backward()

# %% [markdown]
# ## 2. Neuron, Layer, MLP

# %%
class Module:

    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0

    def parameters(self):
        return []


class Neuron(Module):

    def __init__(self, nin, nonlin=True):
        self.w = [Value(random.uniform(-1,1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi*xi for wi,xi in zip(self.w, x)), self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return self.w + [self.b]

    def __repr__(self):
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):

    def __init__(self, nin, nout, **kwargs):
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x):
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        return [p for n in self.neurons for p in n.parameters()]

    def __repr__(self):
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):

    def __init__(self, nin, nouts):
        sz = [nin] + nouts
        self.layers = [Layer(sz[i], sz[i+1], nonlin=i!=len(nouts)-1) for i in range(len(nouts))]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self):
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"

# %%
np.random.seed(1337)
random.seed(1337)

# make up a dataset (two moons by hand)
t = np.linspace(0, np.pi, 6)
X = np.vstack([np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)]]) + 0.1 * np.random.randn(12, 2)
y = np.array([0] * 6 + [1] * 6)
y = y*2 - 1 # make y be -1 or 1

# initialize a model
model = MLP(2, [4, 3, 1]) # 2-layer neural network
print(model)
print("number of parameters", len(model.parameters()))

# loss function
def loss(batch_size=None):

    # inline DataLoader :)
    if batch_size is None:
        Xb, yb = X, y
    else:
        ri = np.random.permutation(X.shape[0])[:batch_size]
        Xb, yb = X[ri], y[ri]
    inputs = [list(map(Value, xrow)) for xrow in Xb]

    # forward the model to get scores
    scores = list(map(model, inputs))

    # svm "max-margin" loss
    losses = [(1 + -yi*scorei).relu() for yi, scorei in zip(yb, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    # L2 regularization
    alpha = 1e-4
    reg_loss = alpha * sum((p*p for p in model.parameters()))
    total_loss = data_loss + reg_loss

    # also get accuracy
    accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(yb, scores)]
    return total_loss, sum(accuracy) / len(accuracy)

total_loss, acc = loss()
print(total_loss, acc)

# %% check: mg-moons
# bug: replace: self.grad += (out.data > 0) * out.grad -> self.grad += (out.grad > 0) * out.grad
%%gradcheck -p model.parameters() -c loss
total_loss, acc = loss()

# backward
model.zero_grad()
total_loss.backward()

# %% [markdown]
# the lecture's four examples

# %%
random.seed(7)
xs = [
  [2.0, 3.0, -1.0],
  [3.0, -1.0, 0.5],
  [0.5, 1.0, 1.0],
  [1.0, 1.0, -1.0],
]
ys = [1.0, -1.0, -1.0, 1.0] # desired targets


class TanhNeuron(Neuron):
    def __call__(self, x):
        # w * x + b
        act = sum((wi*xi for wi, xi in zip(self.w, x)), self.b)
        return act.tanh()


class TanhLayer(Layer):
    def __init__(self, nin, nout):
        self.neurons = [TanhNeuron(nin) for _ in range(nout)]


n = MLP(3, [])
n.layers = [TanhLayer(3, 4), TanhLayer(4, 4), TanhLayer(4, 1)]
print(len(n.parameters()))

# %% check: mg-lecture-mlp
# bug: replace: other.grad += self.data * out.grad -> other.grad = self.data * out.grad
%%gradcheck -p n.parameters() -c loss
# forward pass
ypred = [n(x) for x in xs]
loss = sum((yout - ygt)**2 for ygt, yout in zip(ys, ypred))

# backward pass
for p in n.parameters():
    p.grad = 0.0
loss.backward()

# %% [markdown]
# ## 3. The same with arrays: `Tensor`

# %%
def unbroadcast(grad, shape):
    """ sum a gradient down to the shape the tensor had before broadcasting """
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for i, s in enumerate(shape):
        if s == 1:
            grad = grad.sum(axis=i, keepdims=True)
    return grad


class Tensor:

    def __init__(self, data, _children=(), requires_grad=False):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self.requires_grad = requires_grad
        self._prev = _children
        self._backward = lambda: None

    @property
    def shape(self):
        return self.data.shape

    def __add__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        out = Tensor(self.data + other.data, (self, other))
        def _backward():
            self.grad += unbroadcast(out.grad, self.shape)
            other.grad += unbroadcast(out.grad, other.shape)
        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        out = Tensor(self.data * other.data, (self, other))
        def _backward():
            self.grad += unbroadcast(other.data * out.grad, self.shape)
            other.grad += unbroadcast(self.data * out.grad, other.shape)
        out._backward = _backward
        return out

    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))
        def _backward():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad
        out._backward = _backward
        return out

    def __sub__(self, other):
        return self + (other * -1 if isinstance(other, Tensor) else -np.asarray(other))

    def tanh(self):
        t = np.tanh(self.data)
        out = Tensor(t, (self,))
        def _backward():
            self.grad += (1 - t * t) * out.grad
        out._backward = _backward
        return out

    def mean(self):
        out = Tensor(self.data.mean(), (self,))
        def _backward():
            self.grad += np.ones_like(self.data) * out.grad / self.data.size
        out._backward = _backward
        return out

    def log_softmax(self):
        z = self.data - self.data.max(axis=1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        out = Tensor(logp, (self,))
        def _backward():
            self.grad += out.grad - np.exp(logp) * out.grad.sum(axis=1, keepdims=True)
        out._backward = _backward
        return out

    def nll(self, targets):
        n = self.data.shape[0]
        out = Tensor(-self.data[np.arange(n), targets].mean(), (self,))
        def _backward():
            g = np.zeros_like(self.data)
            g[np.arange(n), targets] = -1.0 / n
            self.grad += g * out.grad
        out._backward = _backward
        return out

    def backward(self):
        topo, visited = [], set()
        def build(v):
            if id(v) not in visited:
                visited.add(id(v))
                for c in v._prev:
                    build(c)
                topo.append(v)
        build(self)
        self.grad = np.ones_like(self.data)
        for v in reversed(topo):
            v._backward()

    def __repr__(self):
        return f"Tensor(shape={self.shape})"


class Linear:
    def __init__(self, nin, nout, rng):
        self.weight = Tensor(rng.standard_normal((nin, nout)) / np.sqrt(nin), requires_grad=True)
        self.bias = Tensor(np.zeros(nout), requires_grad=True)

    def __call__(self, x):
        return x @ self.weight + self.bias

    def parameters(self):
        return [self.weight, self.bias]


class TensorMLP:
    def __init__(self, sizes, rng):
        self.layers = [Linear(a, b, rng) for a, b in zip(sizes, sizes[1:])]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = layer(x).tanh()
        return self.layers[-1](x)

    def parameters(self):
        return [p for l in self.layers for p in l.parameters()]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

# %%
rng = np.random.default_rng(42)
net = TensorMLP([4, 8, 3], rng)
Xtr = rng.standard_normal((10, 4))
Ytr = rng.integers(0, 3, size=10)


def compute_loss():
    return net(Tensor(Xtr)).log_softmax().nll(Ytr)


for step in range(5):
    net.zero_grad()
    L = compute_loss()
    L.backward()
    for p in net.parameters():
        p.data -= 0.1 * p.grad
print(L.data)

# %% check: mg-tensor-mlp
# bug: replace: self.grad += out.grad - np.exp(logp) * out.grad.sum(axis=1, keepdims=True) -> self.grad += out.grad - np.exp(logp) * out.grad
%%gradcheck -p net -c compute_loss
net.zero_grad()
L = compute_loss()
L.backward()

# %% [markdown]
# a regression with two leaf tensors

# %%
rng = np.random.default_rng(3)
xb = Tensor(rng.standard_normal((12, 3)))
yb = rng.standard_normal((12, 1))
W = Tensor(rng.standard_normal((3, 1)), requires_grad=True)
bias = Tensor(np.zeros((1, 1)), requires_grad=True)


def mse(W, bias):
    err = xb @ W + bias - yb
    return (err * err).mean()

# %% check: mg-tensor-regression
# bug: replace: grad = grad.sum(axis=i, keepdims=True) -> grad = grad.mean(axis=i, keepdims=True)
%%gradcheck -p [W,bias] -g [W.grad,bias.grad] -c mse
mse(W, bias).backward()

# %% [markdown]
# ## 4. makemore part 4: becoming a backprop ninja

# %%
# utility function we will use later when comparing manual gradients to PyTorch gradients
def cmp(s, dt, t):
    ex = torch.all(dt == t.grad).item()
    app = torch.allclose(dt, t.grad)
    maxdiff = (dt - t.grad).abs().max().item()
    print(f'{s:15s} | exact: {str(ex):5s} | approximate: {str(app):5s} | maxdiff: {maxdiff}')

# %%
words = ['emma', 'olivia', 'ava', 'isabella', 'sophia', 'mia']
chars = sorted(list(set(''.join(words))))
stoi = {s: i+1 for i, s in enumerate(chars)}
stoi['.'] = 0
itos = {i: s for s, i in stoi.items()}
vocab_size = len(itos)

block_size = 3 # context length: how many characters do we take to predict the next one?
xx, yy = [], []
for word in words:
    context = [0] * block_size
    for ch in word + '.':
        ix = stoi[ch]
        xx.append(context)
        yy.append(ix)
        context = context[1:] + [ix] # crop and append
Xtr = torch.tensor(xx)
Ytr = torch.tensor(yy)

n_embd = 2 # the dimensionality of the character embedding vectors
n_hidden = 5 # the number of neurons in the hidden layer of the MLP

torch.manual_seed(42)
g = torch.Generator().manual_seed(2147483647) # for reproducibility
C  = torch.randn((vocab_size, n_embd),            generator=g)
# Layer 1
W1 = torch.randn((n_embd * block_size, n_hidden), generator=g) * (5/3)/((n_embd * block_size)**0.5)
b1 = torch.randn(n_hidden,                        generator=g) * 0.1 # using b1 just for fun, it's useless because of BN
# Layer 2
W2 = torch.randn((n_hidden, vocab_size),          generator=g) * 0.1
b2 = torch.randn(vocab_size,                      generator=g) * 0.1
# BatchNorm parameters
bngain = torch.randn((1, n_hidden))*0.1 + 1.0
bnbias = torch.randn((1, n_hidden))*0.1

# Note: I am initializating many of these parameters in non-standard ways
# because sometimes initializating with e.g. all zeros could mask an incorrect
# implementation of the backward pass.

parameters = [C, W1, b1, W2, b2, bngain, bnbias]
print(sum(p.nelement() for p in parameters)) # number of parameters in total
for p in parameters:
    p.requires_grad = True

# %%
batch_size = 8
n = batch_size # a shorter variable also, for convenience
# construct a minibatch
ix = torch.randint(0, Xtr.shape[0], (batch_size,), generator=g)
Xb, Yb = Xtr[ix], Ytr[ix] # batch X,Y


# the backward pass of exercise 1, all in one place
def backprop(emb, embcat, bndiff, bnvar_inv, bndiff2, bnraw, hpreact, h, logits, norm_logits, counts,
             counts_sum_inv, probs, counts_sum, bnvar, logit_maxes):
    dlogprobs = torch.zeros_like(logits)
    dlogprobs[range(n), Yb] = -1.0/n
    dprobs = (1.0 / probs) * dlogprobs
    dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)
    dcounts = counts_sum_inv * dprobs
    dcounts_sum = (-counts_sum**-2) * dcounts_sum_inv
    dcounts += torch.ones_like(counts) * dcounts_sum
    dnorm_logits = counts * dcounts
    dlogits = dnorm_logits.clone()
    dlogit_maxes = (-dnorm_logits).sum(1, keepdim=True)
    dlogits += F.one_hot(logits.max(1).indices, num_classes=logits.shape[1]) * dlogit_maxes
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dhpreact = (1.0 - h**2) * dh
    dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
    dbnraw = bngain * dhpreact
    dbnbias = dhpreact.sum(0, keepdim=True)
    dbndiff = bnvar_inv * dbnraw
    dbnvar_inv = (bndiff * dbnraw).sum(0, keepdim=True)
    dbnvar = (-0.5*(bnvar + 1e-5)**-1.5) * dbnvar_inv
    dbndiff2 = (1.0/(n-1))*torch.ones_like(bndiff2) * dbnvar
    dbndiff += (2*bndiff) * dbndiff2
    dhprebn = dbndiff.clone()
    dbnmeani = (-dbndiff).sum(0)
    dhprebn += 1.0/n * (torch.ones_like(dbndiff) * dbnmeani)
    dembcat = dhprebn @ W1.T
    dW1 = embcat.T @ dhprebn
    db1 = dhprebn.sum(0)
    demb = dembcat.view(emb.shape)
    dC = torch.zeros_like(C)
    for k in range(Xb.shape[0]):
        for j in range(Xb.shape[1]):
            dC[Xb[k, j]] += demb[k, j]
    return dC, dW1, db1, dW2, db2, dbngain, dbnbias

# %% check: mg-makemore-ex1
# bug: replace: dcounts += torch.ones_like(counts) * dcounts_sum -> dcounts = dcounts
%%gradcheck -p parameters -c loss
# forward pass, "chunkated" into smaller steps that are possible to backward one at a time
emb = C[Xb] # embed the characters into vectors
embcat = emb.view(emb.shape[0], -1) # concatenate the vectors
# Linear layer 1
hprebn = embcat @ W1 + b1 # hidden layer pre-activation
# BatchNorm layer
bnmeani = 1/n*hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bndiff2 = bndiff**2
bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True) # note: Bessel's correction (dividing by n-1, not n)
bnvar_inv = (bnvar + 1e-5)**-0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
# Non-linearity
h = torch.tanh(hpreact) # hidden layer
# Linear layer 2
logits = h @ W2 + b2 # output layer
# cross entropy loss (same as F.cross_entropy(logits, Yb))
logit_maxes = logits.max(1, keepdim=True).values
norm_logits = logits - logit_maxes # subtract max for numerical stability
counts = norm_logits.exp()
counts_sum = counts.sum(1, keepdims=True)
counts_sum_inv = counts_sum**-1
probs = counts * counts_sum_inv
logprobs = probs.log()
loss = -logprobs[range(n), Yb].mean()

# backward pass
with torch.no_grad():
    grads = backprop(emb, embcat, bndiff, bnvar_inv, bndiff2, bnraw, hpreact, h, logits, norm_logits, counts,
                     counts_sum_inv, probs, counts_sum, bnvar, logit_maxes)

# %% [markdown]
# ### Exercise 2: backprop through cross_entropy but all in one go

# %%
with torch.no_grad():
    logits = torch.tanh(torch.randn((n, n_hidden), generator=g)) @ W2 + b2


def dcross_entropy(logits, Yb):
    dlogits = F.softmax(logits, 1)
    dlogits[range(n), Yb] -= 1
    dlogits /= n
    return dlogits


lg = logits.clone().requires_grad_()
F.cross_entropy(lg, Yb).backward()
cmp('logits', dcross_entropy(logits, Yb), lg)

# %% check: mg-makemore-ex2
# bug: replace: dlogits[range(n), Yb] -= 1 -> dlogits[:, Yb] -= 1
%%gradcheck -p logits -g dlogits -c "F.cross_entropy(logits, Yb)"
dlogits = dcross_entropy(logits, Yb)

# %% [markdown]
# ### Exercise 3: backprop through batchnorm but all in one go (in NumPy this time)

# %%
rng = np.random.default_rng(2147483647)
hprebn = rng.standard_normal((8, 4)) * 2 + 1
bngain = 1 + 0.1 * rng.standard_normal((1, 4))
bnbias = 0.1 * rng.standard_normal((1, 4))
dhpreact = rng.standard_normal((8, 4))


def bn(hprebn, bngain, bnbias):
    return bngain * (hprebn - hprebn.mean(0, keepdims=True)) / np.sqrt(hprebn.var(0, keepdims=True, ddof=1) + 1e-5) + bnbias

# the long line of the lecture
def bn_back(dhpreact, hprebn, bngain):
    n = hprebn.shape[0]
    bnvar_inv = (hprebn.var(0, keepdims=True, ddof=1) + 1e-5)**-0.5
    bnraw = (hprebn - hprebn.mean(0, keepdims=True)) * bnvar_inv
    return bngain*bnvar_inv/n * (n*dhpreact - dhpreact.sum(0) - n/(n-1)*bnraw*(dhpreact*bnraw).sum(0))

# %% check: mg-makemore-ex3
# bug: replace: n/(n-1)*bnraw*(dhpreact*bnraw).sum(0) -> bnraw*(dhpreact*bnraw).sum(0)
%%gradcheck -p hprebn -g dhprebn -c bn --upstream dhpreact
dhprebn = bn_back(dhpreact, hprebn, bngain)

# %% [markdown]
# ### Exercise 4: everything again, in NumPy, step by step in the cell

# %%
rng = np.random.default_rng(10)
Xb = np.array(xx)[:10]
Yb = np.array(yy)[:10]
n = len(Yb)
C = rng.standard_normal((vocab_size, 2))
W1 = rng.standard_normal((6, 5)) * 0.5
b1 = rng.standard_normal(5) * 0.1
W2 = rng.standard_normal((5, vocab_size)) * 0.3
b2 = rng.standard_normal(vocab_size) * 0.1


def tanh_back(dh, h):
    return (1.0 - h**2) * dh


def embed_back(demb, Xb, C):
    dC = np.zeros_like(C)
    for k in range(Xb.shape[0]):
        for j in range(Xb.shape[1]):
            dC[Xb[k,j]] += demb[k,j]
    return dC

# %% check: mg-makemore-numpy
# bug: replace: dC[Xb[k,j]] += demb[k,j] -> dC[Xb[k,j]] = demb[k,j]
%%gradcheck -p [C,W1,b1,W2,b2] -g [dC,dW1,db1,dW2,db2] -c loss
# forward
emb = C[Xb]
embcat = emb.reshape(n, -1)
hpreact = embcat @ W1 + b1
h = np.tanh(hpreact)
logits = h @ W2 + b2
counts = np.exp(logits - logits.max(1, keepdims=True))
probs = counts / counts.sum(1, keepdims=True)
loss = -np.log(probs[np.arange(n), Yb]).mean()
# backward
dlogits = probs.copy()
dlogits[np.arange(n), Yb] -= 1
dlogits /= n
dh = dlogits @ W2.T
dW2 = h.T @ dlogits
db2 = dlogits.sum(0)
dhpreact = tanh_back(dh, h)
dembcat = dhpreact @ W1.T
dW1 = embcat.T @ dhpreact
db1 = dhpreact.sum(0)
demb = dembcat.reshape(emb.shape)
dC = embed_back(demb, Xb, C)

# %% [markdown]
# ## 5. min-char-rnn

# %%
data = 'hello helo\nhole'
chars = sorted(set(data))
data_size, vocab_size = len(data), len(chars)
print('data has %d characters, %d unique.' % (data_size, vocab_size))
char_to_ix = { ch:i for i,ch in enumerate(chars) }
ix_to_char = { i:ch for i,ch in enumerate(chars) }

# hyperparameters
hidden_size = 8 # size of hidden layer of neurons
seq_length = 5 # number of steps to unroll the RNN for
learning_rate = 1e-1

# model parameters
np.random.seed(0)
Wxh = np.random.randn(hidden_size, vocab_size)*0.1 # input to hidden
Whh = np.random.randn(hidden_size, hidden_size)*0.1 # hidden to hidden
Why = np.random.randn(vocab_size, hidden_size)*0.1 # hidden to output
bh = np.zeros((hidden_size, 1)) # hidden bias
by = np.zeros((vocab_size, 1)) # output bias

def lossFun(inputs, targets, hprev):
  """
  inputs,targets are both list of integers.
  hprev is Hx1 array of initial hidden state
  returns the loss, gradients on model parameters, and last hidden state
  """
  xs, hs, ys, ps = {}, {}, {}, {}
  hs[-1] = np.copy(hprev)
  loss = 0
  # forward pass
  for t in range(len(inputs)):
    xs[t] = np.zeros((vocab_size,1)) # encode in 1-of-k representation
    xs[t][inputs[t]] = 1
    hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t-1]) + bh) # hidden state
    ys[t] = np.dot(Why, hs[t]) + by # unnormalized log probabilities for next chars
    ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t])) # probabilities for next chars
    loss += -np.log(ps[t][targets[t],0]) # softmax (cross-entropy loss)
  # backward pass: compute gradients going backwards
  dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
  dbh, dby = np.zeros_like(bh), np.zeros_like(by)
  dhnext = np.zeros_like(hs[0])
  for t in reversed(range(len(inputs))):
    dy = np.copy(ps[t])
    dy[targets[t]] -= 1 # backprop into y. see http://cs231n.github.io/neural-networks-case-study/#grad if confused here
    dWhy += np.dot(dy, hs[t].T)
    dby += dy
    dh = np.dot(Why.T, dy) + dhnext # backprop into h
    dhraw = (1 - hs[t] * hs[t]) * dh # backprop through tanh nonlinearity
    dbh += dhraw
    dWxh += np.dot(dhraw, xs[t].T)
    dWhh += np.dot(dhraw, hs[t-1].T)
    dhnext = np.dot(Whh.T, dhraw)
  for dparam in [dWxh, dWhh, dWhy, dbh, dby]:
    np.clip(dparam, -5, 5, out=dparam) # clip to mitigate exploding gradients
  return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs)-1]

# %%
p = 0
hprev = np.random.randn(hidden_size, 1) * 0.5 # RNN memory somewhere in the middle of the text
inputs = [char_to_ix[ch] for ch in data[p:p+seq_length]]
targets = [char_to_ix[ch] for ch in data[p+1:p+seq_length+1]]

# %% check: mg-min-char-rnn
# bug: replace: dhnext = np.dot(Whh.T, dhraw) -> dhnext = np.dot(Whh, dhraw)
%%gradcheck -p Wxh,Whh,Why,bh,by -g dWxh,dWhh,dWhy,dbh,dby -c lossFun
# forward seq_length characters through the net and fetch gradient
loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)

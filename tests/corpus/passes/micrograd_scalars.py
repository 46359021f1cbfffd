"""micrograd typed along with Karpathy's video: scalar Value objects, a 2-3-1 MLP, four samples, hinge loss; the check gathers floats from the parameter objects."""
# %%
import math
import random

import numpy as np

class Value:

    def __init__(self, data, _children=(), _op='', label=''):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op
        self.label = label

    def __repr__(self):
        return f"Value(data={self.data})"

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')

        def _backward():
            self.grad += 1.0 * out.grad
            #! self.grad = 1.0 * out.grad
            #! self.grad += 1.0
            other.grad += 1.0 * out.grad
            #! other.grad -= 1.0 * out.grad
            #! other.grad += self.data * out.grad
        out._backward = _backward

        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')

        def _backward():
            self.grad += other.data * out.grad
            #! self.grad += self.data * out.grad
            #! self.grad = other.data * out.grad
            #! self.grad += other.data
            other.grad += self.data * out.grad
            #! other.grad += other.data * out.grad
            #! other.grad = self.data * out.grad
            #! other.grad += out.data * out.grad
        out._backward = _backward

        return out

    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only supporting int/float powers for now"
        out = Value(self.data**other, (self,), f'**{other}')

        def _backward():
            self.grad += other * (self.data ** (other - 1)) * out.grad
            #! self.grad += other * (self.data ** other) * out.grad
            #! self.grad += (self.data ** (other - 1)) * out.grad
            #! self.grad += other * self.data ** other - 1 * out.grad
        out._backward = _backward

        return out

    def tanh(self):
        x = self.data
        t = (math.exp(2*x) - 1)/(math.exp(2*x) + 1)
        out = Value(t, (self, ), 'tanh')

        def _backward():
            self.grad += (1 - t**2) * out.grad
            #! self.grad += (1 - x**2) * out.grad
            #! self.grad += (1 - t) * out.grad
            #! self.grad += (1 - math.tanh(t)**2) * out.grad
        out._backward = _backward

        return out

    def exp(self):
        x = self.data
        out = Value(math.exp(x), (self, ), 'exp')

        def _backward():
            self.grad += out.data * out.grad
            #! self.grad += x * out.grad
            #! self.grad += out.grad
            #! self.grad += math.exp(out.data) * out.grad
        out._backward = _backward

        return out

    def relu(self):
        out = Value(0 if self.data < 0 else self.data, (self,), 'ReLU')

        def _backward():
            self.grad += (out.data > 0) * out.grad
            #! self.grad += out.grad
            #! self.grad += (out.grad > 0) * out.grad
            #! self.grad += out.data * out.grad
        out._backward = _backward

        return out

    def backward(self):
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build_topo(child)
                topo.append(v)
        build_topo(self)

        self.grad = 1.0
        #! self.grad = self.data
        #! self.grad = -1.0
        for node in reversed(topo):
        #! for node in topo:
        #! for node in topo[-2::-1]:
            node._backward()

    def __neg__(self): # -self
        return self * -1

    def __radd__(self, other): # other + self
        return self + other

    def __sub__(self, other): # self - other
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other): # other * self
        return self * other

    def __truediv__(self, other): # self / other
        return self * other**-1

# %%
class Neuron:

    def __init__(self, nin, nonlin):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(random.uniform(-1, 1))
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi*xi for wi, xi in zip(self.w, x)), self.b)
        return act.tanh() if self.nonlin else act

    def parameters(self):
        return self.w + [self.b]

class Layer:

    def __init__(self, nin, nout, nonlin=True):
        self.neurons = [Neuron(nin, nonlin) for _ in range(nout)]

    def __call__(self, x):
        outs = [n(x) for n in self.neurons]
        return outs[0] if len(outs) == 1 else outs

    def parameters(self):
        return [p for neuron in self.neurons for p in neuron.parameters()]

class MLP:

    def __init__(self, nin, nouts):
        sz = [nin] + nouts
        self.layers = [Layer(sz[i], sz[i+1], nonlin=i != len(nouts)-1) for i in range(len(nouts))]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]

# %%
random.seed(1337)
xs = [
    [2.0, 3.0],
    [3.0, -1.0],
    [0.5, 1.0],
    [1.0, -1.5],
]
ys = [1.0, -1.0, -1.0, 1.0] # desired targets

def loss_of(model):
    scores = [model(x) for x in xs]
    # svm "max-margin" loss, and a bit of a Brier score to try out exp
    margin = sum((1 + -yi*si).relu() for yi, si in zip(ys, scores)) * (1.0 / len(xs))
    probs = [(1 + (-si).exp())**-1 for si in scores]
    brier = sum((p - (yi + 1) / 2)**2 for p, yi in zip(probs, ys))
    reg = 0.01 * sum((p*p for p in model.parameters()))
    return margin + brier + reg

def cost_function(theta):
    model = MLP(2, [3, 1])
    for p, t in zip(model.parameters(), theta):
        p.data = float(t)
    return loss_of(model).data

n = MLP(2, [3, 1])
loss_of(n)

# %% gradcheck -p "np.array([p.data for p in n.parameters()])" -g "np.array([p.grad for p in n.parameters()])"
for p in n.parameters():
    p.grad = 0.0
loss = loss_of(n)
loss.backward()

"""A reader of Michael Nielsen's book: column vectors, self.weights and self.biases lists, delta notation, cross-entropy or quadratic cost classes, per-sample accumulation of nabla_w with zip."""
# %% file network2.py
"""network2.py, rewritten after http://neuralnetworksanddeeplearning.com/chap3.html"""
import random

import numpy as np


class QuadraticCost(object):

    @staticmethod
    def fn(a, y):
        return 0.5*np.linalg.norm(a-y)**2

    @staticmethod
    def delta(z, a, y):
        """Return the error delta from the output layer."""
        return (a-y) * sigmoid_prime(z)
        #! return (a-y)
        #! return (a-y) * sigmoid_prime(a)
        #! return (y-a) * sigmoid_prime(z)
        #! return 2*(a-y) * sigmoid_prime(z)


class Network(object):

    def __init__(self, sizes, cost=QuadraticCost, seed=0):
        rng = np.random.RandomState(seed)
        self.num_layers = len(sizes)
        self.sizes = sizes
        self.biases = [rng.randn(y, 1) for y in sizes[1:]]
        self.weights = [rng.randn(y, x)/np.sqrt(x) for x, y in zip(sizes[:-1], sizes[1:])]
        self.cost = cost

    def feedforward(self, a):
        """Return the output of the network if ``a`` is input."""
        for b, w in zip(self.biases, self.weights):
            a = sigmoid(np.dot(w, a)+b)
        return a

    def gradient(self, mini_batch, lmbda, n):
        """``(nabla_b, nabla_w)`` for the cost of the mini batch, of n
        training examples in all, layer by layer like ``self.biases`` and ``self.weights``."""
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        #! nabla_b = [np.ones(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        #! nabla_w = [w.copy() for w in self.weights]
        for x, y in mini_batch:
            delta_nabla_b, delta_nabla_w = self.backprop(x, y)
            nabla_b = [nb+dnb for nb, dnb in zip(nabla_b, delta_nabla_b)]
            #! nabla_b = [dnb for nb, dnb in zip(nabla_b, delta_nabla_b)]
            nabla_w = [nw+dnw for nw, dnw in zip(nabla_w, delta_nabla_w)]
            #! nabla_w = [nw-dnw for nw, dnw in zip(nabla_w, delta_nabla_w)]
        m = len(mini_batch)
        #! m = 1
        #! m = n
        nabla_b = [nb/m for nb in nabla_b]
        #! nabla_b = [nb for nb in nabla_b]
        nabla_w = [nw/m + lmbda/n*w for nw, w in zip(nabla_w, self.weights)]
        #! nabla_w = [nw/m for nw, w in zip(nabla_w, self.weights)]
        #! nabla_w = [nw/m + lmbda/m*w for nw, w in zip(nabla_w, self.weights)]
        #! nabla_w = [nw/m + lmbda//n*w for nw, w in zip(nabla_w, self.weights)]
        #! nabla_w = [nw/m - lmbda/n*w for nw, w in zip(nabla_w, self.weights)]
        return nabla_b, nabla_w

    def backprop(self, x, y):
        """Return a tuple ``(nabla_b, nabla_w)`` representing the
        gradient for the cost function C_x."""
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        # feedforward
        activation = x
        activations = [x]  # list to store all the activations, layer by layer
        zs = []  # list to store all the z vectors, layer by layer
        for b, w in zip(self.biases, self.weights):
            z = np.dot(w, activation)+b
            zs.append(z)
            activation = sigmoid(z)
            activations.append(activation)
        # backward pass
        delta = self.cost.delta(zs[-1], activations[-1], y)
        #! delta = self.cost.delta(activations[-1], activations[-1], y)
        #! delta = self.cost.delta(zs[-2], activations[-1], y)
        nabla_b[-1] = delta
        #! nabla_b[-1] = delta * sigmoid_prime(zs[-1])
        nabla_w[-1] = np.dot(delta, activations[-2].transpose())
        #! nabla_w[-1] = np.dot(delta, activations[-1].transpose())
        #! nabla_w[-1] = np.dot(delta, zs[-2].transpose())
        #! nabla_w[-1] = np.dot(activations[-2], delta.transpose())
        # l = 1 means the last layer of neurons, l = 2 is the second-last layer, and so on.
        for l in range(2, self.num_layers):
            z = zs[-l]
            #! z = zs[-l+1]
            #! z = activations[-l]
            sp = sigmoid_prime(z)
            #! sp = sigmoid(z)
            delta = np.dot(self.weights[-l+1].transpose(), delta) * sp
            #! delta = np.dot(self.weights[-l].transpose(), delta) * sp
            #! delta = np.dot(self.weights[-l+1], delta) * sp
            #! delta = np.dot(self.weights[-l+1].transpose(), delta)
            #! delta = np.dot(self.weights[-l+1].transpose(), nabla_b[-1]) * sp
            nabla_b[-l] = delta
            #! nabla_b[-l] = delta.mean() * np.ones(delta.shape)
            #! nabla_b[-l] += sp
            nabla_w[-l] = np.dot(delta, activations[-l-1].transpose())
            #! nabla_w[-l] = np.dot(delta, activations[-l].transpose())
            #! nabla_w[-l] = np.dot(activations[-l-1], delta.transpose())
        return (nabla_b, nabla_w)

    def total_cost(self, data, lmbda, n):
        cost = 0.0
        for x, y in data:
            a = self.feedforward(x)
            cost += self.cost.fn(a, y)/len(data)
        cost += 0.5*(lmbda/n)*sum(np.linalg.norm(w)**2 for w in self.weights)
        return cost


#### Miscellaneous functions
def sigmoid(z):
    """The sigmoid function."""
    return 1.0/(1.0+np.exp(-z))

def sigmoid_prime(z):
    """Derivative of the sigmoid function."""
    return sigmoid(z)*(1-sigmoid(z))
    #! return z*(1-z)
    #! return sigmoid(z)*(1-z)
    #! return sigmoid(z)*(1+sigmoid(z))

# %%
import numpy as np

import network2

np.random.seed(12345)

def vectorized_result(j):
    e = np.zeros((4, 1))
    e[j] = 1.0
    return e

training_data = [(np.random.rand(4, 1), vectorized_result(np.random.randint(4))) for _ in range(12)]
net = network2.Network([4, 4, 4, 4], seed=7)
mini_batch = training_data[:5]
net.total_cost(mini_batch, 5, 12)

# %% gradcheck -p "[net.biases, net.weights]" -g "[nabla_b, nabla_w]" -c "lambda: net.total_cost(mini_batch, lmbda, 12)"
lmbda = 5
nabla_b, nabla_w = net.gradient(mini_batch, lmbda, len(training_data))

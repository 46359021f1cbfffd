"""A self-taught programmer after a well-known video: a list of layer objects that keep self.input, one column vector at a time, gradients added up over the samples."""
# %%
import numpy as np

# %%
class Layer:
    def __init__(self):
        self.input = None
        self.output = None

    def forward(self, input):
        # TODO: return output
        pass

    def backward(self, output_gradient):
        # TODO: update parameters and return input gradient
        pass


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size) * 0.6
        self.bias = np.random.randn(output_size, 1) * 0.3
        self.zero_grad()

    def zero_grad(self):
        self.weights_gradient = np.zeros_like(self.weights)
        #! self.weights_gradient = np.ones_like(self.weights)
        self.bias_gradient = np.zeros_like(self.bias)

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient):
        self.weights_gradient += np.dot(output_gradient, self.input.T)
        #! self.weights_gradient = np.dot(output_gradient, self.input.T)
        #! self.weights_gradient += np.dot(output_gradient, np.ones_like(self.input).T)
        #! self.weights_gradient -= np.dot(output_gradient, self.input.T)
        self.bias_gradient += output_gradient
        #! self.bias_gradient = output_gradient
        #! self.bias_gradient += output_gradient.sum()
        #! self.bias_gradient += output_gradient.mean(axis=0, keepdims=True)
        return np.dot(self.weights.T, output_gradient)
        #! return np.dot(self.weights_gradient.T, output_gradient)
        #! return -np.dot(self.weights.T, output_gradient)
        #! return np.dot(self.weights.T, output_gradient) * self.input
        #! return np.dot(self.weights.T, output_gradient + self.bias)


class Activation(Layer):
    def __init__(self, activation, activation_prime):
        self.activation = activation
        self.activation_prime = activation_prime

    def forward(self, input):
        self.input = input
        return self.activation(self.input)

    def backward(self, output_gradient):
        return np.multiply(output_gradient, self.activation_prime(self.input))
        #! return np.multiply(output_gradient, self.activation_prime(output_gradient))
        #! return np.multiply(output_gradient, self.activation(self.input))
        #! return np.multiply(output_gradient, self.activation_prime(self.activation(self.input)))
        #! return self.activation_prime(self.input)
        #! return output_gradient


class Tanh(Activation):
    def __init__(self):
        def tanh(x):
            return np.tanh(x)

        def tanh_prime(x):
            return 1 - np.tanh(x) ** 2
            #! return 1 - np.tanh(x)
            #! return 1 - x ** 2
            #! return 1 - np.tanh(x ** 2)
            #! return np.tanh(x) ** 2

        super().__init__(tanh, tanh_prime)


class Sigmoid(Activation):
    def __init__(self):
        def sigmoid(x):
            return 1 / (1 + np.exp(-x))

        def sigmoid_prime(x):
            s = sigmoid(x)
            #! s = np.exp(-x)
            #! s = x
            return s * (1 - s)
            #! return s * (1 - x)
            #! return s * (s - 1)
            #! return 1 - s

        super().__init__(sigmoid, sigmoid_prime)


class MSE:
    def forward(self, y_true, y_pred):
        self.y_true, self.y_pred = y_true, y_pred
        return np.mean(np.power(y_true - y_pred, 2))

    def backward(self):
        return 2 * (self.y_pred - self.y_true) / np.size(self.y_true)
        #! return 2 * (self.y_true - self.y_pred) / np.size(self.y_true)
        #! return (self.y_pred - self.y_true) / np.size(self.y_true)
        #! return 2 * (self.y_pred - self.y_true)
        #! return 2 * (self.y_pred - self.y_true) / len(X)
        #! return np.abs(self.y_pred - self.y_true) / np.size(self.y_true)

# %%
np.random.seed(5)
X = np.random.randn(9, 3, 1)
Y = np.random.rand(9, 2, 1)

network = [
    Dense(3, 6),
    Tanh(),
    Dense(6, 5),
    Sigmoid(),
    Dense(5, 4),
    Tanh(),
    Dense(4, 2),
    Sigmoid(),
]
mse = MSE()


def predict(network, input):
    output = input
    for layer in network:
        output = layer.forward(output)
    return output


def error():
    return sum(mse.forward(y, predict(network, x)) for x, y in zip(X, Y)) / len(X)


def dense_layers():
    return [layer for layer in network if isinstance(layer, Dense)]

# %% gradcheck -p "[[l.weights, l.bias] for l in dense_layers()]" -g "[[l.weights_gradient, l.bias_gradient] for l in dense_layers()]" -c "lambda: error()"
for layer in dense_layers():
    layer.zero_grad()

for x, y in zip(X, Y):
    # forward
    output = predict(network, x)
    #! output = predict(network, X[0])
    mse.forward(y, output)
    #! mse.forward(Y[0], output)

    # backward
    grad = mse.backward() / len(X)
    #! grad = mse.backward()
    #! grad = mse.backward() / len(x)
    for layer in reversed(network):
    #! for layer in reversed(network[1:]):
    #! for layer in network[:3:-1]:
        grad = layer.backward(grad)
        #! grad = layer.backward(grad) if layer is not network[3] else grad
        #! grad = layer.backward(grad / len(X))
        #! grad = np.abs(layer.backward(grad))

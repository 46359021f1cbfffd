# %% [markdown]
# # Backward passes by hand, around PyTorch and without it
# `torch.autograd.Function`s, an LLTM cell, modules with their own `backward`, lists of layer
# objects, "neural networks from scratch" layers, dataclass / namedtuple parameters

# %%
import math
from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function

torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## 1. LinearFunction, from "Extending PyTorch"

# %%
# Inherit from Function
class LinearFunction(Function):

    # Note that forward, setup_context, and backward are @staticmethods
    @staticmethod
    def forward(ctx, input, weight, bias=None):
        ctx.save_for_backward(input, weight, bias)
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    # This function has only a single output, so it gets only one gradient
    @staticmethod
    def backward(ctx, grad_output):
        # This is a pattern that is very convenient - at the top of backward
        # unpack saved_tensors and initialize all gradients w.r.t. inputs to
        # None. Thanks to the fact that additional trailing Nones are
        # ignored, the return statement is simple even when the function has
        # optional inputs.
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None

        # These needs_input_grad checks are optional and there only to
        # improve efficiency.
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)

        return grad_input, grad_weight, grad_bias


linear = LinearFunction.apply

# %%
torch.manual_seed(0)
input = torch.randn(6, 5, requires_grad=True)
weight = torch.randn(3, 5, requires_grad=True)
bias = torch.randn(3, requires_grad=True)
grad_output = torch.randn(6, 3)

# %% check: pt-linear-function
# bug: replace: grad_input = grad_output.mm(weight) -> grad_input = grad_output.mm(weight) / weight.shape[0]
%%gradcheck -p input,weight,bias -c linear --upstream grad_output
grads = torch.autograd.grad(linear(input, weight, bias), (input, weight, bias), grad_output)

# %% [markdown]
# the module around it

# %%
class Linear(nn.Module):
    def __init__(self, input_features, output_features, bias=True):
        super().__init__()
        self.input_features = input_features
        self.output_features = output_features

        # nn.Parameter is a special kind of Tensor, that will get
        # automatically registered as Module's parameter once it's assigned
        # as an attribute.
        self.weight = nn.Parameter(torch.empty(output_features, input_features))
        if bias:
            self.bias = nn.Parameter(torch.empty(output_features))
        else:
            # You should always register all possible parameters, but the
            # optional ones can be None if you want.
            self.register_parameter('bias', None)

        # Not a very smart way to initialize weights
        nn.init.uniform_(self.weight, -0.5, 0.5)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -0.5, 0.5)

    def forward(self, input):
        # See the autograd section for explanation of what happens here.
        return LinearFunction.apply(input, self.weight, self.bias)

    def extra_repr(self):
        return f'input_features={self.input_features}, output_features={self.output_features}, bias={self.bias is not None}'

# %%
torch.manual_seed(1)
model = nn.Sequential(Linear(4, 6), nn.Tanh(), Linear(6, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(8, 4)
y = torch.randint(0, 3, (8,))

# %% check: pt-linear-module
# bug: replace: grad_bias = grad_output.sum(0) -> grad_bias = grad_output.mean(0)
%%gradcheck -p model -c "lambda: criterion(model(x), y)"
optimizer.zero_grad()
loss = criterion(model(x), y)
loss.backward()

# %% [markdown]
# the same thing with a closure, as for LBFGS

# %%
class Swish(Function):
    @staticmethod
    def forward(ctx, i):
        result = i * torch.sigmoid(i)
        ctx.save_for_backward(i)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        i, = ctx.saved_tensors
        sigmoid_i = torch.sigmoid(i)
        return grad_output * (sigmoid_i * (1 + i * (1 - sigmoid_i)))


class MemoryEfficientSwish(nn.Module):
    def forward(self, x):
        return Swish.apply(x)


torch.manual_seed(2)
net = nn.Sequential(nn.Linear(3, 8), MemoryEfficientSwish(), nn.Linear(8, 1))
X = torch.randn(10, 3)
Y = torch.sin(X.sum(1, keepdim=True))
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=3)


def closure():
    optimizer.zero_grad()
    loss = F.mse_loss(net(X), Y)
    loss.backward()
    return loss


optimizer.step(closure)

# %% check: pt-swish-closure
# bug: replace: (sigmoid_i * (1 + i * (1 - sigmoid_i))) -> (sigmoid_i * (1 + i * sigmoid_i))
%%gradcheck -p net -c closure
loss = closure()

# %% [markdown]
# ## 2. LLTM, from "Custom C++ and CUDA Extensions" (the C++ written back in Python)

# %%
def d_sigmoid(z):
    s = torch.sigmoid(z)
    return (1 - s) * s


def d_tanh(z):
    t = torch.tanh(z)
    return 1 - (t * t)


def d_elu(z, alpha=1.0):
    e = z.exp()
    mask = (alpha * (e - 1)) < 0
    return (z > 0).type_as(z) + mask.type_as(z) * (alpha * e)


class LLTMFunction(Function):
    @staticmethod
    def forward(ctx, input, weights, bias, old_h, old_cell):
        X = torch.cat([old_h, input], dim=1)

        gate_weights = F.linear(X, weights, bias)
        gates = gate_weights.chunk(3, dim=1)

        input_gate = torch.sigmoid(gates[0])
        output_gate = torch.sigmoid(gates[1])
        candidate_cell = F.elu(gates[2])

        new_cell = old_cell + candidate_cell * input_gate
        new_h = torch.tanh(new_cell) * output_gate
        ctx.save_for_backward(X, weights, input_gate, output_gate, old_cell, new_cell, candidate_cell, gate_weights)

        return new_h, new_cell

    @staticmethod
    def backward(ctx, grad_h, grad_cell):
        X, weights, input_gate, output_gate, old_cell, new_cell, candidate_cell, gate_weights = ctx.saved_tensors
        grad_input = grad_weights = grad_bias = grad_old_h = grad_old_cell = None

        d_output_gate = torch.tanh(new_cell) * grad_h
        d_tanh_new_cell = output_gate * grad_h
        d_new_cell = d_tanh(new_cell) * d_tanh_new_cell + grad_cell

        d_old_cell = d_new_cell
        d_candidate_cell = input_gate * d_new_cell
        d_input_gate = candidate_cell * d_new_cell

        gates = gate_weights.chunk(3, dim=1)
        d_input_gate = d_input_gate * d_sigmoid(gates[0])
        d_output_gate = d_output_gate * d_sigmoid(gates[1])
        d_candidate_cell = d_candidate_cell * d_elu(gates[2])

        d_gates = torch.cat([d_input_gate, d_output_gate, d_candidate_cell], dim=1)

        grad_weights = d_gates.t().mm(X)
        grad_bias = d_gates.sum(dim=0)

        d_X = d_gates.mm(weights)
        state_size = grad_h.shape[1]
        grad_old_h, grad_input = d_X[:, :state_size], d_X[:, state_size:]

        return grad_input, grad_weights, grad_bias, grad_old_h, d_old_cell


class LLTM(nn.Module):
    def __init__(self, input_features, state_size):
        super().__init__()
        self.input_features = input_features
        self.state_size = state_size
        self.weights = nn.Parameter(torch.empty(3 * state_size, input_features + state_size))
        self.bias = nn.Parameter(torch.empty(3 * state_size))
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.state_size)
        for weight in self.parameters():
            weight.data.uniform_(-stdv, +stdv)

    def forward(self, input, state):
        return LLTMFunction.apply(input, self.weights, self.bias, *state)

# %%
batch_size = 3
input_features = 4
state_size = 5

torch.manual_seed(3)
X = torch.randn(batch_size, input_features)
h = torch.randn(batch_size, state_size)
C = torch.randn(batch_size, state_size)

rnn = LLTM(input_features, state_size)

# %% check: pt-lltm
# bug: replace: d_new_cell = d_tanh(new_cell) * d_tanh_new_cell + grad_cell -> d_new_cell = d_tanh(new_cell) * d_tanh_new_cell
%%gradcheck -p rnn -c loss
rnn.zero_grad()
new_h, new_C = rnn(X, (h, C))
loss = new_h.sum() + new_C.sum()
loss.backward()

# %% [markdown]
# ## 3. A sparse embedding

# %%
class BagMean(Function):
    """ mean over the words of a sentence, padding (index 0) left out """

    @staticmethod
    def forward(ctx, emb, lengths, mask):
        ctx.save_for_backward(lengths, mask)
        return (emb * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(-1)

    @staticmethod
    def backward(ctx, grad_output):
        lengths, mask = ctx.saved_tensors
        g = grad_output / lengths.unsqueeze(-1)
        return g.unsqueeze(1) * mask.unsqueeze(-1), None, None


class SentenceClassifier(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, sparse=True)
        self.fc = nn.Linear(embed_dim, num_class)

    def forward(self, text):
        mask = (text != 0).double()
        lengths = mask.sum(1)
        return self.fc(BagMean.apply(self.embedding(text), lengths, mask))

# %%
torch.manual_seed(4)
model = SentenceClassifier(10, 4, 2)
text = torch.tensor([[1, 2, 3, 0], [4, 2, 0, 0], [5, 6, 7, 8], [2, 2, 9, 0]])
label = torch.tensor([0, 1, 1, 0])
criterion = nn.CrossEntropyLoss()


def compute_loss():
    predicted_label = model(text)
    return criterion(predicted_label, label)

# %% check: pt-sparse-embedding
# bug: replace: g = grad_output / lengths.unsqueeze(-1) -> g = grad_output / mask.shape[1]
%%gradcheck -p model -c compute_loss
model.zero_grad()
loss = compute_loss()
loss.backward()

# %% [markdown]
# ## 4. Modules with a `backward` of their own

# %%
class ManualLinear(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / math.sqrt(n_in), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(n_out), requires_grad=False)
        self.weight_grad = None
        self.bias_grad = None

    def forward(self, x):
        self.x = x
        return x @ self.weight.T + self.bias

    def backward(self, grad_out):
        self.weight_grad = grad_out.T @ self.x
        self.bias_grad = grad_out.sum(0)
        return grad_out @ self.weight


class ManualReLU(nn.Module):
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad_out):
        return grad_out * self.mask


class ManualMSE(nn.Module):
    def forward(self, pred, target):
        self.diff = pred - target
        return (self.diff ** 2).mean()

    def backward(self):
        return 2 * self.diff / self.diff.numel()


class ManualMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = ManualLinear(4, 7)
        self.act = ManualReLU()
        self.fc2 = ManualLinear(7, 2)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))

    def backward(self, grad_out):
        return self.fc1.backward(self.act.backward(self.fc2.backward(grad_out)))

# %%
torch.manual_seed(5)
mlp = ManualMLP()
mse = ManualMSE()
x = torch.randn(9, 4)
t = torch.randn(9, 2)

# %% check: pt-manual-modules
# bug: replace: return 2 * self.diff / self.diff.numel() -> return 2 * self.diff / self.diff.shape[0]
%%gradcheck -p mlp -c loss
loss = mse(mlp(x), t)
mlp.backward(mse.backward())

# %% [markdown]
# one layer only, the names of the gradients given

# %%
torch.manual_seed(6)
layer = ManualLinear(3, 2)
x = torch.randn(5, 3)
dy = torch.randn(5, 2)

# %% check: pt-manual-layer
# bug: replace: self.weight_grad = grad_out.T @ self.x -> self.weight_grad = grad_out.T @ self.x / self.x.shape[0]
%%gradcheck -p layer.weight,layer.bias -g layer.weight_grad,layer.bias_grad -c layer --upstream dy
layer(x)
layer.backward(dy)

# %% [markdown]
# ## 5. A list of layers, NumPy

# %%
class Dense:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out) * np.sqrt(2.0 / n_in)
        self.b = np.zeros((1, n_out))
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class SoftmaxCrossEntropy:
    def forward(self, scores, t):
        self.t = t
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return -np.mean(np.sum(t * np.log(self.y), axis=1))

    def backward(self):
        return (self.y - self.t) / len(self.t)


class Network:
    def __init__(self, layers, loss_layer):
        self.layers = layers
        self.loss_layer = loss_layer

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.loss_layer.forward(self.predict(x), t)

    def backward(self):
        dout = self.loss_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

# %%
np.random.seed(7)
network = Network([Dense(4, 6), Sigmoid(), Dense(6, 3)], SoftmaxCrossEntropy())
x_batch = np.random.randn(10, 4)
t_batch = np.eye(3)[np.random.randint(0, 3, 10)]

# %% check: pt-network-layers
# bug: replace: return dout * self.out * (1 - self.out) -> return dout * self.out * (1 - dout)
%%gradcheck -p network.layers -c network.loss
loss = network.loss(x_batch, t_batch)
network.backward()

# %%
# a plain list, no Network class around it
np.random.seed(8)
layers = [Dense(3, 5), Sigmoid(), Dense(5, 4), Sigmoid(), Dense(4, 1)]
X = np.random.randn(8, 3)
y = np.random.randn(8, 1)


def forward(X):
    out = X
    for layer in layers:
        out = layer.forward(out)
    return out


def loss_fn(out, y):
    return 0.5 * np.mean((out - y) ** 2)


def backward(out, y):
    d = (out - y) / len(y)
    for layer in layers[::-1]:
        d = layer.backward(d)

# %% check: pt-layer-list
# bug: replace: self.db = dout.sum(axis=0, keepdims=True) -> self.db = dout.mean(axis=0, keepdims=True)
%%gradcheck -p "[(l.W, l.b) for l in layers if hasattr(l, 'W')]" -g "[(l.dW, l.db) for l in layers if hasattr(l, 'W')]" -c loss_fn
out = forward(X)
backward(out, y)

# %% [markdown]
# ## 6. Neural networks from scratch

# %%
# Dense layer
class Layer_Dense:

    # Layer initialization
    def __init__(self, n_inputs, n_neurons,
                 weight_regularizer_l1=0, weight_regularizer_l2=0,
                 bias_regularizer_l1=0, bias_regularizer_l2=0):
        # Initialize weights and biases
        self.weights = 0.5 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))
        # Set regularization strength
        self.weight_regularizer_l1 = weight_regularizer_l1
        self.weight_regularizer_l2 = weight_regularizer_l2
        self.bias_regularizer_l1 = bias_regularizer_l1
        self.bias_regularizer_l2 = bias_regularizer_l2

    # Forward pass
    def forward(self, inputs):
        # Remember input values
        self.inputs = inputs
        # Calculate output values from inputs, weights and biases
        self.output = np.dot(inputs, self.weights) + self.biases

    # Backward pass
    def backward(self, dvalues):
        # Gradients on parameters
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)

        # Gradients on regularization
        # L1 on weights
        if self.weight_regularizer_l1 > 0:
            dL1 = np.ones_like(self.weights)
            dL1[self.weights < 0] = -1
            self.dweights += self.weight_regularizer_l1 * dL1
        # L2 on weights
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights
        # L2 on biases
        if self.bias_regularizer_l2 > 0:
            self.dbiases += 2 * self.bias_regularizer_l2 * self.biases

        # Gradient on values
        self.dinputs = np.dot(dvalues, self.weights.T)


# ReLU activation
class Activation_ReLU:

    # Forward pass
    def forward(self, inputs):
        # Remember input values
        self.inputs = inputs
        # Calculate output values from inputs
        self.output = np.maximum(0, inputs)

    # Backward pass
    def backward(self, dvalues):
        # Since we need to modify original variable,
        # let's make a copy of values first
        self.dinputs = dvalues.copy()

        # Zero gradient where input values were negative
        self.dinputs[self.inputs <= 0] = 0


# Softmax activation
class Activation_Softmax:

    # Forward pass
    def forward(self, inputs):
        # Get unnormalized probabilities
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        # Normalize them for each sample
        probabilities = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        self.output = probabilities


# Common loss class
class Loss:

    # Regularization loss calculation
    def regularization_loss(self, layer):
        # 0 by default
        regularization_loss = 0

        # L1 regularization - weights
        # calculate only when factor greater than 0
        if layer.weight_regularizer_l1 > 0:
            regularization_loss += layer.weight_regularizer_l1 * np.sum(np.abs(layer.weights))
        # L2 regularization - weights
        if layer.weight_regularizer_l2 > 0:
            regularization_loss += layer.weight_regularizer_l2 * np.sum(layer.weights * layer.weights)
        # L2 regularization - biases
        if layer.bias_regularizer_l2 > 0:
            regularization_loss += layer.bias_regularizer_l2 * np.sum(layer.biases * layer.biases)

        return regularization_loss

    # Calculates the data and regularization losses
    # given model output and ground truth values
    def calculate(self, output, y):
        # Calculate sample losses
        sample_losses = self.forward(output, y)
        # Calculate mean loss
        data_loss = np.mean(sample_losses)
        # Return loss
        return data_loss


# Cross-entropy loss
class Loss_CategoricalCrossentropy(Loss):

    # Forward pass
    def forward(self, y_pred, y_true):
        # Number of samples in a batch
        samples = len(y_pred)
        # Clip data to prevent division by 0
        # Clip both sides to not drag mean towards any value
        y_pred_clipped = np.clip(y_pred, 1e-7, 1 - 1e-7)

        # Probabilities for target values -
        # only if categorical labels
        if len(y_true.shape) == 1:
            correct_confidences = y_pred_clipped[range(samples), y_true]
        # Mask values - only for one-hot encoded labels
        elif len(y_true.shape) == 2:
            correct_confidences = np.sum(y_pred_clipped * y_true, axis=1)

        # Losses
        negative_log_likelihoods = -np.log(correct_confidences)
        return negative_log_likelihoods


# Softmax classifier - combined Softmax activation
# and cross-entropy loss for faster backward step
class Activation_Softmax_Loss_CategoricalCrossentropy():

    # Creates activation and loss function objects
    def __init__(self):
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    # Forward pass
    def forward(self, inputs, y_true):
        # Output layer's activation function
        self.activation.forward(inputs)
        # Set the output
        self.output = self.activation.output
        # Calculate and return loss value
        return self.loss.calculate(self.output, y_true)

    # Backward pass
    def backward(self, dvalues, y_true):
        # Number of samples
        samples = len(dvalues)

        # If labels are one-hot encoded, turn them into discrete values
        if len(y_true.shape) == 2:
            y_true = np.argmax(y_true, axis=1)

        # Copy so we can safely modify
        self.dinputs = dvalues.copy()
        # Calculate gradient
        self.dinputs[range(samples), y_true] -= 1
        # Normalize gradient
        self.dinputs = self.dinputs / samples

# %%
# Create dataset (a small spiral)
def spiral_data(samples, classes):
    X = np.zeros((samples * classes, 2))
    y = np.zeros(samples * classes, dtype='uint8')
    for class_number in range(classes):
        ix = range(samples * class_number, samples * (class_number + 1))
        r = np.linspace(0.1, 1, samples)
        t = np.linspace(class_number * 4, (class_number + 1) * 4, samples) + np.random.randn(samples) * 0.2
        X[ix] = np.c_[r * np.sin(t * 2.5), r * np.cos(t * 2.5)]
        y[ix] = class_number
    return X, y


np.random.seed(0)
X, y = spiral_data(samples=6, classes=3)

# Create Dense layer with 2 input features and 8 output values
dense1 = Layer_Dense(2, 8)

# Create ReLU activation (to be used with Dense layer):
activation1 = Activation_ReLU()

# Create second Dense layer with 8 input features (as we take output
# of previous layer here) and 3 output values (output values)
dense2 = Layer_Dense(8, 3)

# Create Softmax classifier's combined loss and activation
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()

# %% check: pt-nnfs
# bug: replace: self.dinputs[self.inputs <= 0] = 0 -> self.dinputs[dvalues <= 0] = 0
%%gradcheck -p dense1.weights,dense1.biases,dense2.weights,dense2.biases -g dense1.dweights,dense1.dbiases,dense2.dweights,dense2.dbiases -c loss
# Perform a forward pass of our training data through this layer
dense1.forward(X)

# Perform a forward pass through activation function
# takes the output of first dense layer here
activation1.forward(dense1.output)

# Perform a forward pass through second Dense layer
# takes outputs of activation function of first layer as inputs
dense2.forward(activation1.output)

# Perform a forward pass through the activation/loss function
# takes the output of second dense layer here and returns loss
loss = loss_activation.forward(dense2.output, y)

# Backward pass
loss_activation.backward(loss_activation.output, y)
dense2.backward(loss_activation.dinputs)
activation1.backward(dense2.dinputs)
dense1.backward(activation1.dinputs)

# %%
# with regularization (chapter 14)
np.random.seed(1)
dense1 = Layer_Dense(2, 7, weight_regularizer_l2=5e-2, bias_regularizer_l2=5e-2)
dense1.biases = np.random.randn(1, 7) * 0.3
dense2 = Layer_Dense(7, 3)

# %% check: pt-nnfs-reg
# bug: replace: self.dbiases += 2 * self.bias_regularizer_l2 * self.biases -> self.dbiases += 2 * self.bias_regularizer_l2 * np.sum(self.biases)
%%gradcheck -p dense1,dense2 -c loss
dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
data_loss = loss_activation.forward(dense2.output, y)

# Calculate regularization penalty
regularization_loss = \
    loss_activation.loss.regularization_loss(dense1) + \
    loss_activation.loss.regularization_loss(dense2)

# Calculate overall loss
loss = data_loss + regularization_loss

loss_activation.backward(loss_activation.output, y)
dense2.backward(loss_activation.dinputs)
activation1.backward(dense2.dinputs)
dense1.backward(activation1.dinputs)

# %%
# the inputs of a layer alone
np.random.seed(2)
logits = np.random.randn(5, 4)
targets = np.array([0, 3, 1, 1, 2])
softmax_loss = Activation_Softmax_Loss_CategoricalCrossentropy()

# %% check: pt-nnfs-dinputs
# bug: replace: self.dinputs = self.dinputs / samples -> self.dinputs = self.dinputs / (samples * 2)
%%gradcheck -p logits -g softmax_loss.dinputs -c softmax_loss.forward
softmax_loss.forward(logits, targets)
softmax_loss.backward(softmax_loss.output, targets)

# %% [markdown]
# ## 7. Parameters in a dataclass

# %%
@dataclass
class Params:
    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray


def init_params(n_in, n_hidden, n_out, seed=0):
    rng = np.random.default_rng(seed)
    return Params(W1=rng.normal(0, 1 / np.sqrt(n_in), (n_in, n_hidden)),
                  b1=np.zeros(n_hidden),
                  W2=rng.normal(0, 1 / np.sqrt(n_hidden), (n_hidden, n_out)),
                  b2=np.zeros(n_out))


def forward_pass(p: Params, x):
    h = np.tanh(x @ p.W1 + p.b1)
    return h, h @ p.W2 + p.b2


def mse_loss(p: Params, x, y):
    _, out = forward_pass(p, x)
    return np.mean((out - y) ** 2)


def gradients(p: Params, x, y) -> Params:
    h, out = forward_pass(p, x)
    dout = 2 * (out - y) / out.size
    dz = (dout @ p.W2.T) * (1 - h ** 2)
    return Params(W1=x.T @ dz, b1=dz.sum(axis=0), W2=h.T @ dout, b2=dout.sum(axis=0))

# %%
rng = np.random.default_rng(9)
params = init_params(3, 6, 2)
x = rng.normal(size=(11, 3))
y = rng.normal(size=(11, 2))

# %% check: pt-dataclass
# bug: replace: dz = (dout @ p.W2.T) * (1 - h ** 2) -> dz = dout @ p.W2.T
%%gradcheck -c mse_loss
grads = gradients(params, x, y)

# %% [markdown]
# ## 8. ... and in a namedtuple (with a recurrent cell, torch tensors)

# %%
GRUParams = namedtuple('GRUParams', ['Wz', 'Wr', 'Wh', 'bz', 'br', 'bh'])


def init_gru(n_x, n_h):
    shape = (n_x + n_h, n_h)
    mk = lambda *s: torch.randn(*s) * 0.4
    return GRUParams(mk(*shape), mk(*shape), mk(*shape), torch.zeros(n_h), torch.zeros(n_h), torch.zeros(n_h))


def gru_step(params, x, h):
    xh = torch.cat([x, h], 1)
    z = torch.sigmoid(xh @ params.Wz + params.bz)
    r = torch.sigmoid(xh @ params.Wr + params.br)
    xrh = torch.cat([x, r * h], 1)
    hh = torch.tanh(xrh @ params.Wh + params.bh)
    new_h = (1 - z) * h + z * hh
    return new_h, (x, h, xh, xrh, z, r, hh)


def gru_step_backward(params, dnew_h, cache):
    x, h, xh, xrh, z, r, hh = cache
    n_x = x.shape[1]
    dz = dnew_h * (hh - h)
    dhh = dnew_h * z
    dh = dnew_h * (1 - z)
    da_h = dhh * (1 - hh ** 2)
    dxrh = da_h @ params.Wh.T
    dr = dxrh[:, n_x:] * h
    dh = dh + dxrh[:, n_x:] * r
    da_z = dz * z * (1 - z)
    da_r = dr * r * (1 - r)
    dxh = da_z @ params.Wz.T + da_r @ params.Wr.T
    dh = dh + dxh[:, n_x:]
    step_grads = GRUParams(xh.T @ da_z, xh.T @ da_r, xrh.T @ da_h, da_z.sum(0), da_r.sum(0), da_h.sum(0))
    return dh, step_grads


def cost_function(params, xs, h0, target):
    h = h0
    for x in xs:
        h, _ = gru_step(params, x, h)
    return 0.5 * ((h - target) ** 2).sum()


def bptt(params, xs, h0, target):
    h, caches = h0, []
    for x in xs:
        h, cache = gru_step(params, x, h)
        caches.append(cache)
    grads = GRUParams(*[torch.zeros_like(p) for p in params])
    dh = h - target
    for cache in reversed(caches):
        dh, step_grads = gru_step_backward(params, dh, cache)
        grads = GRUParams(*[g + s for g, s in zip(grads, step_grads)])
    return grads

# %%
torch.manual_seed(10)
xs = torch.randn(4, 2, 3)       # 4 steps, batch of 2
h0 = torch.randn(2, 5)
target = torch.randn(2, 5)
params = init_gru(3, 5)

# %% check: pt-namedtuple-gru
# bug: replace: dh = dh + dxrh[:, n_x:] * r -> dh = dh + dxrh[:, n_x:]
%%gradcheck
grads = bptt(params, xs, h0, target)

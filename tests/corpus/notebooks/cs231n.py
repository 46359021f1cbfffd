# %% [markdown]
# # CS231n assignments
# Multiclass SVM, Softmax, two-layer net (A1); fully connected nets, batch / layer norm,
# dropout, conv (A2); RNN captioning layers (A3).

# %%
import numpy as np


def rel_error(x, y):
    """ returns relative error """
    return np.max(np.abs(x - y) / (np.maximum(1e-8, np.abs(x) + np.abs(y))))

# %% [markdown]
# ## A1 - Multiclass Support Vector Machine exercise

# %%
# cs231n/classifiers/linear_svm.py
def svm_loss_naive(W, X, y, reg):
    """
    Structured SVM loss function, naive implementation (with loops).

    Inputs have dimension D, there are C classes, and we operate on minibatches
    of N examples.

    Inputs:
    - W: A numpy array of shape (D, C) containing weights.
    - X: A numpy array of shape (N, D) containing a minibatch of data.
    - y: A numpy array of shape (N,) containing training labels; y[i] = c means
      that X[i] has label c, where 0 <= c < C.
    - reg: (float) regularization strength

    Returns a tuple of:
    - loss as single float
    - gradient with respect to weights W; an array of same shape as W
    """
    dW = np.zeros(W.shape)  # initialize the gradient as zero

    # compute the loss and the gradient
    num_classes = W.shape[1]
    num_train = X.shape[0]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        correct_class_score = scores[y[i]]
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - correct_class_score + 1  # note delta = 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]

    # Right now the loss is a sum over all training examples, but we want it
    # to be an average instead so we divide by num_train.
    loss /= num_train
    dW /= num_train

    # Add regularization to the loss.
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W

    return loss, dW


def svm_loss_vectorized(W, X, y, reg):
    """
    Structured SVM loss function, vectorized implementation.

    Inputs and outputs are the same as svm_loss_naive.
    """
    loss = 0.0
    dW = np.zeros(W.shape)  # initialize the gradient as zero

    num_train = X.shape[0]
    scores = X.dot(W)
    correct_class_scores = scores[np.arange(num_train), y].reshape(num_train, 1)
    margins = np.maximum(0, scores - correct_class_scores + 1)
    margins[np.arange(num_train), y] = 0
    loss = np.sum(margins) / num_train
    loss += reg * np.sum(W * W)

    mask = np.zeros(margins.shape)
    mask[margins > 0] = 1
    mask[np.arange(num_train), y] = -np.sum(mask, axis=1)
    dW = X.T.dot(mask) / num_train
    dW += 2 * reg * W

    return loss, dW

# %%
np.random.seed(231)
X_dev = np.random.randn(12, 6) * 3
X_dev = np.hstack([X_dev, np.ones((X_dev.shape[0], 1))])   # bias dimension
y_dev = np.random.randint(4, size=12)

# generate a random SVM weight matrix of small numbers
W = np.random.randn(7, 4) * 0.1

loss, grad = svm_loss_naive(W, X_dev, y_dev, 0.000005)
print('loss: %f' % (loss, ))

# %% check: cs-svm-naive
# bug: replace: dW[:, y[i]] -= X[i] -> dW[:, y[i]] -= X[i] / num_classes
%%gradcheck -p W -g grad -c svm_loss_naive
# do the gradient check once again with regularization turned on
loss, grad = svm_loss_naive(W, X_dev, y_dev, 5e1)

# %% [markdown]
# and the vectorized one

# %%
loss_naive, grad_naive = svm_loss_naive(W, X_dev, y_dev, 0.000005)
loss_vectorized, _ = svm_loss_vectorized(W, X_dev, y_dev, 0.000005)
print('difference: %f' % (loss_naive - loss_vectorized))

# %% check: cs-svm-vectorized
# bug: replace: mask[np.arange(num_train), y] = -np.sum(mask, axis=1) -> mask[np.arange(num_train), y] = -1
%%gradcheck -p W -g grad_vectorized -c svm_loss_vectorized
_, grad_vectorized = svm_loss_vectorized(W, X_dev, y_dev, 0.000005)

# %% [markdown]
# ## A1 - Softmax exercise

# %%
# cs231n/classifiers/softmax.py
def softmax_loss_naive(W, X, y, reg):
    loss = 0.0
    dW = np.zeros_like(W)

    num_train = X.shape[0]
    num_classes = W.shape[1]
    for i in range(num_train):
        scores = X[i].dot(W)
        scores -= np.max(scores)  # numeric stability
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
        for k in range(num_classes):
            dW[:, k] += (p[k] - (k == y[i])) * X[i]

    loss /= num_train
    dW /= num_train
    loss += reg * np.sum(W * W)
    dW += reg * 2 * W

    return loss, dW


def softmax_loss_vectorized(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    scores -= np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores)
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.mean(np.log(probs[np.arange(num_train), y])) + reg * np.sum(W * W)

    dscores = probs
    dscores[np.arange(num_train), y] -= 1
    dW = X.T.dot(dscores / num_train) + 2 * reg * W
    return loss, dW

# %%
# Generate a random softmax weight matrix and use it to compute the loss.
W = np.random.randn(7, 4) * 0.0001
loss, grad = softmax_loss_naive(W, X_dev, y_dev, 0.0)

# As a rough sanity check, our loss should be something close to -log(1/4).
print('loss: %f' % loss)
print('sanity check: %f' % (-np.log(1 / 4)))

# the notebook's numeric check goes through f
f = lambda w: softmax_loss_naive(w, X_dev, y_dev, 0.0)[0]

# %% check: cs-softmax-naive-f
# bug: replace: (p[k] - (k == y[i])) * X[i] -> (p[k] + (k == y[i])) * X[i]
%%gradcheck -p W -g grad -c f
loss, grad = softmax_loss_naive(W, X_dev, y_dev, 0.0)

# %%
reg = 1e-1
W = 0.1 * np.random.randn(7, 4)

# %% check: cs-softmax-vectorized
# bug: replace: dscores[np.arange(num_train), y] -= 1 -> dscores[:, y] -= 1
%%gradcheck -p W -g grad -c softmax_loss_vectorized
loss, grad = softmax_loss_vectorized(W, X_dev, y_dev, reg)

# %% [markdown]
# ## A1 - Implementing a Neural Network

# %%
# cs231n/classifiers/neural_net.py
class TwoLayerNet(object):
    """
    A two-layer fully-connected neural network. The net has an input dimension of
    N, a hidden layer dimension of H, and performs classification over C classes.
    We train the network with a softmax loss function and L2 regularization on the
    weight matrices. The network uses a ReLU nonlinearity after the first fully
    connected layer.
    """

    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {}
        self.params['W1'] = std * np.random.randn(input_size, hidden_size)
        self.params['b1'] = np.zeros(hidden_size)
        self.params['W2'] = std * np.random.randn(hidden_size, output_size)
        self.params['b2'] = np.zeros(output_size)

    def loss(self, X, y=None, reg=0.0):
        """
        Returns:
        If y is None, return a matrix scores of shape (N, C) where scores[i, c] is
        the score for class c on input X[i].

        If y is not None, instead return a tuple of:
        - loss: Loss (data loss and regularization loss) for this batch of training
          samples.
        - grads: Dictionary mapping parameter names to gradients of those parameters
          with respect to the loss function; has the same keys as self.params.
        """
        # Unpack variables from the params dictionary
        W1, b1 = self.params['W1'], self.params['b1']
        W2, b2 = self.params['W2'], self.params['b2']
        N, D = X.shape

        # Compute the forward pass
        h1 = np.maximum(0, X.dot(W1) + b1)
        scores = h1.dot(W2) + b2

        # If the targets are not given then jump out, we're done
        if y is None:
            return scores

        # Compute the loss
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        probs = np.exp(shifted) / np.sum(np.exp(shifted), axis=1, keepdims=True)
        loss = -np.sum(np.log(probs[np.arange(N), y])) / N
        loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        # Backward pass: compute gradients
        grads = {}
        dscores = probs.copy()
        dscores[range(N), list(y)] -= 1
        dscores /= N
        grads['W2'] = h1.T.dot(dscores) + 2 * reg * W2
        grads['b2'] = np.sum(dscores, axis=0)

        dh = dscores.dot(W2.T)
        dh_relu = (h1 > 0) * dh
        grads['W1'] = X.T.dot(dh_relu) + 2 * reg * W1
        grads['b1'] = np.sum(dh_relu, axis=0)

        return loss, grads

# %%
# Create a small net and some toy data to check your implementations.
# Note that we set the random seed for repeatable experiments.
input_size = 4
hidden_size = 10
num_classes = 3
num_inputs = 5


def init_toy_model():
    np.random.seed(0)
    return TwoLayerNet(input_size, hidden_size, num_classes, std=1e-1)


def init_toy_data():
    np.random.seed(1)
    X = 10 * np.random.randn(num_inputs, input_size)
    y = np.array([0, 1, 2, 2, 1])
    return X, y


net = init_toy_model()
X, y = init_toy_data()
scores = net.loss(X)
print('Your scores:')
print(scores)

# %% check: cs-two-layer-net
# bug: replace: dh_relu = (h1 > 0) * dh -> dh_relu = (dh > 0) * dh
%%gradcheck -p net.params -c net.loss
loss, grads = net.loss(X, y, reg=0.05)

# %% [markdown]
# ## A2 - Fully-Connected Neural Nets: the layers

# %%
# cs231n/layers.py
def affine_forward(x, w, b):
    """
    Computes the forward pass for an affine (fully-connected) layer.

    The input x has shape (N, d_1, ..., d_k) and contains a minibatch of N
    examples, where each example x[i] has shape (d_1, ..., d_k).

    Returns a tuple of:
    - out: output, of shape (N, M)
    - cache: (x, w, b)
    """
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    dx, x = None, cache
    dx = dout * (x > 0)
    return dx


def softmax_loss(x, y):
    """
    Computes the loss and gradient for softmax classification.

    Returns a tuple of:
    - loss: Scalar giving the loss
    - dx: Gradient of the loss with respect to x
    """
    shifted_logits = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted_logits), axis=1, keepdims=True)
    log_probs = shifted_logits - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def svm_loss(x, y):
    N = x.shape[0]
    correct_class_scores = x[np.arange(N), y]
    margins = np.maximum(0, x - correct_class_scores[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    dx /= N
    return loss, dx


# cs231n/layer_utils.py
def affine_relu_forward(x, w, b):
    """
    Convenience layer that performs an affine transform followed by a ReLU
    """
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    cache = (fc_cache, relu_cache)
    return out, cache


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    dx, dw, db = affine_backward(da, fc_cache)
    return dx, dw, db

# %%
# Test the affine_backward function
np.random.seed(231)
x = np.random.randn(10, 2, 3)
w = np.random.randn(6, 5)
b = np.random.randn(5)
dout = np.random.randn(10, 5)

# %% check: cs-affine
# bug: replace: dw = x.reshape(x.shape[0], -1).T.dot(dout) -> dw = x.reshape(x.shape[0], -1).T.dot(dout) / x.shape[0]
%%gradcheck -p x,w,b -g dx,dw,db -c affine_forward --upstream dout
_, cache = affine_forward(x, w, b)
dx, dw, db = affine_backward(dout, cache)

# %%
np.random.seed(231)
x = np.random.randn(10, 10)
dout = np.random.randn(*x.shape)

# %% check: cs-relu
# bug: replace: dx = dout * (x > 0) -> dx = dout * (dout > 0)
%%gradcheck -p x -g dx -c relu_forward --upstream dout
_, cache = relu_forward(x)
dx = relu_backward(dout, cache)

# %%
np.random.seed(231)
x = np.random.randn(2, 3, 4)
w = np.random.randn(12, 10)
b = np.random.randn(10)
dout = np.random.randn(2, 10)

# %% check: cs-affine-relu
# bug: replace: dx, dw, db = affine_backward(da, fc_cache) -> dx, dw, db = affine_backward(dout, fc_cache)
%%gradcheck -p x,w,b -g dx,dw,db -c affine_relu_forward --upstream dout
out, cache = affine_relu_forward(x, w, b)
dx, dw, db = affine_relu_backward(dout, cache)

# %%
np.random.seed(231)
num_classes, num_inputs = 10, 20
x = 0.001 * np.random.randn(num_inputs, num_classes)
y = np.random.randint(num_classes, size=num_inputs)

# %% check: cs-svm-layer
# bug: replace: dx[np.arange(N), y] -= num_pos -> dx[np.arange(N), y] -= 1
%%gradcheck -p x -g dx -c svm_loss
loss, dx = svm_loss(x, y)

# %% check: cs-softmax-layer
# bug: replace: loss = -np.sum(log_probs[np.arange(N), y]) / N -> loss = -np.sum(log_probs[np.arange(N), y])
%%gradcheck -p x -g dx -c softmax_loss
loss, dx = softmax_loss(x, y)

# %% [markdown]
# ## A2 - Batch Normalization and Layer Normalization

# %%
def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)

    N, D = x.shape
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    out, cache = None, None
    if mode == "train":
        mu = x.mean(axis=0)
        var = x.var(axis=0)
        std = np.sqrt(var + eps)
        x_hat = (x - mu) / std
        out = gamma * x_hat + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (x_hat, gamma, std)
    elif mode == "test":
        x_hat = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * x_hat + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    # Store the updated running means back into bn_param
    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var

    return out, cache


def batchnorm_backward(dout, cache):
    x_hat, gamma, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx_hat = dout * gamma
    dx = 1 / N / std * (N * dx_hat - dx_hat.sum(axis=0) - x_hat * (dx_hat * x_hat).sum(axis=0))
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = np.sqrt(var + eps)
    x_hat = (x - mu) / std
    out = gamma * x_hat + beta
    cache = (x_hat, gamma, std)
    return out, cache


def layernorm_backward(dout, cache):
    x_hat, gamma, std = cache
    D = dout.shape[1]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx_hat = dout * gamma
    dx = (D * dx_hat - dx_hat.sum(axis=1, keepdims=True)
          - x_hat * (dx_hat * x_hat).sum(axis=1, keepdims=True)) / D / std
    return dx, dgamma, dbeta

# %%
# Gradient check batchnorm backward pass.
np.random.seed(231)
N, D = 4, 5
x = 5 * np.random.randn(N, D) + 12
gamma = np.random.randn(D)
beta = np.random.randn(D)
dout = np.random.randn(N, D)

bn_param = {"mode": "train"}

# %% check: cs-batchnorm
# bug: replace: (N * dx_hat - dx_hat.sum(axis=0) - x_hat -> (N * dx_hat - x_hat
%%gradcheck -p x,gamma,beta -g dx,dgamma,dbeta -c batchnorm_forward --upstream dout
_, cache = batchnorm_forward(x, gamma, beta, bn_param)
dx, dgamma, dbeta = batchnorm_backward(dout, cache)

# %%
# Gradient check for layer normalization
ln_param = {}

# %% check: cs-layernorm
# bug: replace: dgamma = np.sum(dout * x_hat, axis=0) -> dgamma = np.mean(dout * x_hat, axis=0)
%%gradcheck -p x,gamma,beta -g dx,dgamma,dbeta -c layernorm_forward --upstream dout
_, cache = layernorm_forward(x, gamma, beta, ln_param)
dx, dgamma, dbeta = layernorm_backward(dout, cache)

# %% [markdown]
# ## A2 - Dropout

# %%
def dropout_forward(x, dropout_param):
    """
    Inputs:
    - x: Input data, of any shape
    - dropout_param: A dictionary with the following keys:
      - p: Dropout parameter. We keep each neuron output with probability p.
      - mode: 'test' or 'train'.
      - seed: Seed for the random number generator. Passing seed makes this
        function deterministic, which is needed for gradient checking but not
        in real networks.
    """
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])

    mask = None
    out = None

    if mode == "train":
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    elif mode == "test":
        out = x

    cache = (dropout_param, mask)
    out = out.astype(x.dtype, copy=False)
    return out, cache


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    mode = dropout_param["mode"]

    dx = None
    if mode == "train":
        dx = dout * mask
    elif mode == "test":
        dx = dout
    return dx

# %%
np.random.seed(231)
x = np.random.randn(10, 10) + 10
dout = np.random.randn(*x.shape)
dropout_param = {'mode': 'train', 'p': 0.2, 'seed': 123}

# %% check: cs-dropout
# bug: replace: dx = dout * mask -> dx = dout * (mask > 0)
%%gradcheck -p x -g dx -c dropout_forward --upstream dout
out, cache = dropout_forward(x, dropout_param)
dx = dropout_backward(dout, cache)

# %% [markdown]
# ## A2 - Multilayer network

# %%
# cs231n/classifiers/fc_net.py
class FullyConnectedNet(object):
    """
    {affine - [batch norm] - relu - [dropout]} x (L - 1) - affine - softmax
    """

    def __init__(self, hidden_dims, input_dim=3 * 32 * 32, num_classes=10, dropout_keep_ratio=1,
                 normalization=None, reg=0.0, weight_scale=1e-2, dtype=np.float32, seed=None):
        self.normalization = normalization
        self.use_dropout = dropout_keep_ratio != 1
        self.reg = reg
        self.num_layers = 1 + len(hidden_dims)
        self.dtype = dtype
        self.params = {}

        dims = [input_dim] + list(hidden_dims) + [num_classes]
        for i in range(self.num_layers):
            self.params["W%d" % (i + 1)] = weight_scale * np.random.randn(dims[i], dims[i + 1])
            self.params["b%d" % (i + 1)] = np.zeros(dims[i + 1])
            if self.normalization == "batchnorm" and i < self.num_layers - 1:
                self.params["gamma%d" % (i + 1)] = np.ones(dims[i + 1])
                self.params["beta%d" % (i + 1)] = np.zeros(dims[i + 1])

        self.dropout_param = {}
        if self.use_dropout:
            self.dropout_param = {"mode": "train", "p": dropout_keep_ratio}
            if seed is not None:
                self.dropout_param["seed"] = seed

        self.bn_params = []
        if self.normalization == "batchnorm":
            self.bn_params = [{"mode": "train"} for i in range(self.num_layers - 1)]

        # Cast all parameters to the correct datatype.
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        X = X.astype(self.dtype)
        mode = "test" if y is None else "train"

        if self.use_dropout:
            self.dropout_param["mode"] = mode
        if self.normalization == "batchnorm":
            for bn_param in self.bn_params:
                bn_param["mode"] = mode

        caches = []
        h = X
        L = self.num_layers
        for i in range(1, L):
            a, fc_cache = affine_forward(h, self.params["W%d" % i], self.params["b%d" % i])
            bn_cache, do_cache = None, None
            if self.normalization == "batchnorm":
                a, bn_cache = batchnorm_forward(a, self.params["gamma%d" % i], self.params["beta%d" % i],
                                                self.bn_params[i - 1])
            h, relu_cache = relu_forward(a)
            if self.use_dropout:
                h, do_cache = dropout_forward(h, self.dropout_param)
            caches.append((fc_cache, bn_cache, relu_cache, do_cache))
        scores, fc_cache = affine_forward(h, self.params["W%d" % L], self.params["b%d" % L])

        # If test mode return early.
        if mode == "test":
            return scores

        loss, grads = 0.0, {}
        loss, dscores = softmax_loss(scores, y)
        for i in range(1, L + 1):
            loss += 0.5 * self.reg * np.sum(self.params["W%d" % i] ** 2)

        dh, grads["W%d" % L], grads["b%d" % L] = affine_backward(dscores, fc_cache)
        grads["W%d" % L] += self.reg * self.params["W%d" % L]
        for i in range(L - 1, 0, -1):
            fc_cache, bn_cache, relu_cache, do_cache = caches[i - 1]
            if self.use_dropout:
                dh = dropout_backward(dh, do_cache)
            da = relu_backward(dh, relu_cache)
            if self.normalization == "batchnorm":
                da, grads["gamma%d" % i], grads["beta%d" % i] = batchnorm_backward(da, bn_cache)
            dh, grads["W%d" % i], grads["b%d" % i] = affine_backward(da, fc_cache)
            grads["W%d" % i] += self.reg * self.params["W%d" % i]

        return loss, grads

# %%
np.random.seed(231)
N, D, H1, H2, C = 3, 7, 6, 8, 5
X = np.random.randn(N, D)
y = np.random.randint(C, size=(N,))

reg = 3.14
print("Running check with reg = ", reg)
model = FullyConnectedNet(
    [H1, H2],
    input_dim=D,
    num_classes=C,
    reg=reg,
    weight_scale=5e-2,
    dtype=np.float64
)

loss, grads = model.loss(X, y)
print("Initial loss: ", loss)

f = lambda _: model.loss(X, y)[0]

# %% check: cs-fcnet-f
# bug: replace: grads["W%d" % i] += self.reg * self.params["W%d" % i] -> grads["W%d" % i] += 0.5 * self.reg * self.params["W%d" % i]
%%gradcheck -p model.params -c f
loss, grads = model.loss(X, y)

# %%
# Gradient check with batch normalization (note that the gradients of b1 and b2 are zero)
np.random.seed(231)
N, D, H1, H2, C = 5, 6, 5, 5, 4
X = np.random.randn(N, D)
y = np.random.randint(C, size=(N,))
model = FullyConnectedNet([H1, H2], input_dim=D, num_classes=C, reg=0.0, weight_scale=5e-1,
                          dtype=np.float64, normalization='batchnorm')

# %% check: cs-fcnet-batchnorm
# bug: replace: dgamma = (dout * x_hat).sum(axis=0) -> dgamma = dout.sum(axis=0) * x_hat.sum(axis=0)
%%gradcheck -p model.params -c model.loss
loss, grads = model.loss(X, y)

# %%
# Fully-connected nets with dropout
np.random.seed(231)
N, D, H1, H2, C = 3, 6, 9, 7, 4
X = np.random.randn(N, D)
y = np.random.randint(C, size=(N,))

dropout_keep_ratio = 0.75
print("Running check with dropout = ", dropout_keep_ratio)
model = FullyConnectedNet(
    [H1, H2],
    input_dim=D,
    num_classes=C,
    weight_scale=5e-1,
    dtype=np.float64,
    dropout_keep_ratio=dropout_keep_ratio,
    seed=123
)

# %% check: cs-fcnet-dropout
# bug: replace: dh = dropout_backward(dh, do_cache) -> dh = dh
%%gradcheck -p model.params -c model.loss
loss, grads = model.loss(X, y)

# %% [markdown]
# ## A2 - Convolutional Networks

# %%
def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), 'constant')
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    cache = (x, w, b, conv_param)
    return out, cache


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    _, _, H_out, W_out = dout.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), 'constant')
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    db = np.sum(dout, axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    dw[f] += window * dout[n, f, i, j]
                    dx_pad[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad:pad + H, pad:pad + W]
    return dx, dw, db


def max_pool_forward_naive(x, pool_param):
    N, C, H, W = x.shape
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    H_out = 1 + (H - ph) // s
    W_out = 1 + (W - pw) // s
    out = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            out[:, :, i, j] = x[:, :, i * s:i * s + ph, j * s:j * s + pw].max(axis=(2, 3))
    cache = (x, pool_param)
    return out, cache


def max_pool_backward_naive(dout, cache):
    x, pool_param = cache
    N, C, H_out, W_out = dout.shape
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    window = x[n, c, i * s:i * s + ph, j * s:j * s + pw]
                    dx[n, c, i * s:i * s + ph, j * s:j * s + pw] += (window == window.max()) * dout[n, c, i, j]
    return dx

# %%
np.random.seed(231)
x = np.random.randn(2, 2, 4, 4)
w = np.random.randn(2, 2, 3, 3)
b = np.random.randn(2,)
dout = np.random.randn(2, 2, 4, 4)
conv_param = {'stride': 1, 'pad': 1}

# %% check: cs-conv
# bug: replace: db = np.sum(dout, axis=(0, 2, 3)) -> db = np.sum(dout[0], axis=(1, 2))
%%gradcheck -p x,w,b -g dx,dw,db -c conv_forward_naive --upstream dout
out, cache = conv_forward_naive(x, w, b, conv_param)
dx, dw, db = conv_backward_naive(dout, cache)

# %%
np.random.seed(231)
x = np.random.randn(3, 2, 6, 6)
dout = np.random.randn(3, 2, 3, 3)
pool_param = {'pool_height': 2, 'pool_width': 2, 'stride': 2}

# %% check: cs-max-pool
# bug: replace: (window == window.max()) * dout[n, c, i, j] -> dout[n, c, i, j] / (ph * pw)
%%gradcheck -p x -g dx -c max_pool_forward_naive --upstream dout
out, cache = max_pool_forward_naive(x, pool_param)
dx = max_pool_backward_naive(dout, cache)

# %% [markdown]
# ## A3 - Image Captioning with Vanilla RNNs (and LSTMs)

# %%
# cs231n/rnn_layers.py
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h ** 2)
    dx = dz.dot(Wx.T)
    dprev_h = dz.dot(Wh.T)
    dWx = x.T.dot(dz)
    dWh = prev_h.T.dot(dz)
    db = dz.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    _, H = h0.shape
    h, cache = np.zeros((N, T, H)), []
    prev_h = h0
    for t in range(T):
        prev_h, step_cache = rnn_step_forward(x[:, t, :], prev_h, Wx, Wh, b)
        h[:, t, :] = prev_h
        cache.append(step_cache)
    return h, cache


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    D = cache[0][0].shape[1]
    dx = np.zeros((N, T, D))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t, :], dprev_h, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t, :] + dprev_h, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db


def word_embedding_forward(x, W):
    out = W[x]
    cache = (x, W.shape)
    return out, cache


def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW


def sigmoid(x):
    """A numerically stable version of the logistic sigmoid function."""
    pos_mask = x >= 0
    neg_mask = x < 0
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[neg_mask] = np.exp(x[neg_mask])
    top = np.ones_like(x)
    top[neg_mask] = z[neg_mask]
    return top / (1 + z)


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, :H])
    f = sigmoid(a[:, H:2 * H])
    o = sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    do = dnext_h * tanh_c
    dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2)
    df = dc * prev_c
    dprev_c = dc * f
    di = dc * g
    dg = dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def temporal_softmax_loss(x, y, mask, verbose=False):
    N, T, V = x.shape
    x_flat = x.reshape(N * T, V)
    y_flat = y.reshape(N * T)
    mask_flat = mask.reshape(N * T)

    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    dx_flat *= mask_flat[:, None]

    if verbose:
        print("dx_flat: ", dx_flat.shape)

    dx = dx_flat.reshape(N, T, V)
    return loss, dx

# %%
np.random.seed(231)
N, D, H = 4, 5, 6
x = np.random.randn(N, D)
h = np.random.randn(N, H)
Wx = np.random.randn(D, H)
Wh = np.random.randn(H, H)
b = np.random.randn(H)

out, cache = rnn_step_forward(x, h, Wx, Wh, b)

dnext_h = np.random.randn(*out.shape)

# %% check: cs-rnn-step
# bug: replace: dz = dnext_h * (1 - next_h ** 2) -> dz = dnext_h * (1 - next_h) ** 2
%%gradcheck -p x,h,Wx,Wh,b -g dx,dprev_h,dWx,dWh,db -c rnn_step_forward --upstream dnext_h
out, cache = rnn_step_forward(x, h, Wx, Wh, b)
dx, dprev_h, dWx, dWh, db = rnn_step_backward(dnext_h, cache)

# %%
np.random.seed(231)
N, D, T, H = 2, 3, 6, 5
x = np.random.randn(N, T, D)
h0 = np.random.randn(N, H)
Wx = np.random.randn(D, H)
Wh = np.random.randn(H, H)
b = np.random.randn(H)

out, cache = rnn_forward(x, h0, Wx, Wh, b)
dout = np.random.randn(*out.shape)

# %% check: cs-rnn
# bug: replace: dWh += dWh_t -> dWh = dWh_t
%%gradcheck -p x,h0,Wx,Wh,b -g dx,dh0,dWx,dWh,db -c rnn_forward --upstream dout
out, cache = rnn_forward(x, h0, Wx, Wh, b)
dx, dh0, dWx, dWh, db = rnn_backward(dout, cache)

# %%
np.random.seed(231)
N, T, V, D = 5, 3, 5, 6
x = np.random.randint(V, size=(N, T))
W = np.random.randn(V, D)

out, cache = word_embedding_forward(x, W)
dout = np.random.randn(*out.shape)

# %% check: cs-embedding
# bug: replace: np.add.at(dW, x, dout) -> dW[x] += dout
%%gradcheck -p W -g dW -c word_embedding_forward --upstream dout
out, cache = word_embedding_forward(x, W)
dW = word_embedding_backward(dout, cache)

# %%
np.random.seed(231)
N, D, H = 3, 4, 4
x = np.random.randn(N, D)
prev_h = np.random.randn(N, H)
prev_c = np.random.randn(N, H)
Wx = np.random.randn(D, 4 * H)
Wh = np.random.randn(H, 4 * H)
b = np.random.randn(4 * H)

next_h, next_c, cache = lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b)

dnext_h = np.random.randn(*next_h.shape)
dnext_c = np.random.randn(*next_c.shape)

# %% check: cs-lstm-step
# bug: replace: dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2) -> dc = dnext_c
%%gradcheck -p x,prev_h,prev_c,Wx,Wh,b -g dx,dh,dc,dWx,dWh,db -c lstm_step_forward --upstream dnext_h,dnext_c
next_h, next_c, cache = lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b)
dx, dh, dc, dWx, dWh, db = lstm_step_backward(dnext_h, dnext_c, cache)

# %%
# Gradient check for temporal softmax loss
np.random.seed(231)
N, T, V = 4, 5, 6
x = np.random.randn(N, T, V)
y = np.random.randint(V, size=(N, T))
mask = (np.random.rand(N, T) > 0.5)

# %% check: cs-temporal-softmax
# bug: replace: dx_flat *= mask_flat[:, None] -> pass
%%gradcheck -p x -g dx -c temporal_softmax_loss
loss, dx = temporal_softmax_loss(x, y, mask, verbose=False)

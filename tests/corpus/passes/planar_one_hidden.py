"""A student of the deeplearning.ai course (course 1, week 3): planar data, one hidden layer, features first, dicts for everything."""
# %%
import numpy as np

np.random.seed(1)

# %%
def load_planar_dataset(m):
    N = int(m / 2)
    X = np.zeros((m, 2))
    Y = np.zeros((m, 1))
    for j in range(2):
        ix = range(N * j, N * (j + 1))
        t = np.linspace(j * 3.12, (j + 1) * 3.12, N) + np.random.randn(N) * 0.2
        r = 4 * np.sin(4 * t) + np.random.randn(N) * 0.2
        X[ix] = np.c_[r * np.sin(t), r * np.cos(t)]
        Y[ix] = j
    return X.T, Y.T

X, Y = load_planar_dataset(18)

# %%
# GRADED FUNCTION: layer_sizes
def layer_sizes(X, Y):
    n_x = X.shape[0]  # size of input layer
    n_h = 4
    n_y = Y.shape[0]  # size of output layer
    return (n_x, n_h, n_y)

# GRADED FUNCTION: initialize_parameters
def initialize_parameters(n_x, n_h, n_y):
    np.random.seed(2)
    W1 = np.random.randn(n_h, n_x) * 0.4
    b1 = np.zeros(shape=(n_h, 1))
    W2 = np.random.randn(n_y, n_h) * 0.7
    b2 = np.zeros(shape=(n_y, 1))

    assert W1.shape == (n_h, n_x)
    assert b1.shape == (n_h, 1)

    parameters = {"W1": W1,
                  "b1": b1,
                  "W2": W2,
                  "b2": b2}
    return parameters

def sigmoid(x):
    s = 1 / (1 + np.exp(-x))
    return s

# GRADED FUNCTION: forward_propagation
def forward_propagation(X, parameters):
    # Retrieve each parameter from the dictionary "parameters"
    W1 = parameters['W1']
    b1 = parameters['b1']
    W2 = parameters['W2']
    b2 = parameters['b2']

    # Implement Forward Propagation to calculate A2 (probabilities)
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)

    assert(A2.shape == (1, X.shape[1]))

    cache = {"Z1": Z1,
             "A1": A1,
             "Z2": Z2,
             "A2": A2}
    return A2, cache

# GRADED FUNCTION: compute_cost
def compute_cost(A2, Y):
    m = Y.shape[1]  # number of examples
    logprobs = np.multiply(np.log(A2), Y) + np.multiply((1 - Y), np.log(1 - A2))
    cost = - np.sum(logprobs) / m
    cost = float(np.squeeze(cost))
    return cost

# %%
# GRADED FUNCTION: backward_propagation
def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    #! m = X.shape[0]

    # First, retrieve W1 and W2 from the dictionary "parameters".
    W1 = parameters['W1']
    W2 = parameters['W2']

    # Retrieve also A1 and A2 from dictionary "cache".
    A1 = cache['A1']
    #! A1 = cache['Z1']
    A2 = cache['A2']
    #! A2 = cache['Z2']

    # Backward propagation: calculate dW1, db1, dW2, db2.
    dZ2 = A2 - Y
    #! dZ2 = Y - A2
    #! dZ2 = (A2 - Y) * A2 * (1 - A2)
    #! dZ2 = (A2 - Y) / m
    #! dZ2 = (A2 > 0.5) - Y
    dW2 = (1 / m) * np.dot(dZ2, A1.T)
    #! dW2 = np.dot(dZ2, A1.T)
    #! dW2 = (1 // m) * np.dot(dZ2, A1.T)
    #! dW2 = (1 / m) * np.dot(dZ2, cache['Z1'].T)
    #! dW2 = (1 / m) * np.sum(dZ2) * np.sum(A1, axis=1, keepdims=True).T
    db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
    #! db2 = np.sum(dZ2, axis=1, keepdims=True)
    #! db2 = (1 / m) * np.sum(A2, axis=1, keepdims=True)
    dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 2))
    #! dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(A1, 3))
    #! dZ1 = np.multiply(np.dot(W2.T, dZ2), np.power(1 - A1, 2))
    #! dZ1 = np.multiply(np.dot(W2.T, dZ2), A1 * (1 - A1))
    #! dZ1 = np.multiply(np.dot(W2.T, dZ2), 1 - np.power(cache['Z1'], 2))
    #! dZ1 = np.multiply(np.dot(W2.T, A2), 1 - np.power(A1, 2))
    #! dZ1 = np.dot(W2.T, dZ2)
    dW1 = (1 / m) * np.dot(dZ1, X.T)
    #! dW1 = np.dot(dZ1, X.T)
    #! dW1 = (1 / m) * np.dot(A1, X.T)
    #! dW1 = (1 / m) * np.dot(dZ1, X.T[:, ::-1])
    #! dW1 = (1 / m ** 2) * np.dot(dZ1, X.T)
    db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
    #! db1 = (1 / m) * np.sum(dZ1) * np.ones((4, 1))
    #! db1 = np.mean(dZ1, axis=1, keepdims=True) / m
    #! db1 = (1 / m) * np.sum(A1, axis=1, keepdims=True)

    grads = {"dW1": dW1,
             "db1": db1,
             "dW2": dW2,
             "db2": db2}
    return grads

# %%
n_x, n_h, n_y = layer_sizes(X, Y)
parameters = initialize_parameters(n_x, n_h, n_y)
A2, cache = forward_propagation(X, parameters)
print("cost at the start:", compute_cost(A2, Y))

# %% gradcheck -p parameters -c "lambda p: compute_cost(forward_propagation(X, p)[0], Y)"
A2, cache = forward_propagation(X, parameters)
grads = backward_propagation(parameters, cache, X, Y)
#! grads = backward_propagation(parameters, cache, X, A2)

"""A student of the deeplearning.ai course (course 1, week 4): an L-layer network, LINEAR->RELU repeated and LINEAR->SIGMOID, nested tuples as caches."""
# %%
import numpy as np

# %% file dnn_utils.py
import numpy as np

def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache

def relu(Z):
    A = np.maximum(0, Z)
    assert A.shape == Z.shape
    cache = Z
    return A, cache

def relu_backward(dA, cache):
    """
    Implement the backward propagation for a single RELU unit.
    """
    Z = cache
    #! Z = dA
    dZ = np.array(dA, copy=True)  # just converting dz to a correct object.
    #! dZ = np.array(Z, copy=True)
    #! dZ = np.ones_like(dA)

    # When z <= 0, you should set dz to 0 as well.
    dZ[Z <= 0] = 0
    #! dZ[Z > 0] = 0
    #! dZ[dZ <= 0] = 0
    #! dZ[Z == 0] = 0

    assert dZ.shape == Z.shape
    return dZ

def sigmoid_backward(dA, cache):
    """
    Implement the backward propagation for a single SIGMOID unit.
    """
    Z = cache

    s = 1 / (1 + np.exp(-Z))
    #! s = np.exp(-Z) / (1 + np.exp(-Z)) ** 2
    #! s = Z
    dZ = dA * s * (1 - s)
    #! dZ = dA * s * (1 + s)
    #! dZ = dA * Z * (1 - Z)
    #! dZ = dA * (1 - s)
    #! dZ = s * (1 - s)

    assert dZ.shape == Z.shape
    return dZ

# %%
from dnn_utils import sigmoid, sigmoid_backward, relu, relu_backward

def initialize_parameters_deep(layer_dims):
    np.random.seed(3)
    parameters = {}
    L = len(layer_dims)  # number of layers in the network

    for l in range(1, L):
        parameters['W' + str(l)] = np.random.randn(layer_dims[l], layer_dims[l - 1]) / np.sqrt(layer_dims[l - 1])
        parameters['b' + str(l)] = np.random.randn(layer_dims[l], 1) * 0.1
    return parameters

def linear_forward(A, W, b):
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache

def linear_activation_forward(A_prev, W, b, activation):
    if activation == "sigmoid":
        Z, linear_cache = linear_forward(A_prev, W, b)
        A, activation_cache = sigmoid(Z)
    elif activation == "relu":
        Z, linear_cache = linear_forward(A_prev, W, b)
        A, activation_cache = relu(Z)

    cache = (linear_cache, activation_cache)
    return A, cache

def L_model_forward(X, parameters):
    caches = []
    A = X
    L = len(parameters) // 2

    for l in range(1, L):
        A_prev = A
        A, cache = linear_activation_forward(A_prev, parameters['W' + str(l)], parameters['b' + str(l)], activation="relu")
        caches.append(cache)

    AL, cache = linear_activation_forward(A, parameters['W' + str(L)], parameters['b' + str(L)], activation="sigmoid")
    caches.append(cache)
    return AL, caches

def compute_cost(AL, Y):
    m = Y.shape[1]
    cost = (-1 / m) * np.sum(np.multiply(Y, np.log(AL)) + np.multiply(1 - Y, np.log(1 - AL)))
    cost = np.squeeze(cost)
    return cost

# %%
def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    #! m = A_prev.shape[0]

    ### START CODE HERE ### (≈ 3 lines of code)
    dW = np.dot(dZ, A_prev.T) / m
    #! dW = np.dot(dZ, A_prev.T)
    #! dW = np.dot(np.abs(dZ), A_prev.T) / m
    #! dW = np.dot(dZ, A_prev.T) / m + W / m
    db = np.sum(dZ, axis=1, keepdims=True) / m
    #! db = np.sum(dZ, axis=1, keepdims=True)
    #! db = np.sum(dZ) / m * np.ones_like(b)
    #! db = np.max(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    #! dA_prev = np.dot(W.T, dZ) / m
    #! dA_prev = -np.dot(W.T, dZ)
    #! dA_prev = np.dot(np.abs(W).T, dZ)
    ### END CODE HERE ###

    assert dA_prev.shape == A_prev.shape
    assert dW.shape == W.shape
    assert db.shape == b.shape
    return dA_prev, dW, db

def linear_activation_backward(dA, cache, activation):
    linear_cache, activation_cache = cache

    if activation == "relu":
        dZ = relu_backward(dA, activation_cache)
        #! dZ = dA
        #! dZ = sigmoid_backward(dA, activation_cache)
        dA_prev, dW, db = linear_backward(dZ, linear_cache)
        #! dA_prev, dW, db = linear_backward(dA, linear_cache)
    elif activation == "sigmoid":
        dZ = sigmoid_backward(dA, activation_cache)
        #! dZ = relu_backward(dA, activation_cache)
        dA_prev, dW, db = linear_backward(dZ, linear_cache)
        #! dA_prev, dW, db = linear_backward(dA, linear_cache)

    return dA_prev, dW, db

def L_model_backward(AL, Y, caches):
    grads = {}
    L = len(caches)  # the number of layers
    m = AL.shape[1]
    Y = Y.reshape(AL.shape)  # after this line, Y is the same shape as AL

    # Initializing the backpropagation
    dAL = - (np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    #! dAL = (np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    #! dAL = - (np.divide(Y, AL) + np.divide(1 - Y, 1 - AL))
    #! dAL = - (np.divide(Y, AL) - np.divide(1 - Y, AL))
    #! dAL = AL - Y
    #! dAL = - np.divide(Y, AL)

    # Lth layer (SIGMOID -> LINEAR) gradients.
    current_cache = caches[L - 1]
    grads["dA" + str(L - 1)], grads["dW" + str(L)], grads["db" + str(L)] = linear_activation_backward(dAL, current_cache, activation="sigmoid")
    #! grads["dA" + str(L - 1)], grads["dW" + str(L)], grads["db" + str(L)] = linear_activation_backward(dAL, current_cache, activation="relu")
    #! grads["dA" + str(L - 1)], grads["dW" + str(L)], grads["db" + str(L)] = linear_activation_backward(dAL / m, current_cache, activation="sigmoid")

    for l in reversed(range(L - 1)):
        # lth layer: (RELU -> LINEAR) gradients.
        current_cache = caches[l]
        #! current_cache = (caches[l][0], caches[1][1]) if l == 2 else caches[l]
        dA_prev_temp, dW_temp, db_temp = linear_activation_backward(grads["dA" + str(l + 1)], current_cache, activation="relu")
        #! dA_prev_temp, dW_temp, db_temp = linear_activation_backward(grads["dA" + str(l + 1)], current_cache, activation="sigmoid")
        grads["dA" + str(l)] = dA_prev_temp
        #! grads["dA" + str(l)] = grads["dA" + str(l + 1)] if l == 2 else dA_prev_temp
        grads["dW" + str(l + 1)] = dW_temp
        #! grads["dW" + str(l + 1)] = dW_temp.T if l == 2 else dW_temp
        #! grads["dW" + str(l + 1)] = dW_temp / m
        grads["db" + str(l + 1)] = db_temp
        #! grads["db" + str(l + 1)] = db_temp * (l > 0)

    return grads

# %%
layers_dims = [5, 7, 6, 6, 1]  # 4-layer model
np.random.seed(7)
train_x = np.random.randn(5, 11)
train_y = (np.random.rand(1, 11) > 0.4).astype(int)
parameters = initialize_parameters_deep(layers_dims)

def cost_function(parameters):
    AL, caches = L_model_forward(train_x, parameters)
    return compute_cost(AL, train_y)

# %% gradcheck --params parameters
AL, caches = L_model_forward(train_x, parameters)
grads = L_model_backward(AL, train_y, caches)

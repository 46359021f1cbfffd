"""Someone who translates the MATLAB exercise of UFLDL: a sparse autoencoder with tied weights, one flat theta, camelCase, 1/m factors, columns are examples."""
# %%
import numpy as np

visibleSize = 6
hiddenSize = 4
sparsityParam = 0.3   # desired average activation of the hidden units
lambda_ = 0.02        # weight decay parameter
beta = 0.6            # weight of sparsity penalty term

# %%
def initializeParameters(hiddenSize, visibleSize, seed=20):
    rand = np.random.RandomState(seed)
    r = np.sqrt(6) / np.sqrt(hiddenSize + visibleSize + 1)
    W = rand.rand(hiddenSize, visibleSize) * 2 * r - r
    b = rand.rand(hiddenSize, 1) * 0.4 - 0.2
    c = rand.rand(visibleSize, 1) * 0.4 - 0.2
    return np.concatenate([W.ravel(), b.ravel(), c.ravel()])

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def unroll(theta, visibleSize, hiddenSize):
    nW = hiddenSize * visibleSize
    W = theta[:nW].reshape(hiddenSize, visibleSize)
    b = theta[nW:nW + hiddenSize].reshape(hiddenSize, 1)
    c = theta[nW + hiddenSize:].reshape(visibleSize, 1)
    return W, b, c

# %%
def sparseAutoencoderCost(theta, visibleSize, hiddenSize, lambda_, sparsityParam, beta, data):
    W, b, c = unroll(theta, visibleSize, hiddenSize)
    m = data.shape[1]

    # forward pass
    a1 = data
    z2 = W @ a1 + b
    a2 = sigmoid(z2)
    z3 = W.T @ a2 + c
    a3 = sigmoid(z3)
    rho = sparsityParam
    rhoHat = np.mean(a2, axis=1, keepdims=True)

    # cost
    squaredError = np.sum((a3 - a1) ** 2) / (2 * m)
    weightDecay = lambda_ / 2 * np.sum(W ** 2)
    KL = np.sum(rho * np.log(rho / rhoHat) + (1 - rho) * np.log((1 - rho) / (1 - rhoHat)))
    cost = squaredError + weightDecay + beta * KL

    # backpropagation
    delta3 = (a3 - a1) * a3 * (1 - a3)
    #! delta3 = (a3 - a1)
    #! delta3 = (a3 - a1) * z3 * (1 - z3)
    sparsityDelta = beta * (-rho / rhoHat + (1 - rho) / (1 - rhoHat))
    #! sparsityDelta = beta * (-rho / rhoHat - (1 - rho) / (1 - rhoHat))
    #! sparsityDelta = -rho / rhoHat + (1 - rho) / (1 - rhoHat)
    #! sparsityDelta = beta * (-rho / rhoHat + (1 - rho) / (1 - rhoHat)) / m
    delta2 = (W @ delta3 + sparsityDelta) * a2 * (1 - a2)
    #! delta2 = W @ delta3 * a2 * (1 - a2) + sparsityDelta
    #! delta2 = (W @ delta3) * a2 * (1 - a2)

    WgradEncoder = delta2 @ a1.T / m
    #! WgradEncoder = delta2 @ a3.T / m
    WgradDecoder = a2 @ delta3.T / m
    #! WgradDecoder = z2 @ delta3.T / m
    Wgrad = WgradEncoder + WgradDecoder
    #! Wgrad = WgradEncoder
    #! Wgrad = (WgradEncoder + WgradDecoder) / 2
    Wgrad += lambda_ * W
    #! Wgrad += lambda_ * W / m
    bgrad = np.sum(delta2, axis=1) / m
    #! bgrad = np.sum(delta2, axis=1)
    cgrad = np.sum(delta3, axis=1) / m
    #! cgrad = np.sum(delta3, axis=1) / visibleSize

    grad = np.concatenate([Wgrad.ravel(), bgrad, cgrad])
    return cost, grad

# %%
patches = np.random.RandomState(3).rand(visibleSize, 15) * 0.8 + 0.1
theta = initializeParameters(hiddenSize, visibleSize)
J = lambda x: sparseAutoencoderCost(x, visibleSize, hiddenSize, lambda_, sparsityParam, beta, patches)[0]

# %% gradcheck -p theta -g grad -c J
[cost, grad] = sparseAutoencoderCost(theta, visibleSize, hiddenSize, lambda_, sparsityParam, beta, patches)

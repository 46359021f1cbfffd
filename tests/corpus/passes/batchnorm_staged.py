"""A cs231n student with batch normalisation between two affine layers, backward in the stages of the computational graph (dxhat, dvar, dmu, dx1, dx2)."""
# %%
import numpy as np

def affine_forward(x, w, b):
    return x.dot(w) + b, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = None, None, None
    dx = np.dot(dout, w.T)
    #! dx = np.dot(dout, w.T) / x.shape[0]
    #! dx = np.dot(dout - dout.mean(axis=0), w.T)
    dw = np.dot(x.T, dout)
    #! dw = np.dot(np.sort(x, axis=0).T, dout)
    #! dw = np.dot(x.T, dout) / len(x)
    db = dout.sum(axis=0)
    #! db = dout.sum(axis=0) / dout.shape[0]
    #! db = np.full_like(b, np.sum(dout))
    #! db = np.abs(dout).sum(axis=0)
    return dx, dw, db

# %%
def batchnorm_forward(x, gamma, beta, eps=1e-3):
    N, D = x.shape
    # step1: calculate mean
    mu = 1. / N * np.sum(x, axis=0)
    # step2: subtract mean vector of every training example
    xmu = x - mu
    # step3: following the lower branch - calculation denominator
    sq = xmu ** 2
    # step4: calculate variance
    var = 1. / N * np.sum(sq, axis=0)
    # step5: add eps for numerical stability, then sqrt
    sqrtvar = np.sqrt(var + eps)
    # step6: invert sqrtwar
    ivar = 1. / sqrtvar
    # step7: execute normalization
    xhat = xmu * ivar
    # step8 and 9: the two transformation steps
    gammax = gamma * xhat
    out = gammax + beta
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache

def batchnorm_backward(dout, cache):
    # unfold the variables stored in cache
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    # get the dimensions of the input/output
    N, D = dout.shape

    # step9
    dbeta = np.sum(dout, axis=0)
    #! dbeta = np.mean(dout, axis=0)
    #! dbeta = np.sum(dout, axis=0) / D
    #! dbeta = np.sum(dout * gamma, axis=0)
    dgammax = dout  # not necessary, but more understandable

    # step8
    dgamma = np.sum(dgammax * xhat, axis=0)
    #! dgamma = np.sum(dgammax * xmu, axis=0)
    #! dgamma = np.sum(dgammax, axis=0)
    #! dgamma = np.sum(dgammax * xhat) * np.ones(D)
    #! dgamma = np.mean(dgammax * xhat, axis=0)
    dxhat = dgammax * gamma
    #! dxhat = dgammax
    #! dxhat = dgammax * dgamma
    #! dxhat = dgammax / gamma

    # step7
    divar = np.sum(dxhat * xmu, axis=0)
    #! divar = np.sum(dxhat * xhat, axis=0)
    #! divar = np.sum(dout * xmu, axis=0)
    #! divar = dxhat * xmu
    dxmu1 = dxhat * ivar
    #! dxmu1 = dxhat * sqrtvar
    #! dxmu1 = dout * ivar
    #! dxmu1 = dxhat * ivar ** 2

    # step6
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    #! dsqrtvar = 1. / (sqrtvar ** 2) * divar
    #! dsqrtvar = -1. / sqrtvar * divar
    #! dsqrtvar = -1. / (var ** 2) * divar

    # step5
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    #! dvar = 1. / np.sqrt(var + eps) * dsqrtvar
    #! dvar = 0.5 * np.sqrt(var + eps) * dsqrtvar
    #! dvar = 0.5 * 1. / (var + eps) * dsqrtvar

    # step4
    dsq = 1. / N * np.ones((N, D)) * dvar
    #! dsq = np.ones((N, D)) * dvar
    #! dsq = 1. / (N - 1) * np.ones((N, D)) * dvar
    #! dsq = 1. / D * np.ones((N, D)) * dvar

    # step3
    dxmu2 = 2 * xmu * dsq
    #! dxmu2 = xmu * dsq
    #! dxmu2 = 2 * xhat * dsq
    #! dxmu2 = 2 * dsq

    # step2
    dx1 = (dxmu1 + dxmu2)
    #! dx1 = (dxmu1 - dxmu2)
    #! dx1 = dxmu1
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    #! dmu = np.sum(dxmu1 + dxmu2, axis=0)
    #! dmu = -1 * np.sum(dout, axis=0)

    # step1
    dx2 = 1. / N * np.ones((N, D)) * dmu
    #! dx2 = np.ones((N, D)) * dmu
    #! dx2 = 1. / D * np.ones((N, D)) * dmu

    # step0
    dx = dx1 + dx2
    #! dx = dx1
    #! dx = dx1 - dx2
    return dx, dgamma, dbeta

# %%
def model_loss(p):
    a1, fc1 = affine_forward(X, p['W1'], p['b1'])
    bn, bn1 = batchnorm_forward(a1, p['gamma1'], p['beta1'])
    r1 = np.maximum(0, bn)
    out, fc2 = affine_forward(r1, p['W2'], p['b2'])
    return np.sum((out - T) ** 2) / len(T), (a1, fc1, bn, bn1, r1, fc2, out)

np.random.seed(12)
X = np.random.randn(9, 5)
T = np.random.randn(9, 3)
params = {
    'W1': np.random.randn(5, 6), 'b1': np.random.randn(6),
    'gamma1': 1 + 0.3 * np.random.randn(6), 'beta1': 0.3 * np.random.randn(6),
    'W2': np.random.randn(6, 3), 'b2': np.random.randn(3),
}

# %% gradcheck -c model_loss
loss, (a1, fc1, bn, bn1, r1, fc2, out) = model_loss(params)
grads = {}
dout = 2 * (out - T) / len(T)
#! dout = (out - T) / len(T)
#! dout = 2 * (out - T) / T.size
#! dout = 2 * (T - out) / len(T)
dr1, grads['W2'], grads['b2'] = affine_backward(dout, fc2)
#! dr1, grads['W2'], grads['b2'] = affine_backward(out, fc2)
dbn = dr1 * (bn > 0)
#! dbn = dr1 * (a1 > 0)
#! dbn = dr1 * (dr1 > 0)
#! dbn = dr1
#! dbn = dr1 * r1
da1, grads['gamma1'], grads['beta1'] = batchnorm_backward(dbn, bn1)
#! da1, grads['gamma1'], grads['beta1'] = batchnorm_backward(dr1, bn1)
#! da1, grads['beta1'], grads['gamma1'] = batchnorm_backward(dbn, bn1)
dx, grads['W1'], grads['b1'] = affine_backward(da1, fc1)
#! dx, grads['W1'], grads['b1'] = affine_backward(dbn, fc1)

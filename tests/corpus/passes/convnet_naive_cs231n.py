"""A cs231n student (assignment 2): naive convolution with four nested loops, relu, average pool, two affine layers, L2 regularization, loss() returns loss and grads."""
# %%
import numpy as np

# %%
def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = None, None, None
    ###########################################################################
    # TODO: Implement the affine backward pass.                               #
    ###########################################################################
    dx = dout.dot(w.T).reshape(x.shape)
    #! dx = dout.dot(w.T).reshape(x.T.shape).T
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    #! dw = x.reshape(-1, x.shape[0]).dot(dout)
    db = dout.sum(axis=0)
    #! db = dout.max(axis=0)
    ###########################################################################
    #                             END OF YOUR CODE                            #
    ###########################################################################
    return dx, dw, db


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    #! dx = dout * (x < 0)
    #! dx = dout * (dout > 0)
    #! dx = dout * np.maximum(0, x)
    return dx


# %%
def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0,), (0,), (pad,), (pad,)), "constant")
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    out[n, f, i, j] = np.sum(x_pad[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW] * w[f]) + b[f]
    cache = (x, w, b, conv_param)
    return out, cache


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    _, _, H_out, W_out = dout.shape

    x_pad = np.pad(x, ((0,), (0,), (p,), (p,)), "constant")
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    db = np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            db[f] += dout[n, f].sum()
            #! db[f] = dout[n, f].sum()
            #! db[f] += dout[n, f].mean()
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i*s:i*s+HH, j*s:j*s+WW]
                    #! window = x_pad[n, :, i:i+HH, j:j+WW]
                    dw[f] += window * dout[n, f, i, j]
                    #! dw[f] += window[:, ::-1, ::-1] * dout[n, f, i, j]
                    #! dw[f] = window * dout[n, f, i, j]
                    dx_pad[n, :, i*s:i*s+HH, j*s:j*s+WW] += w[f] * dout[n, f, i, j]
                    #! dx_pad[n, :, i*s:i*s+HH, j*s:j*s+WW] = w[f] * dout[n, f, i, j]
                    #! dx_pad[n, :, i*s:i*s+HH, j*s:j*s+WW] += w[f, :, ::-1, ::-1] * dout[n, f, i, j]
                    #! dx_pad[n, :, i:i+HH, j:j+WW] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, p:p+H, p:p+W]
    #! dx = dx_pad[:, :, :H, :W]
    return dx, dw, db


def avg_pool_forward_naive(x, pool_param):
    N, C, H, W = x.shape
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    H_out, W_out = 1 + (H - ph) // s, 1 + (W - pw) // s
    out = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            out[:, :, i, j] = x[:, :, i*s:i*s+ph, j*s:j*s+pw].mean(axis=(2, 3))
    return out, (x, pool_param)


def avg_pool_backward_naive(dout, cache):
    x, pool_param = cache
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros(x.shape)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            dx[:, :, i*s:i*s+ph, j*s:j*s+pw] += dout[:, :, i, j][:, :, None, None] / (ph * pw)
            #! dx[:, :, i*s:i*s+ph, j*s:j*s+pw] += dout[:, :, i, j][:, :, None, None]
            #! dx[:, :, i*s:i*s+ph, j*s:j*s+pw] += dout[:, :, i, j][:, :, None, None] / (ph + pw)
            #! dx[:, :, i*s:i*s+ph, j*s:j*s+pw] += dout[:, :, i, j][:, :, None, None] / ph ** 2
            #! dx[:, :, i*s:i*s+ph, j*s:j*s+pw] = dout[:, :, i, j][:, :, None, None] / (ph * pw)
    return dx


def softmax_loss(x, y):
    N = x.shape[0]
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -logp[np.arange(N), y].sum() / N
    dx = np.exp(logp)
    #! dx = logp.copy()
    dx[np.arange(N), y] -= 1
    #! dx[np.arange(N), y] -= 1 / N
    dx /= N
    #! dx /= x.shape[1]
    return loss, dx


# %%
def conv_relu_forward(x, w, b, conv_param):
    a, conv_cache = conv_forward_naive(x, w, b, conv_param)
    out, relu_cache = relu_forward(a)
    return out, (conv_cache, relu_cache)


def conv_relu_backward(dout, cache):
    conv_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    #! da = dout
    dx, dw, db = conv_backward_naive(da, conv_cache)
    #! dx, dw, db = conv_backward_naive(dout, conv_cache)
    return dx, dw, db


class ThreeLayerConvNet(object):
    """
    conv - relu - conv - relu - avg pool - affine - softmax
    """

    def __init__(self, input_dim=(2, 5, 10), num_filters=(3, 2), num_classes=4, weight_scale=0.4, reg=0.0):
        self.params = {}
        self.reg = reg
        self.conv_param = {"stride": 2, "pad": 1}
        self.pool_param = {"pool_height": 2, "pool_width": 3, "stride": 1}
        C, H, W = input_dim
        F1, F2 = num_filters
        self.params["W1"] = weight_scale * np.random.randn(F1, C, 3, 2)
        self.params["b1"] = weight_scale * np.random.randn(F1)
        self.params["W2"] = weight_scale * np.random.randn(F2, F1, 3, 2)
        self.params["b2"] = weight_scale * np.random.randn(F2)
        self.params["W3"] = weight_scale * np.random.randn(F2 * 1 * 2, num_classes)
        self.params["b3"] = np.zeros(num_classes)

    def loss(self, X, y=None):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        W3, b3 = self.params["W3"], self.params["b3"]

        h1, cache_conv1 = conv_relu_forward(X, W1, b1, self.conv_param)
        h2, cache_conv2 = conv_relu_forward(h1, W2, b2, self.conv_param)
        p2, cache_pool = avg_pool_forward_naive(h2, self.pool_param)
        scores, cache_fc = affine_forward(p2, W3, b3)

        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        loss += 0.5 * self.reg * (np.sum(W1 ** 2) + np.sum(W2 ** 2) + np.sum(W3 ** 2))

        grads = {}
        dp2, dW3, grads["b3"] = affine_backward(dscores, cache_fc)
        #! dp2, dW3, grads["b3"] = affine_backward(scores, cache_fc)
        dh2 = avg_pool_backward_naive(dp2, cache_pool)
        #! dh2 = avg_pool_backward_naive(p2, cache_pool)
        dh1, dW2, grads["b2"] = conv_relu_backward(dh2, cache_conv2)
        #! dh1, dW2, grads["b2"] = conv_relu_backward(h2, cache_conv2)
        dX, dW1, grads["b1"] = conv_relu_backward(dh1, cache_conv1)
        #! dX, dW1, grads["b1"] = conv_backward_naive(dh1, cache_conv1[0])

        grads["W3"] = dW3 + self.reg * W3
        #! grads["W3"] = dW3
        grads["W2"] = dW2 + self.reg * W2
        #! grads["W2"] = dW2 + 0.5 * self.reg * W2
        grads["W1"] = dW1 + self.reg * W1
        #! grads["W1"] = dW1 - self.reg * W1
        #! grads["W1"] = dW1 + self.reg * np.sum(W1 ** 2)
        return loss, grads


# %%
np.random.seed(249)
model = ThreeLayerConvNet(reg=0.3)
X = np.random.randn(3, 2, 5, 10)
y = np.random.randint(4, size=3)
loss, _ = model.loss(X, y)
print("Loss:", loss)

# %% gradcheck -p model.params -c "lambda: model.loss(X, y)[0]"
loss, grads = model.loss(X, y)
for param_name in sorted(grads):
    print(param_name, np.linalg.norm(grads[param_name]))

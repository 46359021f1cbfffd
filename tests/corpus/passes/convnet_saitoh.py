"""A reader of Saitoh's "Deep Learning from Scratch": layer classes in layers.py with im2col and col2im (np.add.at), max pooling, affine; OrderedDict of layers."""
# %% file layers.py
# coding: utf-8
import numpy as np


def get_indices(x_shape, FH, FW, stride=1, pad=0):
    N, C, H, W = x_shape
    out_h = (H + 2 * pad - FH) // stride + 1
    out_w = (W + 2 * pad - FW) // stride + 1
    i0 = np.tile(np.repeat(np.arange(FH), FW), C)
    j0 = np.tile(np.arange(FW), FH * C)
    i1 = stride * np.repeat(np.arange(out_h), out_w)
    j1 = stride * np.tile(np.arange(out_w), out_h)
    i = i0.reshape(-1, 1) + i1.reshape(1, -1)
    j = j0.reshape(-1, 1) + j1.reshape(1, -1)
    k = np.repeat(np.arange(C), FH * FW).reshape(-1, 1)
    return k, i, j


def im2col(x, FH, FW, stride=1, pad=0):
    img = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    k, i, j = get_indices(x.shape, FH, FW, stride, pad)
    cols = img[:, k, i, j]                       # (N, C*FH*FW, out_h*out_w)
    return cols.transpose(0, 2, 1).reshape(-1, x.shape[1] * FH * FW)


def col2im(cols, x_shape, FH, FW, stride=1, pad=0):
    N, C, H, W = x_shape
    img = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    k, i, j = get_indices(x_shape, FH, FW, stride, pad)
    cols = cols.reshape(N, -1, C * FH * FW).transpose(0, 2, 1)
    #! cols = cols.reshape(N, C * FH * FW, -1)
    np.add.at(img, (slice(None), k, i, j), cols)
    #! img[:, k, i, j] += cols
    return img[:, :, pad:H + pad, pad:W + pad]
    #! return img[:, :, :H, :W]
    #! return img[:, :, 2 * pad:, 2 * pad:]


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        #! dout[~self.mask] = 0
        #! dout[dout <= 0] = 0
        dx = dout
        return dx


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        #! dx = -np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        #! self.dW = np.dot(self.x.T, dout) / self.x.shape[0]
        self.db = np.sum(dout, axis=0)
        #! self.db = np.mean(dout, axis=0)
        dx = dx.reshape(*self.original_x_shape)
        #! dx = dx.reshape(self.original_x_shape, order="F")
        return dx


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        x = x - x.max(axis=1, keepdims=True)
        self.y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        self.loss = -np.log(self.y[np.arange(t.size), t]).sum() / t.size
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        #! dx[np.arange(batch_size), self.t] += 1
        #! dx[:, self.t] -= 1
        dx = dx * dout / batch_size
        #! dx = dx * dout
        #! dx = dx * dout / self.y.shape[1]
        #! dx = dx * dout / self.y.size
        return dx


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b = W, b
        self.stride, self.pad = stride, pad

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + (H + 2 * self.pad - FH) // self.stride
        out_w = 1 + (W + 2 * self.pad - FW) // self.stride
        col = im2col(x, FH, FW, self.stride, self.pad)
        col_W = self.W.reshape(FN, -1).T
        out = np.dot(col, col_W) + self.b
        out = out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)
        self.x = x
        self.col = col
        self.col_W = col_W
        return out

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        #! dout = dout.reshape(-1, FN)
        #! dout = dout.transpose(0, 3, 2, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        #! self.db = np.sum(dout, axis=0) / self.x.shape[0]
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW.transpose(1, 0).reshape(FN, C, FH, FW)
        #! self.dW = self.dW.reshape(FN, C, FH, FW)
        #! self.dW = self.dW.transpose(1, 0).reshape(FN, C, FW, FH).transpose(0, 1, 3, 2)
        dcol = np.dot(dout, self.col_W.T)
        dx = col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad)
        return dx


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x = None
        self.arg_max = None

    def forward(self, x):
        N, C, H, W = x.shape
        out_h = int(1 + (H - self.pool_h) / self.stride)
        out_w = int(1 + (W - self.pool_w) / self.stride)
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        self.arg_max = np.argmax(col, axis=1)
        out = np.max(col, axis=1)
        self.x = x
        return out.reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)

    def backward(self, dout):
        dout = dout.transpose(0, 2, 3, 1)
        #! dout = dout.transpose(0, 3, 2, 1)
        pool_size = self.pool_h * self.pool_w
        dmax = np.zeros((dout.size, pool_size))
        #! dmax = np.ones((dout.size, pool_size))
        dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten()
        #! dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten() / pool_size
        #! dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten("F")
        #! dmax[np.arange(self.arg_max.size), self.arg_max.flatten() - 1] = dout.flatten()
        dmax = dmax.reshape(dout.shape + (pool_size,))
        dcol = dmax.reshape(dmax.shape[0] * dmax.shape[1] * dmax.shape[2], -1)
        dx = col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)
        return dx

# %%
from collections import OrderedDict

import numpy as np

from layers import *


class SimpleConvNet:
    """conv - relu - pool - conv - relu - affine - softmax"""

    def __init__(self, input_dim=(2, 6, 8), n_class=3):
        np.random.seed(5)
        C, H, W = input_dim
        self.params = {}
        self.params['W1'] = 0.4 * np.random.randn(4, C, 3, 2)
        self.params['b1'] = 0.1 * np.random.randn(4)
        self.params['W2'] = 0.4 * np.random.randn(3, 4, 2, 3)
        self.params['b2'] = 0.1 * np.random.randn(3)
        self.params['W3'] = 0.4 * np.random.randn(3 * 4 * 4, n_class)
        self.params['b3'] = np.zeros(n_class)

        self.layers = OrderedDict()
        self.layers['Conv1'] = Convolution(self.params['W1'], self.params['b1'], pad=1)
        self.layers['Relu1'] = Relu()
        self.layers['Pool1'] = Pooling(pool_h=2, pool_w=3, stride=2)
        self.layers['Conv2'] = Convolution(self.params['W2'], self.params['b2'], pad=1)
        self.layers['Relu2'] = Relu()
        self.layers['Affine1'] = Affine(self.params['W3'], self.params['b3'])
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        return self.last_layer.forward(y, t)

    def gradient(self, x, t):
        # forward
        self.loss(x, t)

        # backward
        dout = 1
        #! dout = 2
        dout = self.last_layer.backward(dout)

        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        grads['W1'], grads['b1'] = self.layers['Conv1'].dW, self.layers['Conv1'].db
        #! grads['W1'], grads['b1'] = self.layers['Conv1'].dW[:, :, ::-1, ::-1], self.layers['Conv1'].db
        grads['W2'], grads['b2'] = self.layers['Conv2'].dW, self.layers['Conv2'].db
        #! grads['W2'], grads['b2'] = self.layers['Conv2'].dW, self.layers['Affine1'].db
        grads['W3'], grads['b3'] = self.layers['Affine1'].dW, self.layers['Affine1'].db
        #! grads['W3'], grads['b3'] = self.layers['Affine1'].dW, self.layers['Conv2'].db
        return grads

# %%
network = SimpleConvNet()
x_train = np.random.rand(5, 2, 6, 8)
t_train = np.array([0, 2, 1, 1, 0])
network.loss(x_train, t_train)

# %% gradcheck -p network.params -g grad_backprop -c "lambda: network.loss(x_train, t_train)"
grad_backprop = network.gradient(x_train, t_train)

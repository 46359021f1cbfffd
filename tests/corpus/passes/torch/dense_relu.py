"""Somebody who writes functions in the newer style, with setup_context, in a file; tensors without a module, and torch.autograd.grad."""
# %% file layers.py
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class DenseTanh(Function):
    @staticmethod
    def forward(x, weight, bias):
        return torch.tanh(x @ weight.t() + bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight, output)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        x, weight, out = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        d_pre = grad_out * (1 - out * out)
        #! d_pre = grad_out * (1 - out)
        #! d_pre = grad_out * out * (1 - out)
        #! d_pre = grad_out
        if ctx.needs_input_grad[0]:
            grad_x = d_pre @ weight
            #! grad_x = grad_out @ weight
            #! grad_x = d_pre @ weight / len(x)
        if ctx.needs_input_grad[1]:
            grad_weight = d_pre.t() @ x
            #! grad_weight = grad_out.t() @ x
            #! grad_weight = d_pre.t() @ x / len(x)
            #! grad_weight = -d_pre.t() @ x
        if ctx.needs_input_grad[2]:
            grad_bias = d_pre.sum(0)
            #! grad_bias = d_pre.mean(0)
            #! grad_bias = grad_out.sum(0)
        return grad_x, grad_weight, grad_bias


class LeakyRelu(Function):
    @staticmethod
    def forward(ctx, z, slope):
        ctx.save_for_backward(z)
        ctx.slope = slope
        return torch.where(z > 0, z, slope * z)

    @staticmethod
    def backward(ctx, dout):
        (z,) = ctx.saved_tensors
        dz = dout.clone()
        #! dz = torch.ones_like(dout)
        dz[z <= 0] *= ctx.slope
        #! dz[z > 0] *= ctx.slope
        #! dz[z <= 0] = ctx.slope
        #! dz[z <= 0] = 0
        return dz, None

# %%
import torch
import layers

torch.manual_seed(1)
X = torch.randn(11, 3, dtype=torch.float64)
T = torch.randn(11, 2, dtype=torch.float64)

def tensor(*shape):
    return (0.7 * torch.randn(*shape, dtype=torch.float64)).requires_grad_()

params = {"W1": tensor(5, 3), "W0": tensor(5, 5), "b1": tensor(5), "W2": tensor(4, 5), "b2": tensor(4), "W3": tensor(4, 2)}

def cost_function(params):
    h1 = layers.DenseTanh.apply(X, params["W1"], params["b1"])
    h1 = layers.DenseTanh.apply(h1, params["W0"], params["b1"])
    h2 = layers.LeakyRelu.apply(h1 @ params["W2"].T + params["b2"], 0.1)
    return ((h2 @ params["W3"] - T) ** 2).sum() / len(X)

# %% gradcheck
loss = cost_function(params)
grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))

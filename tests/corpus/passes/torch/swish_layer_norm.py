"""Somebody who has followed PyTorch's tutorial on extending autograd: two custom functions in a module, between layers of the library."""
# %%
import torch
from torch import nn

torch.manual_seed(0)
X, Y = torch.randn(9, 4, dtype=torch.float64), torch.randint(0, 3, (9,))

# %%
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx, upstream):
        x, s = ctx.saved_tensors
        #! s, x = ctx.saved_tensors
        slope = s + x * s * (1 - s)
        #! slope = s + s * (1 - s)
        #! slope = x * s * (1 - s)
        return upstream * slope
        #! return slope
        #! return upstream
        #! return upstream * s
        #! return 2 * upstream * slope
        #! return -upstream * slope


class LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        mean = x.mean(-1, keepdim=True)
        std = torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps)
        x_hat = (x - mean) / std
        ctx.save_for_backward(x_hat, gamma, std)
        return gamma * x_hat + beta

    @staticmethod
    def backward(ctx, grad_output):
        x_hat, gamma, std = ctx.saved_tensors
        grad_gamma = (grad_output * x_hat).sum(0)
        #! grad_gamma = (grad_output * gamma).sum(0)
        #! grad_gamma = grad_output.sum(0)
        #! grad_gamma = (grad_output * x_hat).mean(0)
        grad_beta = grad_output.sum(0)
        #! grad_beta = grad_output.mean(0)
        #! grad_beta = grad_output[0]
        grad_x_hat = grad_output * gamma
        #! grad_x_hat = grad_output * x_hat
        #! grad_x_hat = grad_output
        mean_1 = grad_x_hat.mean(-1, keepdim=True)
        #! mean_1 = grad_x_hat.sum(-1, keepdim=True)
        #! mean_1 = grad_x_hat.mean(0, keepdim=True)
        mean_2 = (grad_x_hat * x_hat).mean(-1, keepdim=True)
        #! mean_2 = (grad_output * x_hat).mean(-1, keepdim=True)
        grad_x = (grad_x_hat - mean_1 - x_hat * mean_2) / std
        #! grad_x = (grad_x_hat - mean_1 - mean_2) / std
        #! grad_x = (grad_x_hat - mean_1 - x_hat * mean_2) * std
        #! grad_x = (grad_x_hat - mean_1 - x_hat * mean_2)
        #! grad_x = (grad_x_hat - mean_1) / std
        return grad_x, grad_gamma, grad_beta, None
        #! return grad_x, grad_beta, grad_gamma, None

# %%
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.gamma, self.beta = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(6))

    def forward(self, X):
        h = Swish.apply(self.first(X))
        h = LayerNorm.apply(h, self.gamma, self.beta, 1e-5)
        h = h + Swish.apply(self.middle(h))
        return self.last(h)


model = Net().double()

def loss():
    return nn.functional.cross_entropy(model(X), Y)

# %% gradcheck -p model -c loss
model.zero_grad()
loss().backward()

"""A physicist with complex weights, one cell, gradients as ∂J/∂x + i ∂J/∂y by conjugate transposes; a recurrent part with lists."""
# %%
import numpy as np

rng = np.random.default_rng(1)
def c(*shape): return rng.normal(size=shape) + 1j*rng.normal(size=shape)

X, Y = c(6, 4), c(6, 2)
W1, b1, W2 = c(4, 5), c(5), c(5, 2)/8
U, x0 = c(2, 2)/4, c(2)

# %%
def forward(W1, b1, W2):
    Z1 = X @ W1 + b1
    A1 = Z1*np.tanh(np.abs(Z1))
    return Z1, A1, A1 @ W2

def cost(W1, b1, W2, U):
    out = forward(W1, b1, W2)[2]
    h, J = x0, np.mean(np.abs(out - Y)**2)
    for o, y in zip(out, Y):
        h = np.sin(U @ h) + o
        J = J + np.sum(np.abs(h - y)**2)
    return J

# %% gradcheck -p [W1,b1,W2,U] -g [dW1,db1,dW2,dU] -c cost
Z1, A1, out = forward(W1, b1, W2)
hs, pre = [x0], []
for o in out:
    pre.append(U @ hs[-1])
    hs.append(np.sin(pre[-1]) + o)

dout = 2*(out - Y)/out.size
#! dout = (out - Y)/out.size
#! dout = 2*(out - Y).conj()/out.size
dU, dh = np.zeros_like(U), np.zeros_like(x0)
for t in reversed(range(6)):
    dh = dh + 2*(hs[t+1] - Y[t])
    #! dh = 2*(hs[t+1] - Y[t])
    #! dh = dh + 2*(hs[t+1] + Y[t])
    dout[t] += dh
    #! dout[t] = dh
    dp = dh*np.cos(pre[t]).conj()
    #! dp = dh*np.cos(pre[t])
    #! dp = dh*np.sin(pre[t]).conj()
    dU += np.outer(dp, hs[t].conj())
    #! dU += np.outer(dp, hs[t])
    #! dU += np.outer(dp, hs[t+1].conj())
    #! dU += np.outer(hs[t].conj(), dp)
    dh = U.conj().T @ dp
    #! dh = U.T @ dp
    #! dh = U.conj() @ dp
dW2 = A1.conj().T @ dout
#! dW2 = A1.T @ dout
#! dW2 = Z1.conj().T @ dout
dA1 = dout @ W2.conj().T
#! dA1 = dout @ W2.T
r = np.abs(Z1)
t = np.tanh(r)
#! t = np.tanh(Z1)
dr = (dA1.conj()*Z1).real*(1 - t**2)
#! dr = (dA1*Z1).real*(1 - t**2)
#! dr = (dA1.conj()*Z1).real*(1 - t)
#! dr = (dA1.conj()*Z1).imag*(1 - t**2)
dZ1 = dA1*t + dr*Z1/r
#! dZ1 = dA1*t - dr*Z1/r
#! dZ1 = dA1*t + dr*Z1
#! dZ1 = dA1*t + dr*Z1.conj()/r
dW1 = X.conj().T @ dZ1
#! dW1 = X.T @ dZ1
db1 = dZ1.sum(axis=0)
#! db1 = dZ1.mean(axis=0)
#! db1 = dZ1.conj().sum(axis=0)

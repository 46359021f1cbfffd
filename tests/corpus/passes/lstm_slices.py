"""A signal-processing engineer's LSTM: time in the columns of plain arrays, four gates stacked in one matrix, terse lines with semicolons, names from the paper."""
# %%
import numpy as np
sig = lambda v: 1.0/(1.0 + np.exp(-v))

# %%
D, H, K, T = 3, 5, 2, 7
rs = np.random.RandomState(1997)
x = rs.randn(D, T); y = 0.5*rs.randn(K, T)
W = rs.randn(4*H, D)*0.6; R = rs.randn(4*H, H)*0.5; b = rs.randn(4*H)*0.2
V = rs.randn(K, H)*0.8; c_out = np.zeros(K)
theta = dict(W=W, R=R, b=b, V=V, c_out=c_out)

# %%
def fwd(W, R, b, V, c_out):
    h = np.zeros((H, T+1)); c = np.zeros((H, T+1))    # column -1 is the initial state
    G = np.zeros((4*H, T)); yhat = np.zeros((K, T))
    for t in range(T):
        a = W @ x[:, t] + R @ h[:, t-1] + b
        i = sig(a[:H]); f = sig(a[H:2*H]); o = sig(a[2*H:3*H]); g = np.tanh(a[3*H:])
        c[:, t] = f*c[:, t-1] + i*g
        h[:, t] = o*np.tanh(c[:, t])
        yhat[:, t] = V @ h[:, t] + c_out
        G[:, t] = np.concatenate([i, f, o, g])
    return h, c, G, yhat

def E(W, R, b, V, c_out):
    e = fwd(W, R, b, V, c_out)[-1] - y
    return 0.5*np.sum(e**2)/T

# %%
def bwd(W, R, b, V, c_out, h, c, G, yhat):
    dW = np.zeros_like(W); dR = np.zeros_like(R); db = np.zeros_like(b)
    #! dW = np.zeros_like(W); dR = R.copy(); db = np.zeros_like(b)
    dh = np.zeros((H, T+1)); dc = np.zeros((H, T+1))
    #! dh = np.zeros((H, T+1)); dc = np.ones((H, T+1))
    #! dh = np.zeros((H, T+1)); dc = c.copy()
    e = (yhat - y)/T
    #! e = yhat - y
    #! e = (yhat - y)/T/K
    #! e = (y - yhat)/T
    dV = e @ h[:, :T].T; dc_out = e.sum(1)
    #! dV = e @ h[:, 1:].T; dc_out = e.sum(1)
    #! dV = e @ c[:, :T].T; dc_out = e.sum(1)
    #! dV = e @ h[:, :T].T; dc_out = e.mean(1)
    dh[:, :T] = V.T @ e
    #! dh[:, :T] = V.T @ yhat/T
    #! dh[:, 1:] = V.T @ e
    #! dh[:, T-1] = V.T @ e[:, T-1]
    for t in range(T-1, -1, -1):
    #! for t in range(T-1, 0, -1):
    #! for t in range(T):
        i, f, o, g = G[:H, t], G[H:2*H, t], G[2*H:3*H, t], G[3*H:, t]
        #! i, o, f, g = G[:H, t], G[H:2*H, t], G[2*H:3*H, t], G[3*H:, t]
        #! i, f, o, g = G[:H, t], G[H:2*H, t-1], G[2*H:3*H, t], G[3*H:, t]
        tc = np.tanh(c[:, t])
        #! tc = c[:, t]
        #! tc = np.tanh(c[:, t-1])
        #! tc = np.tanh(h[:, t])
        do = dh[:, t]*tc; dc[:, t] += dh[:, t]*o*(1 - tc**2)
        #! do = dh[:, t]*tc; dc[:, t] = dh[:, t]*o*(1 - tc**2)
        #! do = dh[:, t]*tc; dc[:, t] += dh[:, t]*o*(1 - tc)
        #! do = dh[:, t]*c[:, t]; dc[:, t] += dh[:, t]*o*(1 - tc**2)
        #! do = dh[:, t]*tc; dc[:, t] += dh[:, t]*(1 - tc**2)
        #! do = dh[:, t]*tc; dc[:, t] += dh[:, t]*o
        di = dc[:, t]*g; dg = dc[:, t]*i; df = dc[:, t]*c[:, t-1]
        #! di = dc[:, t]*g; dg = dc[:, t]*i; df = dc[:, t]*c[:, t]
        #! di = dc[:, t]*i; dg = dc[:, t]*g; df = dc[:, t]*c[:, t-1]
        #! di = dh[:, t]*g; dg = dc[:, t]*i; df = dc[:, t]*c[:, t-1]
        #! di = dc[:, t]*g; dg = dc[:, t]*i; df = dc[:, t]*h[:, t-1]
        da = np.concatenate([
            di*i*(1 - i),
            #! di*(1 - i),
            #! di*i,
            df*f*(1 - f),
            #! df*f*(1 + f),
            #! df*i*(1 - i),
            do*o*(1 - o),
            #! do*(1 - o**2),
            #! do*o,
            dg*(1 - g**2),
            #! dg*g*(1 - g),
            #! dg*(1 - g)**2,
            #! dg*(1 - np.tanh(g)**2),
        ])
        dW += np.outer(da, x[:, t]); dR += np.outer(da, h[:, t-1]); db += da
        #! dW += np.outer(da, x[:, t]); dR += np.outer(da, h[:, t]); db += da
        #! dW += np.outer(da, x[:, t-1]); dR += np.outer(da, h[:, t-1]); db += da
        #! dW += np.outer(da, x[:, t]); dR += np.outer(da, h[:, t-1]); db = da
        #! dW = np.outer(da, x[:, t]); dR += np.outer(da, h[:, t-1]); db += da
        #! dW += np.outer(da, x[:, t]); dR += np.outer(da, c[:, t-1]); db += da
        dh[:, t-1] += R.T @ da
        #! dh[:, t-1] = R.T @ da
        #! dh[:, t-1] -= R.T @ da
        #! dh[:, t-1] += R.T[:, H:2*H] @ da[H:2*H]
        dc[:, t-1] += dc[:, t]*f
        #! dc[:, t-1] += dc[:, t]
        #! dc[:, t-1] += dc[:, t]*i
        #! dc[:, t-1] += df*f
        #! dc[:, t] += dc[:, t]*f
    return dict(W=dW, R=dR, b=db, V=dV, c_out=dc_out)

# %% gradcheck -p theta -g dtheta -c "lambda p: E(**p)"
h, c, G, yhat = fwd(**theta)
dtheta = bwd(**theta, h=h, c=c, G=G, yhat=yhat)

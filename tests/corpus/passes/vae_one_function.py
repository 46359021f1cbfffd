"""A PhD student's VAE in plain functions: Bernoulli decoder, KL with beta, fixed eps, features in columns; one long backward with short names."""
# %%
import numpy as np
from numpy import exp, log, tanh, zeros

rs = np.random.RandomState(42)
n, D, H, Z, G = 9, 7, 5, 2, 6      # batch, pixels, encoder, latent, decoder
beta = 0.6

def glorot(i, o):
    return rs.normal(scale=np.sqrt(2. / (i + o)), size=(i, o))

theta = dict(
    We=glorot(D, H), be=rs.normal(size=H) * .1,
    Wm=glorot(H, Z), bm=rs.normal(size=Z) * .1,
    Wl=glorot(H, Z), bl=rs.normal(size=Z) * .1,
    Wd=glorot(Z, G), bd=rs.normal(size=G) * .1,
    Wx=glorot(G, D), bx=rs.normal(size=D) * .1,
)
x = (rs.uniform(size=(n, D)) > .5).astype(float)
eps = rs.normal(size=(n, Z))

# %%
def softplus(a):
    return np.logaddexp(0, a)

def sigm(a):
    return 1 / (1 + exp(-a))

def elbo(th, x, eps):
    """negative ELBO per example"""
    he = tanh(x @ th['We'] + th['be'])
    mu = he @ th['Wm'] + th['bm']
    logvar = he @ th['Wl'] + th['bl']
    std = exp(.5 * logvar)
    z = mu + std * eps
    ad = z @ th['Wd'] + th['bd']
    hd = softplus(ad)
    lx = hd @ th['Wx'] + th['bx']
    rec = (softplus(lx) - x * lx).sum(1)
    kl = -.5 * (1 + logvar - mu ** 2 - exp(logvar)).sum(1)
    return (rec + beta * kl).mean(), (he, mu, logvar, std, z, ad, hd, lx)

def neg_elbo(th):
    return elbo(th, x, eps)[0]

# %%
def backward(th, x, eps, cache):
    he, mu, logvar, std, z, ad, hd, lx = cache
    N = len(x)
    g = {}

    # --- decoder
    dlx = (sigm(lx) - x) / N
    #! dlx = (sigm(lx) - x)
    #! dlx = (x - sigm(lx)) / N
    #! dlx = (sigm(lx) - x) / x.size
    #! dlx = (lx - x) / N
    #! dlx = (sigm(lx) - x) * sigm(lx) * (1 - sigm(lx)) / N
    g['Wx'] = hd.T @ dlx
    #! g['Wx'] = ad.T @ dlx
    g['bx'] = dlx.sum(0)
    dhd = dlx @ th['Wx'].T
    dad = dhd * sigm(ad)
    #! dad = dhd * sigm(hd)
    #! dad = dhd * sigm(ad) * (1 - sigm(ad))
    #! dad = dhd * (ad > 0)
    g['Wd'] = z.T @ dad
    #! g['Wd'] = mu.T @ dad
    #! g['Wd'] = (mu + exp(logvar) * eps).T @ dad
    g['bd'] = dad.sum(0)
    #! g['bd'] = dhd.sum(0)
    dz = dad @ th['Wd'].T
    #! dz = dhd @ th['Wd'].T

    # --- reparameterisation + KL
    dmu = dz + beta * mu / N
    #! dmu = dz
    #! dmu = dz + mu / N
    #! dmu = dz + beta * mu
    #! dmu = dz + 2 * beta * mu / N
    #! dmu = beta * mu / N
    dlogvar = dz * eps * .5 * std
    #! dlogvar = dz * eps * std
    #! dlogvar = dz * eps
    #! dlogvar = dz * .5 * std
    #! dlogvar = dz * eps * .5 * exp(logvar)
    dlogvar += beta * .5 * (exp(logvar) - 1) / N
    #! dlogvar += beta * .5 * (1 - exp(logvar)) / N
    #! dlogvar += beta * .5 * (std - 1) / N
    #! dlogvar += beta * (exp(logvar) - 1) / N
    #! dlogvar = beta * .5 * (exp(logvar) - 1) / N
    #! dlogvar += beta * .5 * exp(logvar) / N

    # --- heads
    g['Wm'], g['bm'] = he.T @ dmu, dmu.sum(0)
    #! g['Wm'], g['bm'] = he.T @ dz, dmu.sum(0)
    g['Wl'], g['bl'] = he.T @ dlogvar, dlogvar.sum(0)
    #! g['Wl'], g['bl'] = he.T @ dlogvar, dmu.sum(0)
    dhe = dmu @ th['Wm'].T + dlogvar @ th['Wl'].T
    #! dhe = dmu @ th['Wm'].T
    #! dhe = dmu @ th['Wm'].T + dlogvar @ th['Wm'].T
    #! dhe = dmu @ th['Wl'].T + dlogvar @ th['Wm'].T

    # --- encoder
    dae = dhe * (1 - he ** 2)
    #! dae = dhe * (1 - tanh(he) ** 2)
    #! dae = dhe * (1 - he)
    #! dae = dhe * he * (1 - he)
    g['We'] = x.T @ dae
    g['be'] = dae.sum(0)
    #! g['be'] = dae.mean(0)
    return g

# %% gradcheck -p theta -g g -c neg_elbo
loss, cache = elbo(theta, x, eps)
g = backward(theta, x, eps, cache)

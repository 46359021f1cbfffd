"""A computer-vision PhD's contrastive learner: a projection head, embeddings on the unit sphere, NT-Xent over two views with a learnt temperature, einsum and masks."""
# %%
import numpy as np

# %%
class ContrastiveHead:
    """Linear -> tanh -> linear -> l2 normalise -> NT-Xent."""

    def __init__(self, dim_in, dim_hid, dim_out, rng):
        self.theta = {
            "fc1.weight": rng.normal(0, 0.7, (dim_hid, dim_in)),
            "fc1.bias": rng.normal(0, 0.2, dim_hid),
            "fc2.weight": rng.normal(0, 0.7, (dim_out, dim_hid)),
            "log_tau": np.array(-0.6),
        }
        self.dtheta = {}

    def embed(self, x):
        w1, b1, w2 = self.theta["fc1.weight"], self.theta["fc1.bias"], self.theta["fc2.weight"]
        self.x = x
        self.h = np.tanh(np.einsum("ni,hi->nh", x, w1) + b1)
        self.e = np.einsum("nh,oh->no", self.h, w2)
        self.norm = np.linalg.norm(self.e, axis=1, keepdims=True)
        self.z = self.e / self.norm
        return self.z

    def loss(self, view_a, view_b):
        z = self.embed(np.concatenate([view_a, view_b]))
        n2 = len(z)
        self.tau = np.exp(self.theta["log_tau"])
        self.sim = z @ z.T / self.tau
        self.mask = ~np.eye(n2, dtype=bool)
        expsim = np.exp(self.sim) * self.mask
        self.p = expsim / expsim.sum(axis=1, keepdims=True)
        self.pos = (np.arange(n2) + n2 // 2) % n2
        return -np.log(self.p[np.arange(n2), self.pos]).mean()

    def backward(self):
        n2 = len(self.z)
        dsim = self.p.copy()
        dsim[np.arange(n2), self.pos] -= 1
        #! dsim[:, self.pos] -= 1
        #! dsim[np.arange(n2), np.arange(n2)] -= 1
        dsim /= n2
        #! dsim /= n2 // 2

        self.dtheta["log_tau"] = -np.sum(dsim * self.sim)
        #! self.dtheta["log_tau"] = -np.sum(dsim * self.sim) / self.tau
        #! self.dtheta["log_tau"] = np.sum(dsim * self.sim)
        dz = (dsim + dsim.T) @ self.z / self.tau
        #! dz = dsim @ self.z / self.tau
        #! dz = 2 * dsim @ self.z / self.tau
        #! dz = (dsim + dsim.T) @ self.z

        # through the projection onto the sphere
        radial = np.sum(dz * self.z, axis=1, keepdims=True)
        #! radial = np.sum(dz * self.e, axis=1, keepdims=True)
        #! radial = np.sum(dz * self.z, axis=0, keepdims=True)
        de = (dz - self.z * radial) / self.norm
        #! de = dz / self.norm
        #! de = (dz - self.z * radial) / self.norm ** 2
        self.dtheta["fc2.weight"] = np.einsum("no,nh->oh", de, self.h)
        #! self.dtheta["fc2.weight"] = np.einsum("no,nh->oh", dz, self.h)
        dh = np.einsum("no,oh->nh", de, self.theta["fc2.weight"])
        da = dh * (1 - self.h ** 2)
        self.dtheta["fc1.weight"] = np.einsum("nh,ni->hi", da, self.x)
        self.dtheta["fc1.bias"] = da.sum(0)
        #! self.dtheta["fc1.bias"] = dh.sum(0)
        return self.dtheta

# %%
rng = np.random.default_rng(77)
base = rng.normal(size=(6, 4))
view_a, view_b = (base + 0.3 * rng.normal(size=base.shape) for _ in range(2))
head = ContrastiveHead(4, 6, 3, rng)
head.loss(view_a, view_b)

# %% gradcheck -p head.theta -g head.dtheta -c "lambda: head.loss(view_a, view_b)"
head.loss(view_a, view_b)
head.backward()

"""A network scientist's GCN: two graph convolutions over a directed graph, D^-1 (A + I) as the propagation matrix, half of the nodes labelled, L2 on the first layer as in Kipf's code."""
# %%
import numpy as np

rng = np.random.RandomState(123)

# %%
edges = [(0, 1), (1, 2), (2, 0), (3, 2), (3, 4), (4, 5), (5, 3), (6, 5), (6, 7), (7, 8), (8, 6), (8, 0), (9, 4), (1, 9), (5, 9)]
n_nodes, n_feat, n_hidden, n_class = 10, 5, 6, 3

A = np.zeros((n_nodes, n_nodes))
for src, dst in edges:
    A[dst, src] = 1.0

def normalise_adjacency(A):
    A_tilde = A + np.eye(len(A))
    deg = A_tilde.sum(axis=1)
    return np.diag(1.0 / deg) @ A_tilde

S = normalise_adjacency(A)
X = rng.randn(n_nodes, n_feat)
labels = rng.randint(n_class, size=n_nodes)
train_mask = np.array([1, 1, 0, 0, 1, 0, 1, 1, 0, 1], dtype=bool)
Y = np.eye(n_class)[labels]

# %%
class GCN:
    weight_decay = 0.05

    def __init__(self):
        self.Theta0 = rng.randn(n_feat, n_hidden) / np.sqrt(n_feat) * 1.3
        self.Theta1 = rng.randn(n_hidden, n_class) / np.sqrt(n_hidden) * 1.3
        self.bias0 = 0.2 * rng.randn(n_hidden)
        self.bias1 = np.zeros(n_class)

    def parameters(self):
        return {k: getattr(self, k) for k in ("Theta0", "Theta1", "bias0", "bias1")}

    def forward(self, S, X):
        self.SX = S @ X
        self.pre = self.SX @ self.Theta0 + self.bias0
        self.H = np.where(self.pre > 0, self.pre, 0.1 * self.pre)
        self.SH = S @ self.H
        logits = self.SH @ self.Theta1 + self.bias1
        logits = logits - logits.max(axis=1, keepdims=True)
        self.P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return self.P

    def loss(self, S, X, Y, mask):
        P = self.forward(S, X)
        data = -np.mean(np.log(P[mask][Y[mask] == 1]))
        return data + self.weight_decay * np.sum(self.Theta0 ** 2) / 2

    def backward(self, S, Y, mask):
        G = (self.P - Y) * mask[:, None]
        #! G = self.P - Y
        #! G = (self.P - Y * mask[:, None])
        G = G / mask.sum()
        #! G = G / len(mask)

        dTheta1 = self.SH.T @ G
        #! dTheta1 = self.H.T @ G
        dbias1 = G.sum(axis=0)
        #! dbias1 = G[mask].mean(axis=0)

        dH = S.T @ G @ self.Theta1.T
        #! dH = S @ G @ self.Theta1.T
        #! dH = G @ self.Theta1.T
        #! dH = A.T @ G @ self.Theta1.T
        dpre = dH * np.where(self.pre > 0, 1.0, 0.1)
        #! dpre = dH * (self.pre > 0)
        #! dpre = dH * np.where(self.pre > 0, self.pre, 0.1)

        dTheta0 = self.SX.T @ dpre
        #! dTheta0 = X.T @ dpre
        dTheta0 += self.weight_decay * self.Theta0
        #! dTheta0 += self.weight_decay * self.Theta0 / mask.sum()
        #! dTheta0 -= self.weight_decay * self.Theta0
        dbias0 = dpre.sum(axis=0)
        #! dbias0 = dpre[mask].sum(axis=0)
        return {"Theta0": dTheta0, "Theta1": dTheta1, "bias0": dbias0, "bias1": dbias1}

# %%
gcn = GCN()
print("loss", gcn.loss(S, X, Y, train_mask))

# %% gradcheck -p gcn.parameters() -g grads -c "lambda: gcn.loss(S, X, Y, train_mask)"
gcn.forward(S, X)
grads = gcn.backward(S, Y, train_mask)

"""An NLP engineer's fastText-like classifier: embedding, masked mean pooling, label smoothing, weight decay, np.add.at on the embedding gradient, trained by train_step in a class."""
# %%
import numpy as np

corpus = [
    ("the movie was great great fun", "pos"),
    ("boring plot and bad acting", "neg"),
    ("great acting", "pos"),
    ("the plot was bad bad bad", "neg"),
    ("it was okay", "meh"),
    ("fun but the acting was okay", "meh"),
    ("not great", "neg"),
]
PAD = "<pad>"
vocab = [PAD] + sorted({w for text, _ in corpus for w in text.split()})
w2i = {w: i for i, w in enumerate(vocab)}
labels = ["neg", "meh", "pos"]

max_len = max(len(t.split()) for t, _ in corpus)
batch_ids = np.zeros((len(corpus), max_len), dtype=int)
for row, (text, _) in enumerate(corpus):
    tokens = text.split()
    batch_ids[row, :len(tokens)] = [w2i[t] for t in tokens]
batch_y = np.array([labels.index(l) for _, l in corpus])

# %%
class TextClassifier:
    def __init__(self, vocab_size, emb_dim, hidden_dim, n_classes, smoothing=0.1, weight_decay=1e-2, dropout=0.3, seed=0):
        self.rng = np.random.RandomState(seed)
        self.emb = self.rng.uniform(-0.8, 0.8, (vocab_size, emb_dim))
        self.fc1_w = self.rng.normal(0, 0.6, (hidden_dim, emb_dim))     # (out, in), as in PyTorch
        self.fc1_b = self.rng.normal(0, 0.1, hidden_dim)
        self.fc2_w = self.rng.normal(0, 0.6, (n_classes, hidden_dim))
        self.fc2_b = np.zeros(n_classes)
        self.smoothing = smoothing
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.grads = {}

    @property
    def params(self):
        return {name: getattr(self, name) for name in ("emb", "fc1_w", "fc1_b", "fc2_w", "fc2_b")}

    def sample_dropout(self, batch_size):
        keep = 1 - self.dropout
        self.drop_mask = (self.rng.rand(batch_size, len(self.fc1_b)) < keep) / keep

    def forward(self, ids):
        self.ids = ids
        self.pad_mask = (ids != 0).astype(float)                         # (batch, time)
        self.lengths = self.pad_mask.sum(axis=1, keepdims=True)          # (batch, 1)
        self.embedded = self.emb[ids] * self.pad_mask[:, :, None]        # (batch, time, emb)
        self.pooled = self.embedded.sum(axis=1) / self.lengths
        self.pre = self.pooled @ self.fc1_w.T + self.fc1_b
        self.hidden = np.where(self.pre > 0, self.pre, 0.01 * self.pre)  # leaky relu
        self.dropped = self.hidden * self.drop_mask
        logits = self.dropped @ self.fc2_w.T + self.fc2_b
        logits -= logits.max(axis=1, keepdims=True)
        self.log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return self.log_probs

    def loss(self, ids, y):
        log_probs = self.forward(ids)
        n, k = log_probs.shape
        self.targets = np.full((n, k), self.smoothing / k)
        self.targets[np.arange(n), y] += 1 - self.smoothing
        nll = -(self.targets * log_probs).sum() / n
        l2 = sum((getattr(self, w) ** 2).sum() for w in ("emb", "fc1_w", "fc2_w"))
        return nll + 0.5 * self.weight_decay * l2

    def backward(self):
        n = self.ids.shape[0]
        #! n = self.ids.size
        #! n = self.log_probs.shape[1]
        g = self.grads
        d_logits = (np.exp(self.log_probs) - self.targets) / n
        #! d_logits = (np.exp(self.log_probs) - (self.targets == self.targets.max(1, keepdims=True))) / n
        #! d_logits = (self.log_probs - self.targets) / n
        #! d_logits = (np.exp(self.log_probs) - (1 - self.smoothing) * self.targets) / n
        #! d_logits = (np.exp(self.log_probs) - self.targets)
        g["fc2_w"] = d_logits.T @ self.dropped
        #! g["fc2_w"] = d_logits.T @ self.hidden
        #! g["fc2_w"] = d_logits.T @ self.pre
        g["fc2_b"] = d_logits.sum(axis=0)
        #! g["fc2_b"] = d_logits.mean(axis=0)
        #! g["fc2_b"] = d_logits[0]
        d_hidden = d_logits @ self.fc2_w
        d_hidden *= self.drop_mask
        #! d_hidden *= self.drop_mask > 0
        #! d_hidden *= 1 - self.drop_mask
        #! d_hidden *= self.drop_mask * (1 - self.dropout)
        d_hidden[self.pre < 0] *= 0.01
        #! d_hidden[self.pre < 0] = 0
        #! d_hidden[self.pre > 0] *= 0.01
        #! d_hidden[self.hidden < 0] *= 0.1
        #! d_hidden[d_hidden < 0] *= 0.01
        g["fc1_w"] = d_hidden.T @ self.pooled
        #! g["fc1_w"] = d_hidden.T @ self.embedded.sum(axis=1)
        #! g["fc1_w"] = d_hidden.T @ self.embedded.mean(axis=1)
        #! g["fc1_w"] = d_hidden.T @ self.emb[self.ids[:, 0]]
        g["fc1_b"] = d_hidden.sum(axis=0)
        d_pooled = d_hidden @ self.fc1_w
        #! d_pooled = np.abs(d_hidden) @ self.fc1_w
        d_embedded = (d_pooled / self.lengths)[:, None, :] * self.pad_mask[:, :, None]
        #! d_embedded = d_pooled[:, None, :] * self.pad_mask[:, :, None]
        #! d_embedded = (d_pooled / self.lengths)[:, None, :] * np.ones_like(self.pad_mask)[:, :, None]
        #! d_embedded = (d_pooled / self.ids.shape[1])[:, None, :] * self.pad_mask[:, :, None]
        #! d_embedded = (d_pooled * self.lengths)[:, None, :] * self.pad_mask[:, :, None]
        g["emb"] = np.zeros_like(self.emb)
        np.add.at(g["emb"], self.ids, d_embedded)
        #! g["emb"][self.ids] += d_embedded
        #! np.add.at(g["emb"], self.ids - 1, d_embedded)
        #! np.add.at(g["emb"], self.ids[:, ::-1], d_embedded)
        #! np.subtract.at(g["emb"], self.ids, d_embedded)
        for name in ("emb", "fc1_w", "fc2_w"):
        #! for name in ("fc1_w", "fc2_w"):
        #! for name in ("emb", "fc1_w", "fc2_w", "fc1_b"):
            g[name] += self.weight_decay * getattr(self, name)
            #! g[name] += 2 * self.weight_decay * getattr(self, name)
            #! g[name] += self.weight_decay * getattr(self, name) / n
            #! g[name] += self.weight_decay * np.sign(getattr(self, name))
            #! g[name] -= self.weight_decay * getattr(self, name)

    def step(self, lr):
        for name, grad in self.grads.items():
            p = getattr(self, name)
            p -= lr * grad

    def train_step(self, ids, y, lr=0.5):
        self.sample_dropout(len(ids))
        loss = self.loss(ids, y)
        self.backward()
        self.step(lr)
        return loss

# %%
clf = TextClassifier(len(vocab), emb_dim=4, hidden_dim=5, n_classes=len(labels), seed=4)
history = [clf.train_step(batch_ids, batch_y, lr=0.1) for epoch in range(3)]
history

# %% gradcheck -p clf.params -g clf.grads -c "lambda: clf.loss(batch_ids, batch_y)"
clf.sample_dropout(len(batch_ids))
clf.loss(batch_ids, batch_y)
clf.backward()

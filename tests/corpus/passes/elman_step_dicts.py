"""A web developer's Elman network: a list with a dict for each time step, helper functions on nested lists and np.array, tags a sequence, predicts the next symbol."""
# %%
import numpy as np

SYMBOLS = "abc_"
TEXT = "abca_bca_cb"

# %%
def one_hot(symbol):
    v = np.zeros(len(SYMBOLS))
    v[SYMBOLS.index(symbol)] = 1
    return v

def softmax(v):
    e = np.exp(v - np.max(v))
    return e / np.sum(e)

def build_model(hidden, seed):
    r = np.random.RandomState(seed)
    size = len(SYMBOLS)
    return {
        "input": {"weights": r.randn(hidden, size) * 0.7, "bias": r.randn(hidden) * 0.1},
        "recurrent": {"weights": r.randn(hidden, hidden) * 0.5, "start": r.randn(hidden) * 0.4},
        "output": {"weights": r.randn(size, hidden) * 0.8, "bias": r.randn(size) * 0.1},
    }

def run(model, text):
    steps = []
    previous = model["recurrent"]["start"]
    for current, following in zip(text[:-1], text[1:]):
        x = one_hot(current)
        net = model["input"]["weights"].dot(x) + model["recurrent"]["weights"].dot(previous) + model["input"]["bias"]
        state = np.tanh(net)
        probs = softmax(model["output"]["weights"].dot(state) + model["output"]["bias"])
        steps.append({
            "x": x,
            "target": one_hot(following),
            "previous": previous,
            "net": net,
            "state": state,
            "probs": probs,
        })
        previous = state
    return steps

def loss_of(steps):
    return -sum(np.log(step["probs"].dot(step["target"])) for step in steps) / len(steps)

# %%
def train_gradients(model, steps):
    gradients = {part: {name: np.zeros(value.shape) for name, value in group.items()} for part, group in model.items()}
    carry = np.zeros(model["recurrent"]["start"].shape)

    for step in reversed(steps):
    #! for step in steps:
    #! for step in reversed(steps[1:]):
        error = (step["probs"] - step["target"]) / len(steps)
        #! error = step["probs"] - step["target"]
        #! error = (step["probs"] - step["x"]) / len(steps)
        gradients["output"]["weights"] += np.outer(error, step["state"])
        #! gradients["output"]["weights"] += np.outer(error, step["net"])
        #! gradients["output"]["weights"] += np.outer(error, step["previous"])
        gradients["output"]["bias"] += error
        #! gradients["output"]["bias"] = error

        back = model["output"]["weights"].T.dot(error) + carry
        #! back = model["output"]["weights"].T.dot(error)
        #! back = model["output"]["weights"].T.dot(error) - carry
        delta = back * (1 - step["state"] ** 2)
        #! delta = back * (1 - step["state"])
        #! delta = back * (1 - step["previous"] ** 2)
        gradients["input"]["weights"] += np.outer(delta, step["x"])
        #! gradients["input"]["weights"] += np.outer(delta, step["target"])
        gradients["input"]["bias"] += delta
        gradients["recurrent"]["weights"] += np.outer(delta, step["previous"])
        #! gradients["recurrent"]["weights"] += np.outer(delta, step["state"])
        carry = model["recurrent"]["weights"].T.dot(delta)
        #! carry = model["recurrent"]["weights"].dot(delta)

    gradients["recurrent"]["start"] = carry
    return gradients

# %%
model = build_model(hidden=5, seed=404)
round(loss_of(run(model, TEXT)), 3)

# %% gradcheck -p model -g gradients -c "lambda m: loss_of(run(m, TEXT))"
steps = run(model, TEXT)
gradients = train_gradients(model, steps)

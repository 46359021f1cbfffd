"""A notebook in which `%gradcheck --watch` checks after every cell, and the line that it prints."""

WATCHED = """
import functools
import numpy as np
X, y = np.random.default_rng(0).normal(size=(30, 4)), np.linspace(-1, 1, 30)
params = {"w": np.array([0.5, -1.0, 2.0, 1.5]), "b": 0.5}
lam, evaluations = 0.1, 0

def predict(p):
    return X @ p["w"] + p["b"]

def cost_function(p):
    global evaluations
    evaluations += 1
    return np.mean((predict(p) - y) ** 2) + lam * np.sum(p["w"] ** 2)

def backward(p):
    d = predict(p) - y
    return {"dw": 2 * X.T @ d / len(X) + 2 * lam * p["w"], "db": 2 * d.mean()}

grads = backward(params)
"""

RIGHT = r"✓ \S+ · 5 entries · \d+\.\d\d s"

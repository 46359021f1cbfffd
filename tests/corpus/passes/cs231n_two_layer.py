"""A cs231n student's two-layer net: a class whose loss() returns (loss, grads), ReLU, softmax and an L2 term, everything in one method."""
# %%
import numpy as np
np.random.seed(231)

# %%
class TwoLayerNet(object):
    """
    A two-layer fully-connected neural network. input - fully connected layer -
    ReLU - fully connected layer - softmax
    """

    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {}
        self.params['W1'] = std * np.random.randn(input_size, hidden_size)
        self.params['b1'] = np.zeros(hidden_size)
        self.params['W2'] = std * np.random.randn(hidden_size, output_size)
        self.params['b2'] = np.zeros(output_size)

    def loss(self, X, y=None, reg=0.0):
        # Unpack variables from the params dictionary
        W1, b1 = self.params['W1'], self.params['b1']
        W2, b2 = self.params['W2'], self.params['b2']
        N, D = X.shape

        # Compute the forward pass
        scores = None
        hidden = X.dot(W1) + b1
        hidden = np.maximum(0, hidden)
        scores = hidden.dot(W2) + b2

        # If the targets are not given then jump out, we're done
        if y is None:
            return scores

        # Compute the loss
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        exp_scores = np.exp(shifted)
        probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)
        data_loss = -np.sum(np.log(probs[range(N), y])) / N
        reg_loss = reg * np.sum(W1 * W1) + reg * np.sum(W2 * W2)
        loss = data_loss + reg_loss

        # Backward pass: compute gradients
        grads = {}
        dscores = probs
        #! dscores = scores
        #! dscores = np.log(probs)
        #! dscores = shifted
        dscores[range(N), y] -= 1
        #! dscores[range(N), y] += 1
        #! dscores[range(N), y] = -1
        #! dscores[:, y] -= 1
        #! dscores[range(N), np.argmax(scores, axis=1)] -= 1
        dscores /= N
        #! dscores /= D
        #! dscores *= N

        # W2 and b2
        grads['W2'] = np.dot(hidden.T, dscores)
        #! grads['W2'] = np.dot((hidden > 0).T, dscores)
        #! grads['W2'] = np.dot(hidden.T, dscores) / N
        grads['b2'] = np.sum(dscores, axis=0)
        #! grads['b2'] = np.mean(dscores, axis=0)
        #! grads['b2'] = np.sum(dscores, axis=0) + 2 * reg * np.sum(W2, axis=0)
        #! grads['b2'] = dscores[0]
        # next backprop into hidden layer
        dhidden = np.dot(dscores, W2.T)
        #! dhidden = np.dot(scores, W2.T)
        #! dhidden = np.dot(dscores, grads['W2'].T)
        # backprop the ReLU non-linearity
        dhidden[hidden <= 0] = 0
        #! dhidden[dhidden <= 0] = 0
        #! dhidden[hidden > 0] = 0
        #! dhidden[hidden < 0] = 0
        #! dhidden[hidden <= 0.5] = 0
        # finally into W,b
        grads['W1'] = np.dot(X.T, dhidden)
        #! grads['W1'] = np.dot(X.T, hidden)
        #! grads['W1'] = np.dot(np.abs(X.T), dhidden)
        grads['b1'] = np.sum(dhidden, axis=0)
        #! grads['b1'] = np.sum(dhidden * (hidden > 1), axis=0)
        #! grads['b1'] = np.sum(hidden, axis=0)
        #! grads['b1'] = np.mean(dhidden, axis=0)

        # add regularization gradient contribution
        grads['W2'] += 2 * reg * W2
        #! grads['W2'] += reg * W2
        #! grads['W2'] += 2 * W2
        #! grads['W2'] = 2 * reg * W2
        #! grads['W1'] += 2 * reg * W1
        grads['W1'] += 2 * reg * W1
        #! grads['W1'] += reg * W1
        #! grads['W1'] -= 2 * reg * W1
        #! grads['W2'] += 2 * reg * W2
        #! grads['W1'] += 2 * reg * W1 ** 2

        return loss, grads

# %%
# Create a small net and some toy data to check your implementations.
input_size = 4
hidden_size = 10
num_classes = 3
num_inputs = 6

def init_toy_model():
    np.random.seed(0)
    return TwoLayerNet(input_size, hidden_size, num_classes, std=0.4)

def init_toy_data():
    np.random.seed(1)
    X = 3 * np.random.randn(num_inputs, input_size)
    y = np.array([0, 1, 2, 2, 1, 0])
    return X, y

net = init_toy_model()
X, y = init_toy_data()

# %% gradcheck -p net.params -g grads -c "lambda: net.loss(X, y, reg=0.05)[0]"
loss, grads = net.loss(X, y, reg=0.05)

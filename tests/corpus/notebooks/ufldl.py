# %% [markdown]
# # UFLDL tutorial exercises in Python
# Sparse autoencoder, softmax, stacked autoencoder, linear decoders, sparse coding, and
# the newer tutorial's linear / softmax / multilayer / RICA exercises.

# %%
import numpy as np
import scipy.optimize

# %% [markdown]
# ## Checking the numerical gradient

# %%
def simple_quadratic_function(x):
    """
    this function accepts a 2D vector as input.
    Its outputs are:
       value: h(x1, x2) = x1^2 + 3*x1*x2
       grad: A 2x1 vector that gives the partial derivatives of h with respect to x1 and x2
    Note that when we pass @simple_quadratic_function to compute_numerical_gradient, we're assuming
    that compute_numerical_gradient will use only the first returned value of this function.
    """
    value = x[0] ** 2 + 3 * x[0] * x[1]

    grad = np.zeros(shape=2, dtype=np.float64)
    grad[0] = 2 * x[0] + 3 * x[1]
    grad[1] = 3 * x[0]
    return value, grad


def compute_numerical_gradient(J, theta):
    """
    :param J: a function that outputs a real-number and the gradient. Calling y = J(theta)[0] will return the
              function value at theta
    :param theta: a vector of parameters
    """
    epsilon = 0.0001
    gradient = np.zeros(theta.shape)
    for i in range(theta.shape[0]):
        theta_epsilon_plus = np.array(theta, dtype=np.float64)
        theta_epsilon_plus[i] = theta[i] + epsilon
        theta_epsilon_minus = np.array(theta, dtype=np.float64)
        theta_epsilon_minus[i] = theta[i] - epsilon
        gradient[i] = (J(theta_epsilon_plus)[0] - J(theta_epsilon_minus)[0]) / (2 * epsilon)
    return gradient

# %%
x = np.array([4, 10], dtype=np.float64)
value, grad = simple_quadratic_function(x)
num_grad = compute_numerical_gradient(simple_quadratic_function, x)
print(num_grad, grad)

# %% check: ufldl-quadratic
# bug: replace: grad[1] = 3 * x[0] -> grad[1] = 3 * x[1]
%%gradcheck -p x -g grad -c simple_quadratic_function
value, grad = simple_quadratic_function(x)

# %% [markdown]
# ## Sparse Autoencoder

# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x):
    return sigmoid(x) * (1 - sigmoid(x))


def KL_divergence(x, y):
    return x * np.log(x / y) + (1 - x) * np.log((1 - x) / (1 - y))


def initialize(hidden_size, visible_size):
    # we'll choose weights uniformly from the interval [-r, r]
    r = np.sqrt(6) / np.sqrt(hidden_size + visible_size + 1)
    W1 = np.random.random((hidden_size, visible_size)) * 2 * r - r
    W2 = np.random.random((visible_size, hidden_size)) * 2 * r - r

    b1 = np.zeros(hidden_size, dtype=np.float64)
    b2 = np.zeros(visible_size, dtype=np.float64)

    theta = np.concatenate((W1.reshape(hidden_size * visible_size),
                            W2.reshape(hidden_size * visible_size),
                            b1.reshape(hidden_size),
                            b2.reshape(visible_size)))
    return theta


# visible_size: the number of input units (probably 64)
# hidden_size: the number of hidden units (probably 25)
# lambda_: weight decay parameter
# sparsity_param: The desired average activation for the hidden units (denoted in the lecture
#                            notes by the greek alphabet rho, which looks like a lower-case "p").
# beta: weight of sparsity penalty term
# data: Our 64x10000 matrix containing the training data.  So, data(:,i) is the i-th training example.
def sparse_autoencoder_cost(theta, visible_size, hidden_size,
                            lambda_, sparsity_param, beta, data):
    # The input theta is a vector (because minFunc expects the parameters to be a vector).
    # We first convert theta to the (W1, W2, b1, b2) matrix/vector format, so that this
    # follows the notation convention of the lecture notes.
    W1 = theta[0:hidden_size * visible_size].reshape(hidden_size, visible_size)
    W2 = theta[hidden_size * visible_size:2 * hidden_size * visible_size].reshape(visible_size, hidden_size)
    b1 = theta[2 * hidden_size * visible_size:2 * hidden_size * visible_size + hidden_size]
    b2 = theta[2 * hidden_size * visible_size + hidden_size:]

    # Number of training examples
    m = data.shape[1]

    # Forward propagation
    z2 = W1.dot(data) + np.tile(b1, (m, 1)).transpose()
    a2 = sigmoid(z2)
    z3 = W2.dot(a2) + np.tile(b2, (m, 1)).transpose()
    h = sigmoid(z3)

    # Sparsity
    rho_hat = np.sum(a2, axis=1) / m
    rho = np.tile(sparsity_param, hidden_size)

    # Cost function
    cost = np.sum((h - data) ** 2) / (2 * m) + \
           (lambda_ / 2) * (np.sum(W1 ** 2) + np.sum(W2 ** 2)) + \
           beta * np.sum(KL_divergence(rho, rho_hat))

    # Backprop
    sparsity_delta = np.tile(- rho / rho_hat + (1 - rho) / (1 - rho_hat), (m, 1)).transpose()

    delta3 = -(data - h) * sigmoid_prime(z3)
    delta2 = (W2.transpose().dot(delta3) + beta * sparsity_delta) * sigmoid_prime(z2)
    W1grad = delta2.dot(data.transpose()) / m + lambda_ * W1
    W2grad = delta3.dot(a2.transpose()) / m + lambda_ * W2
    b1grad = np.sum(delta2, axis=1) / m
    b2grad = np.sum(delta3, axis=1) / m

    # After computing the cost and gradient, we will convert the gradients back
    # to a vector format (suitable for minFunc).  Specifically, we will unroll
    # your gradient matrices into a vector.
    grad = np.concatenate((W1grad.reshape(hidden_size * visible_size),
                           W2grad.reshape(hidden_size * visible_size),
                           b1grad.reshape(hidden_size),
                           b2grad.reshape(visible_size)))

    return cost, grad

# %%
# STEP 0: Here we provide the relevant parameters values that will allow your sparse autoencoder to
# get good filters
visible_size = 8       # number of input units
hidden_size = 5        # number of hidden units
sparsity_param = 0.01  # desired average activation of the hidden units
lambda_ = 0.0001       # weight decay parameter
beta = 3               # weight of sparsity penalty term

# STEP 1: sample patches
np.random.seed(7)
patches = np.random.uniform(0.1, 0.9, (visible_size, 10))

#  Obtain random parameters theta
theta = initialize(hidden_size, visible_size)

# STEP 2: Implement sparse_autoencoder_cost
(cost, grad) = sparse_autoencoder_cost(theta, visible_size, hidden_size, lambda_,
                                       sparsity_param, beta, patches)
print(cost)

# %% check: ufldl-sparse-ae
# bug: replace: delta2 = (W2.transpose().dot(delta3) + beta * sparsity_delta) * sigmoid_prime(z2) -> delta2 = W2.transpose().dot(delta3) * sigmoid_prime(z2) + beta * sparsity_delta
%%gradcheck -p theta -g grad -c sparse_autoencoder_cost
cost, grad = sparse_autoencoder_cost(theta, visible_size, hidden_size, lambda_,
                                     sparsity_param, beta, patches)

# %%
# STEP 3: Gradient Checking
lambda_ = 0.01
J = lambda x: sparse_autoencoder_cost(x, visible_size, hidden_size, lambda_,
                                      sparsity_param, beta, patches)
num_grad = compute_numerical_gradient(J, theta)

# STEP 4: a few iterations
options_ = {'maxiter': 10}
result = scipy.optimize.minimize(J, theta, method='L-BFGS-B', jac=True, options=options_)
opt_theta = result.x

# %% check: ufldl-sparse-ae-J
# bug: replace: W2grad = delta3.dot(a2.transpose()) / m + lambda_ * W2 -> W2grad = delta3.dot(a2.transpose()) / m + lambda_ * W2 / m
%%gradcheck -p opt_theta -g grad -c J
cost, grad = J(opt_theta)

# %% [markdown]
# ## Softmax Regression

# %%
# num_classes: the number of classes
# input_size: the size N of the input vector
# lambda_: weight decay parameter
# data: the N x M input matrix, where each column corresponds to a single test set
# labels: an M x 1 matrix containing the labels for the input data
def softmax_cost(theta, num_classes, input_size, lambda_, data, labels):
    m = data.shape[1]
    theta = theta.reshape(num_classes, input_size)
    theta_data = theta.dot(data)
    theta_data = theta_data - np.max(theta_data, axis=0)
    prob_data = np.exp(theta_data) / np.sum(np.exp(theta_data), axis=0)
    indicator = np.zeros((num_classes, m))
    indicator[labels, np.arange(m)] = 1

    cost = (-1 / m) * np.sum(indicator * np.log(prob_data)) + (lambda_ / 2) * np.sum(theta * theta)

    grad = (-1 / m) * (indicator - prob_data).dot(data.transpose()) + lambda_ * theta

    return cost, grad.flatten()

# %%
num_classes = 4
input_size = 6
lambda_ = 1e-2  # Weight decay parameter

np.random.seed(0)
input_data = np.random.randn(input_size, 20)
labels = np.random.randint(num_classes, size=20)

# Randomly initialise theta
theta = 0.005 * np.random.randn(num_classes * input_size)

# %% check: ufldl-softmax
# bug: replace: grad = (-1 / m) * (indicator - prob_data).dot(data.transpose()) + lambda_ * theta -> grad = (-1 / m) * indicator.dot(data.transpose()) + lambda_ * theta
%%gradcheck -p theta -g grad -c softmax_cost
(cost, grad) = softmax_cost(theta, num_classes, input_size, lambda_, input_data, labels)

# %% [markdown]
# ## Stacked autoencoders (fine-tuning)

# %%
def stack2params(stack):
    """
    Converts a "stack" structure into a flattened parameter vector and also
    stores the network configuration.
    """
    params = []
    for s in stack:
        params.append(s['w'].flatten())
        params.append(s['b'].flatten())
    params = np.concatenate(params)

    net_config = {}
    net_config['input_size'] = stack[0]['w'].shape[1]
    net_config['layer_sizes'] = [s['w'].shape[0] for s in stack]
    return params, net_config


def params2stack(params, net_config):
    depth = len(net_config['layer_sizes'])
    stack = [dict() for i in range(depth)]
    prev_layer_size = net_config['input_size']
    current_pos = 0
    for i in range(depth):
        # Extract weights
        wlen = prev_layer_size * net_config['layer_sizes'][i]
        stack[i]['w'] = params[current_pos:current_pos + wlen].reshape(net_config['layer_sizes'][i], prev_layer_size)
        current_pos = current_pos + wlen
        # Extract bias
        blen = net_config['layer_sizes'][i]
        stack[i]['b'] = params[current_pos:current_pos + blen]
        current_pos = current_pos + blen
        # Set previous layer size
        prev_layer_size = net_config['layer_sizes'][i]
    return stack


def stacked_autoencoder_cost(theta, input_size, hidden_size, num_classes,
                             net_config, lambda_, data, labels):
    """
    Takes a trained softmax_theta and a training data set with labels
    and returns cost and gradient using a stacked autoencoder model. Used for finetuning.
    """
    # We first extract the part which compute the softmax gradient
    softmax_theta = theta[0:hidden_size * num_classes].reshape(num_classes, hidden_size)

    # Extract out the "stack"
    stack = params2stack(theta[hidden_size * num_classes:], net_config)

    m = data.shape[1]

    # Forward propagation
    a = [data]
    z = [np.array(0)]  # Dummy value
    for s in stack:
        z.append(s['w'].dot(a[-1]) + np.tile(s['b'], (m, 1)).transpose())
        a.append(sigmoid(z[-1]))

    # Softmax
    prod = softmax_theta.dot(a[-1])
    prod = prod - np.max(prod)
    prob = np.exp(prod) / np.sum(np.exp(prod), axis=0)

    indicator = np.zeros((num_classes, m))
    indicator[labels, np.arange(m)] = 1

    cost = (-1 / m) * np.sum(indicator * np.log(prob)) + (lambda_ / 2) * np.sum(softmax_theta * softmax_theta)
    softmax_grad = -(indicator - prob).dot(a[-1].transpose()) / m + lambda_ * softmax_theta

    # Backprop
    # Compute partial of cost (J) w.r.t to outputs of last layer
    softmax_grad_a = softmax_theta.transpose().dot(indicator - prob)

    # Compute deltas
    delta = [-softmax_grad_a * sigmoid_prime(z[-1])]
    for i in reversed(range(len(stack) - 1)):
        d = stack[i + 1]['w'].transpose().dot(delta[0]) * sigmoid_prime(z[i + 1])
        delta.insert(0, d)

    # Compute gradients
    stack_grad = [dict() for i in range(len(stack))]
    for i in range(len(stack_grad)):
        stack_grad[i]['w'] = delta[i].dot(a[i].transpose()) / m
        stack_grad[i]['b'] = np.sum(delta[i], axis=1) / m

    grad_params, net_config = stack2params(stack_grad)
    grad = np.concatenate((softmax_grad.flatten(), grad_params))
    return cost, grad

# %%
input_size = 4
hidden_size = 5
num_classes = 2
lambda_ = 0.01
np.random.seed(4)
data = np.random.randn(input_size, 5)
labels = np.array([0, 1, 0, 1, 0], dtype=int)

stack = [dict() for i in range(2)]
stack[0]['w'] = 0.5 * np.random.randn(3, input_size)
stack[0]['b'] = np.zeros(3)
stack[1]['w'] = 0.5 * np.random.randn(hidden_size, 3)
stack[1]['b'] = np.zeros(hidden_size)
softmax_theta = 0.5 * np.random.randn(hidden_size * num_classes)

params, net_config = stack2params(stack)
stacked_ae_theta = np.concatenate((softmax_theta, params))

# %% check: ufldl-stacked-ae
# bug: replace: d = stack[i + 1]['w'].transpose().dot(delta[0]) * sigmoid_prime(z[i + 1]) -> d = stack[i + 1]['w'].transpose().dot(delta[0]) * sigmoid_prime(a[i + 1])
%%gradcheck -p stacked_ae_theta -g grad -c stacked_autoencoder_cost
(cost, grad) = stacked_autoencoder_cost(stacked_ae_theta, input_size, hidden_size,
                                        num_classes, net_config, lambda_, data, labels)

# %% [markdown]
# ## Linear decoders

# %%
def sparse_autoencoder_linear_cost(theta, visible_size, hidden_size,
                                   lambda_, sparsity_param, beta, data):
    W1 = theta[0:hidden_size * visible_size].reshape(hidden_size, visible_size)
    W2 = theta[hidden_size * visible_size:2 * hidden_size * visible_size].reshape(visible_size, hidden_size)
    b1 = theta[2 * hidden_size * visible_size:2 * hidden_size * visible_size + hidden_size]
    b2 = theta[2 * hidden_size * visible_size + hidden_size:]
    m = data.shape[1]

    # Forward propagation
    z2 = W1.dot(data) + np.tile(b1, (m, 1)).transpose()
    a2 = sigmoid(z2)
    z3 = W2.dot(a2) + np.tile(b2, (m, 1)).transpose()
    h = z3   # the decoder is linear

    # Sparsity
    rho_hat = np.sum(a2, axis=1) / m
    rho = np.tile(sparsity_param, hidden_size)

    # Cost function
    cost = np.sum((h - data) ** 2) / (2 * m) + \
           (lambda_ / 2) * (np.sum(W1 ** 2) + np.sum(W2 ** 2)) + \
           beta * np.sum(KL_divergence(rho, rho_hat))

    # Backprop
    sparsity_delta = np.tile(- rho / rho_hat + (1 - rho) / (1 - rho_hat), (m, 1)).transpose()

    delta3 = (h - data)
    delta2 = sigmoid_prime(z2) * (W2.transpose().dot(delta3) + beta * sparsity_delta)
    W1grad = delta2.dot(data.transpose()) / m + lambda_ * W1
    W2grad = delta3.dot(a2.transpose()) / m + lambda_ * W2
    b1grad = np.sum(delta2, axis=1) / m
    b2grad = np.sum(delta3, axis=1) / m

    grad = np.concatenate((W1grad.reshape(hidden_size * visible_size),
                           W2grad.reshape(hidden_size * visible_size),
                           b1grad.reshape(hidden_size),
                           b2grad.reshape(visible_size)))
    return cost, grad

# %%
# To speed up gradient checking, we will use a reduced network and some dummy patches
debug_hidden_size = 5
debug_visible_size = 8
np.random.seed(11)
patches = np.random.rand(8, 10)
theta = initialize(debug_hidden_size, debug_visible_size)

sparsity_param = 0.035
lambda_ = 3e-3
beta = 5

# %% check: ufldl-linear-decoder
# bug: replace: delta3 = (h - data) -> delta3 = (h - data) * sigmoid_prime(z3)
%%gradcheck -p theta -g grad -c sparse_autoencoder_linear_cost
cost, grad = sparse_autoencoder_linear_cost(theta, debug_visible_size, debug_hidden_size,
                                            lambda_, sparsity_param, beta, patches)

# %% [markdown]
# ## Sparse coding

# %%
def sparse_coding_weight_cost(weight_matrix, feature_matrix, visible_size, num_features,
                              patches, gamma, lambda_, epsilon, group_matrix):
    """
    given the features in featureMatrix, computes the cost and gradient with respect to the weights
    """
    num_examples = patches.shape[1]

    weight_matrix = weight_matrix.reshape(visible_size, num_features)
    feature_matrix = feature_matrix.reshape(num_features, num_examples)

    error = weight_matrix.dot(feature_matrix) - patches
    cost = np.sum(error * error) / num_examples + gamma * np.sum(weight_matrix ** 2)

    grad = 2 * error.dot(feature_matrix.transpose()) / num_examples + 2 * gamma * weight_matrix
    return cost, grad.flatten()


def sparse_coding_feature_cost(weight_matrix, feature_matrix, visible_size, num_features,
                               patches, gamma, lambda_, epsilon, group_matrix):
    """
    given the weights in weightMatrix, computes the cost and the gradient with respect to
    the features, given in featureMatrix
    """
    num_examples = patches.shape[1]

    weight_matrix = weight_matrix.reshape(visible_size, num_features)
    feature_matrix = feature_matrix.reshape(num_features, num_examples)

    error = weight_matrix.dot(feature_matrix) - patches
    sparsity = np.sqrt(group_matrix.dot(feature_matrix ** 2) + epsilon)
    cost = np.sum(error * error) / num_examples + lambda_ * np.sum(sparsity)

    grad = 2 * weight_matrix.transpose().dot(error) / num_examples + \
           lambda_ * group_matrix.transpose().dot(1 / sparsity) * feature_matrix
    return cost, grad.flatten()

# %%
np.random.seed(12)
num_features = 6
visible_size = 5
patches = np.random.rand(visible_size, 8)
weight_matrix = np.random.rand(visible_size, num_features)
feature_matrix = np.random.rand(num_features, 8)
group_matrix = np.random.rand(12, num_features)
gamma = 1e-2
lambda_ = 5e-2
epsilon = 1e-5

# %% check: ufldl-sparse-coding-weights
# bug: replace: grad = 2 * error.dot(feature_matrix.transpose()) / num_examples -> grad = 2 * error.dot(feature_matrix.transpose())
%%gradcheck -p weight_matrix -g grad -c sparse_coding_weight_cost
(cost, grad) = sparse_coding_weight_cost(weight_matrix, feature_matrix, visible_size, num_features,
                                         patches, gamma, lambda_, epsilon, group_matrix)

# %% check: ufldl-sparse-coding-features
# bug: replace: lambda_ * group_matrix.transpose().dot(1 / sparsity) * feature_matrix -> lambda_ * (1 / np.sqrt(feature_matrix ** 2 + epsilon)) * feature_matrix
%%gradcheck -p feature_matrix -g grad -c sparse_coding_feature_cost
(cost, grad) = sparse_coding_feature_cost(weight_matrix, feature_matrix, visible_size, num_features,
                                          patches, gamma, lambda_, epsilon, group_matrix)

# %% [markdown]
# ## The newer tutorial: linear regression, softmax regression, multilayer network

# %%
def linear_regression(theta, X, y):
    """
    Arguments:
      theta - A vector containing the parameter values to optimize.
      X - The examples stored in a matrix.
          X(i,j) is the i'th coordinate of the j'th example.
      y - The target value for each example.  y(j) is the target for example j.
    """
    m = X.shape[1]
    n = X.shape[0]
    f = 0
    g = np.zeros(theta.shape)
    for j in range(m):
        err = theta.dot(X[:, j]) - y[j]
        f += 0.5 * err ** 2
        for i in range(n):
            g[i] += X[i, j] * err
    return f, g


def softmax_regression(theta, X, y, num_classes=3):
    """
    theta is a vector; the last class has its parameters fixed at zero.
    """
    m = X.shape[1]
    n = X.shape[0]
    # theta is a vector;  need to reshape to n x num_classes-1.
    theta = theta.reshape(n, num_classes - 1)
    scores = np.vstack([theta.T.dot(X), np.zeros((1, m))])
    scores = scores - scores.max(axis=0)
    logp = scores - np.log(np.exp(scores).sum(axis=0))
    f = -np.sum(logp[y, np.arange(m)])
    ind = np.zeros((num_classes, m))
    ind[y, np.arange(m)] = 1
    g = -X.dot((ind - np.exp(logp)).T)[:, :-1]
    return f, g.ravel()

# %%
np.random.seed(13)
train_X = np.vstack([np.ones((1, 12)), np.random.randn(4, 12)])
train_y = 3 * train_X[1] - 2 + 0.1 * np.random.randn(12)

# Initialize the coefficient vector theta to random values.
theta = np.random.rand(5)

# %% check: ufldl-linear-regression
# bug: replace: g[i] += X[i, j] * err -> g[i] = X[i, j] * err
%%gradcheck -p theta -g g -c linear_regression
f, g = linear_regression(theta, train_X, train_y)

# %%
labels = np.random.randint(3, size=12)
theta = np.random.rand(5 * 2) * 0.001
theta = scipy.optimize.minimize(softmax_regression, theta, args=(train_X, labels), jac=True,
                                method='L-BFGS-B', options={'maxiter': 3}).x

# %% check: ufldl-softmax-regression
# bug: replace: g = -X.dot((ind - np.exp(logp)).T)[:, :-1] -> g = -X.dot((ind - np.exp(logp)).T)[:, 1:]
%%gradcheck -p theta -g g -c softmax_regression
f, g = softmax_regression(theta, train_X, labels)

# %%
def initialize_weights(ei):
    """
    Random weights structures for a network architecture
    """
    stack = []
    prev_size = ei['input_dim']
    for cur_size in ei['layer_sizes']:
        # Xavier's scaling factor
        s = np.sqrt(6) / np.sqrt(prev_size + cur_size)
        stack.append({'w': np.random.rand(cur_size, prev_size) * 2 * s - s, 'b': np.zeros(cur_size)})
        prev_size = cur_size
    return stack


def supervised_dnn_cost(theta, ei, data, labels, pred_only=False):
    """
    Does all the work of cost / gradient computation
    Returns cost broken into cross-entropy, weight norm, and prox reg components (ceCost, wCost, pCost)
    """
    stack = params2stack(theta, {'input_size': ei['input_dim'], 'layer_sizes': ei['layer_sizes']})
    num_hidden = len(ei['layer_sizes']) - 1
    m = data.shape[1]

    # forward prop
    h_act = [data]
    for l in range(num_hidden):
        h_act.append(sigmoid(stack[l]['w'].dot(h_act[-1]) + stack[l]['b'][:, None]))
    out = stack[-1]['w'].dot(h_act[-1]) + stack[-1]['b'][:, None]
    out = np.exp(out - out.max(axis=0))
    pred_prob = out / out.sum(axis=0)

    # return here if only predictions desired.
    if pred_only:
        return -1, [], pred_prob

    # compute cost
    ce_cost = -np.sum(np.log(pred_prob[labels, np.arange(m)]))

    # compute gradients using backpropagation
    grad_stack = [None] * len(stack)
    delta = pred_prob.copy()
    delta[labels, np.arange(m)] -= 1
    for l in reversed(range(num_hidden + 1)):
        grad_stack[l] = {'w': delta.dot(h_act[l].T), 'b': delta.sum(axis=1)}
        if l > 0:
            delta = stack[l]['w'].T.dot(delta) * h_act[l] * (1 - h_act[l])

    # compute weight penalty cost and gradient for non-bias terms
    w_cost = 0
    for l in range(num_hidden + 1):
        w_cost += 0.5 * ei['lambda'] * np.sum(stack[l]['w'] ** 2)
        grad_stack[l]['w'] += ei['lambda'] * stack[l]['w']

    cost = ce_cost + w_cost

    # reshape gradients into vector
    grad, _ = stack2params(grad_stack)
    return cost, grad, pred_prob

# %%
# ei is a struct containing the architecture
ei = {}
ei['input_dim'] = 5
ei['layer_sizes'] = [6, 4, 3]
ei['lambda'] = 0.1
ei['activation_fun'] = 'logistic'

np.random.seed(14)
stack = initialize_weights(ei)
params, _ = stack2params(stack)

# %% check: ufldl-supervised-dnn
# bug: replace: delta = stack[l]['w'].T.dot(delta) * h_act[l] * (1 - h_act[l]) -> delta = stack[l]['w'].T.dot(delta) * (1 - h_act[l] ** 2)
%%gradcheck -g grad -c supervised_dnn_cost
cost, grad, pred_prob = supervised_dnn_cost(params, ei, train_X, labels)

# %% [markdown]
# ## RICA (soft ICA)

# %%
def l2rowscaled(x, alpha):
    normeps = 1e-5
    epssumsq = np.sum(x ** 2, axis=1, keepdims=True) + normeps
    l2rows = np.sqrt(epssumsq) * alpha
    return x / l2rows


def l2rowscaledg(x, y, outderv, alpha):
    normeps = 1e-5
    epssumsq = np.sum(x ** 2, axis=1, keepdims=True) + normeps
    l2rows = np.sqrt(epssumsq) * alpha
    return outderv / l2rows - y * (np.sum(outderv * x, axis=1, keepdims=True) / epssumsq)


def soft_ica_cost(theta, x, params):
    # unpack weight matrix
    W = theta.reshape(params['num_features'], params['n'])

    # project weights to norm ball (prevents degenerate bases)
    Wold = W
    W = l2rowscaled(W, 1)

    m = x.shape[1]
    Wx = W.dot(x)
    act = np.sqrt(Wx ** 2 + params['epsilon'])
    rec = W.T.dot(Wx) - x

    cost = params['lambda'] * np.sum(act) / m + 0.5 * np.sum(rec ** 2) / m

    Wgrad = params['lambda'] * (Wx / act).dot(x.T) / m
    Wgrad += (W.dot(rec).dot(x.T) + Wx.dot(rec.T)) / m

    # unproject gradient for minFunc
    grad = l2rowscaledg(Wold, W, Wgrad, 1)
    grad = grad.ravel()
    return cost, grad

# %%
np.random.seed(15)
params = {}
params['m'] = 10            # num patches
params['n'] = 6
params['lambda'] = 0.05     # sparsity cost
params['num_features'] = 4
params['epsilon'] = 1e-2    # epsilon to use in square-sqrt nonlinearity

patches = np.random.randn(params['n'], params['m'])
patches -= patches.mean(axis=0)

# configure minFunc / initialize with random weights
rand_theta = np.random.randn(params['num_features'] * params['n']) * 0.1

# %% check: ufldl-rica
# bug: replace: Wgrad += (W.dot(rec).dot(x.T) + Wx.dot(rec.T)) / m -> Wgrad += W.dot(rec).dot(x.T) / m
%%gradcheck -p rand_theta -g grad -c soft_ica_cost
cost, grad = soft_ica_cost(rand_theta, patches, params)

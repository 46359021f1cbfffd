# %% [markdown]
# # Machine Learning (Coursera, Andrew Ng) - programming exercises in Python
# ex1 ... ex8, translated from Octave. `lambda` is a keyword, so it is `lambda_` everywhere.

# %%
import copy
import numpy as np
from scipy import optimize
import scipy.optimize as opt

# %% [markdown]
# ## ex1 - Linear regression

# %%
def computeCost(X, y, theta):
    """
    Compute cost for linear regression. Computes the cost of using theta as the
    parameter for linear regression to fit the data points in X and y.
    """
    m = y.size  # number of training examples
    h = X @ theta
    J = (1 / (2 * m)) * np.sum(np.square(h - y))
    return J


def computeGradient(X, y, theta):
    m = y.size
    h = X @ theta
    return (1 / m) * (X.T @ (h - y))


def gradientDescent(X, y, theta, alpha, num_iters):
    theta = theta.copy()
    J_history = []
    for i in range(num_iters):
        theta = theta - alpha * computeGradient(X, y, theta)
        J_history.append(computeCost(X, y, theta))
    return theta, J_history

# %%
np.random.seed(0)
m = 20
population = np.random.uniform(5, 22, m)
profit = -4 + 1.2 * population + np.random.randn(m)
X = np.stack([np.ones(m), population], axis=1)
y = profit

theta = np.zeros(2)
theta, J_history = gradientDescent(X, y, theta, 0.001, 50)
print('Theta found by gradient descent: {:.4f}, {:.4f}'.format(*theta))

# %% check: ml-ex1
# bug: replace: return (1 / m) * (X.T @ (h - y)) -> return X.T @ (h - y)
%%gradcheck -p theta -g grad -c computeCost
grad = computeGradient(X, y, theta)

# %% [markdown]
# ## ex2 - Logistic regression

# %%
def sigmoid(z):
    """
    Compute sigmoid function given the input z.
    """
    z = np.array(z)
    g = 1 / (1 + np.exp(-z))
    return g


def costFunction(theta, X, y):
    """
    Compute cost and gradient for logistic regression.

    Parameters
    ----------
    theta : array_like
        The parameters for logistic regression. This a vector of shape (n+1, ).
    X : array_like
        The input dataset of shape (m x n+1).
    y : array_like
        Labels for the input. This is a vector of shape (m, ).

    Returns
    -------
    J : float
        The computed value for the cost function.
    grad : array_like
        A vector of shape (n+1, ).
    """
    # Initialize some useful values
    m = y.size  # number of training examples

    # You need to return the following variables correctly
    J = 0
    grad = np.zeros(theta.shape)

    h = sigmoid(X.dot(theta.T))
    J = (1 / m) * np.sum(-y.dot(np.log(h)) - (1 - y).dot(np.log(1 - h)))
    grad = (1 / m) * (h - y).dot(X)

    return J, grad

# %%
np.random.seed(1)
scores = np.random.uniform(-1.5, 1.5, (30, 2))
y = (scores.sum(axis=1) + 0.5 * np.random.randn(30) > 0).astype(float)
X = np.concatenate([np.ones((30, 1)), scores], axis=1)

# Initialize fitting parameters
initial_theta = np.zeros(3)

cost, grad = costFunction(initial_theta, X, y)
print('Cost at initial theta (zeros): {:.3f}'.format(cost))

# set options for optimize.minimize
options = {'maxiter': 400}

# see documention for scipy's optimize.minimize  for description about
# the different parameters
# The function returns an object `OptimizeResult`
res = optimize.minimize(costFunction,
                        initial_theta,
                        (X, y),
                        jac=True,
                        method='TNC',
                        options={'maxfun': 400})
print('Cost at theta found by optimize.minimize: {:.3f}'.format(res.fun))

# %% check: ml-ex2
# bug: replace: grad = (1 / m) * (h - y).dot(X) -> grad = (1 / m) * (y - h).dot(X)
%%gradcheck -p initial_theta -g grad -c costFunction
cost, grad = costFunction(initial_theta, X, y)

# %% [markdown]
# ### Regularized logistic regression

# %%
def mapFeature(X1, X2, degree=3):
    """
    Maps the two input features to polynomial features.
    """
    out = [np.ones(X1.shape[0])]
    for i in range(1, degree + 1):
        for j in range(i + 1):
            out.append((X1 ** (i - j)) * (X2 ** j))
    return np.stack(out, axis=1)


def costFunctionReg(theta, X, y, lambda_):
    """
    Compute cost and gradient for logistic regression with regularization.
    """
    m = y.size
    J = 0
    grad = np.zeros(theta.shape)

    h = sigmoid(X.dot(theta.T))
    temp = theta
    temp = np.concatenate([[0], theta[1:]])   # do not regularize theta_0

    J = (1 / m) * np.sum(-y.dot(np.log(h)) - (1 - y).dot(np.log(1 - h))) + (lambda_ / (2 * m)) * np.sum(np.square(temp))
    grad = (1 / m) * (h - y).dot(X)
    grad = grad + (lambda_ / m) * temp
    return J, grad

# %%
X = mapFeature(scores[:, 0], scores[:, 1])

# Compute and display cost and gradient
# with all-ones theta and lambda = 10
test_theta = np.ones(X.shape[1])
cost, grad = costFunctionReg(test_theta, X, y, 10)

print('Cost at test theta    : {:.2f}'.format(cost))
print('Gradient at test theta - first five values only:')
print('\t[{:.4f}, {:.4f}, {:.4f}, {:.4f}, {:.4f}]'.format(*grad[:5]))

# %% check: ml-ex2-reg
# bug: replace: grad = grad + (lambda_ / m) * temp -> grad = grad + (lambda_ / m) * theta
%%gradcheck -p test_theta -g grad -c costFunctionReg
cost, grad = costFunctionReg(test_theta, X, y, 10)

# %% [markdown]
# ### The same exercise with `cost` and `gradient` as two functions (for `fmin_tnc`)

# %%
def cost(theta, X, y):
    theta = np.matrix(theta)
    X = np.matrix(X)
    y = np.matrix(y)
    first = np.multiply(-y, np.log(sigmoid(X * theta.T)))
    second = np.multiply((1 - y), np.log(1 - sigmoid(X * theta.T)))
    return np.sum(first - second) / (len(X))


def gradient(theta, X, y):
    theta = np.matrix(theta)
    X = np.matrix(X)
    y = np.matrix(y)

    parameters = int(theta.ravel().shape[1])
    grad = np.zeros(parameters)

    error = sigmoid(X * theta.T) - y

    for i in range(parameters):
        term = np.multiply(error, X[:, i])
        grad[i] = np.sum(term) / len(X)

    return grad

# %%
# convert to numpy arrays and initalize the parameter array theta
X = np.concatenate([np.ones((30, 1)), scores], axis=1)
y = y.reshape(30, 1)
theta = np.zeros(3)

result = opt.fmin_tnc(func=cost, x0=theta, fprime=gradient, args=(X, y), disp=0)
print(cost(result[0], X, y))

# %% check: ml-ex2-tnc
# bug: replace: term = np.multiply(error, X[:, i]) -> term = np.multiply(error, X[:, 0])
%%gradcheck -p theta -g grad -c cost
grad = gradient(theta, X, y)

# %% [markdown]
# ## ex3 - One-vs-all

# %%
def lrCostFunction(theta, X, y, lambda_):
    """
    Computes the cost of using theta as the parameter for regularized
    logistic regression and the gradient of the cost w.r.t. to the parameters.
    """
    # Initialize some useful values
    m = y.size

    # convert labels to ints if their type is bool
    if y.dtype == bool:
        y = y.astype(int)

    # You need to return the following variables correctly
    J = 0
    grad = np.zeros(theta.shape)

    h = sigmoid(X @ theta)
    J = -(1 / m) * (y @ np.log(h) + (1 - y) @ np.log(1 - h)) + lambda_ / (2 * m) * np.sum(theta[1:] ** 2)
    grad = 1 / m * X.T @ (h - y)
    grad[1:] += lambda_ / m * theta[1:]

    return J, grad


def oneVsAll(X, y, num_labels, lambda_):
    m, n = X.shape
    all_theta = np.zeros((num_labels, n + 1))
    X = np.concatenate([np.ones((m, 1)), X], axis=1)
    for c in range(num_labels):
        initial_theta = np.zeros(n + 1)
        options = {'maxiter': 50}
        res = optimize.minimize(lrCostFunction, initial_theta, (X, (y == c), lambda_),
                                jac=True, method='CG', options=options)
        all_theta[c] = res.x
    return all_theta

# %%
# test values for the parameters theta
theta_t = np.array([-2, -1, 1, 2], dtype=float)

# test values for the inputs
X_t = np.concatenate([np.ones((5, 1)), np.arange(1, 16).reshape(5, 3, order='F') / 10.0], axis=1)

# test values for the labels
y_t = np.array([1, 0, 1, 0, 1])

# test value for the regularization parameter
lambda_t = 3

J, grad = lrCostFunction(theta_t, X_t, y_t, lambda_t)
print('Cost         : {:.6f}'.format(J))
print('Expected cost: 2.534819')

# %% check: ml-ex3
# bug: replace: grad[1:] += lambda_ / m * theta[1:] -> grad[1:] += lambda_ * theta[1:]
%%gradcheck -p theta_t -g grad -c lrCostFunction
J, grad = lrCostFunction(theta_t, X_t, y_t, lambda_t)

# %% [markdown]
# ## ex4 - Neural network learning

# %%
def sigmoidGradient(z):
    """
    Computes the gradient of the sigmoid function evaluated at z.
    """
    g = np.zeros(z.shape)
    g = sigmoid(z) * (1 - sigmoid(z))
    return g


def nnCostFunction(nn_params,
                   input_layer_size,
                   hidden_layer_size,
                   num_labels,
                   X, y, lambda_=0.0):
    """
    Implements the neural network cost function and gradient for a two layer neural
    network which performs classification.

    Parameters
    ----------
    nn_params : array_like
        The parameters for the neural network which are "unrolled" into
        a vector. This needs to be converted back into the weight matrices Theta1
        and Theta2.
    """
    # Reshape nn_params back into the parameters Theta1 and Theta2, the weight matrices
    # for our 2 layer neural network
    Theta1 = np.reshape(nn_params[:hidden_layer_size * (input_layer_size + 1)],
                        (hidden_layer_size, (input_layer_size + 1)))

    Theta2 = np.reshape(nn_params[(hidden_layer_size * (input_layer_size + 1)):],
                        (num_labels, (hidden_layer_size + 1)))

    # Setup some useful variables
    m = y.size

    # You need to return the following variables correctly
    J = 0
    Theta1_grad = np.zeros(Theta1.shape)
    Theta2_grad = np.zeros(Theta2.shape)

    a1 = np.concatenate([np.ones((m, 1)), X], axis=1)
    z2 = a1.dot(Theta1.T)
    a2 = np.concatenate([np.ones((m, 1)), sigmoid(z2)], axis=1)
    a3 = sigmoid(a2.dot(Theta2.T))

    y_matrix = np.eye(num_labels)[y.reshape(-1)]

    reg_term = (lambda_ / (2 * m)) * (np.sum(np.square(Theta1[:, 1:])) + np.sum(np.square(Theta2[:, 1:])))
    J = (-1 / m) * np.sum(np.log(a3) * y_matrix + np.log(1 - a3) * (1 - y_matrix)) + reg_term

    # Backpropagation
    delta_3 = a3 - y_matrix
    delta_2 = delta_3.dot(Theta2)[:, 1:] * sigmoidGradient(z2)

    Delta1 = delta_2.T.dot(a1)
    Delta2 = delta_3.T.dot(a2)

    # Add regularization to gradient
    Theta1_grad = (1 / m) * Delta1
    Theta1_grad[:, 1:] = Theta1_grad[:, 1:] + (lambda_ / m) * Theta1[:, 1:]

    Theta2_grad = (1 / m) * Delta2
    Theta2_grad[:, 1:] = Theta2_grad[:, 1:] + (lambda_ / m) * Theta2[:, 1:]

    # Unroll gradients
    grad = np.concatenate([Theta1_grad.ravel(), Theta2_grad.ravel()])

    return J, grad

# %%
def debugInitializeWeights(fan_out, fan_in):
    """
    Initialize the weights of a layer with fan_in incoming connections and fan_out outgoings
    connections using a fixed strategy. This will help you later in debugging.
    """
    # Initialize W using "sin". This ensures that W is always of the same values and will be
    # useful for debugging
    W = np.sin(np.arange(1, 1 + (1 + fan_in) * fan_out)) / 10.0
    W = W.reshape(fan_out, 1 + fan_in, order='F')
    return W


input_layer_size = 3
hidden_layer_size = 5
num_labels = 3
m = 5

# We generate some 'random' test data
Theta1 = debugInitializeWeights(hidden_layer_size, input_layer_size)
Theta2 = debugInitializeWeights(num_labels, hidden_layer_size)

# Reusing debugInitializeWeights to generate X
X = debugInitializeWeights(m, input_layer_size - 1)
y = np.arange(1, 1 + m) % num_labels

# Unroll parameters
nn_params = np.concatenate([Theta1.ravel(), Theta2.ravel()])

lambda_ = 3

# %% check: ml-ex4
# bug: replace: delta_2 = delta_3.dot(Theta2)[:, 1:] * sigmoidGradient(z2) -> delta_2 = delta_3.dot(Theta2)[:, 1:]
%%gradcheck -p nn_params -g grad -c nnCostFunction
J, grad = nnCostFunction(nn_params, input_layer_size, hidden_layer_size,
                         num_labels, X, y, lambda_)

# %%
# short hand for cost function, as in checkNNGradients
costFunc = lambda p: nnCostFunction(p, input_layer_size, hidden_layer_size,
                                    num_labels, X, y, lambda_)
cost, grad = costFunc(nn_params)
res = optimize.minimize(costFunc, nn_params, jac=True, method='TNC', options={'maxfun': 30})

# %% check: ml-ex4-costFunc
# bug: replace: Theta2_grad[:, 1:] + (lambda_ / m) * Theta2[:, 1:] -> Theta2_grad[:, 1:] - (lambda_ / m) * Theta2[:, 1:]
%%gradcheck -p nn_params -g grad -c costFunc
cost, grad = costFunc(nn_params)

# %% [markdown]
# My first version, before unrolling: the two matrices separately

# %%
def nnCost(Theta1, Theta2, X, y, num_labels, lambda_):
    m = X.shape[0]
    a1 = np.c_[np.ones(m), X]
    a2 = np.c_[np.ones(m), sigmoid(a1 @ Theta1.T)]
    h = sigmoid(a2 @ Theta2.T)
    Y = np.eye(num_labels)[y]
    J = -1 / m * np.sum(Y * np.log(h) + (1 - Y) * np.log(1 - h))
    J += lambda_ / (2 * m) * (np.sum(Theta1[:, 1:] ** 2) + np.sum(Theta2[:, 1:] ** 2))
    return J


def nnGrad(Theta1, Theta2, X, y, num_labels, lambda_):
    m = X.shape[0]
    Y = np.eye(num_labels)[y]
    Theta1_grad = np.zeros(Theta1.shape)
    Theta2_grad = np.zeros(Theta2.shape)
    for t in range(m):
        a1 = np.r_[1, X[t]]
        z2 = Theta1 @ a1
        a2 = np.r_[1, sigmoid(z2)]
        a3 = sigmoid(Theta2 @ a2)
        d3 = a3 - Y[t]
        d2 = (Theta2.T @ d3)[1:] * sigmoidGradient(z2)
        Theta1_grad += np.outer(d2, a1)
        Theta2_grad += np.outer(d3, a2)
    Theta1_grad /= m
    Theta2_grad /= m
    Theta1_grad[:, 1:] += lambda_ / m * Theta1[:, 1:]
    Theta2_grad[:, 1:] += lambda_ / m * Theta2[:, 1:]
    return Theta1_grad, Theta2_grad

# %% check: ml-ex4-two-thetas
# bug: replace: Theta1_grad += np.outer(d2, a1) -> Theta1_grad = np.outer(d2, a1)
%%gradcheck -p Theta1,Theta2 -g Theta1_grad,Theta2_grad -c nnCost
Theta1_grad, Theta2_grad = nnGrad(Theta1, Theta2, X, y, num_labels, lambda_)

# %% [markdown]
# ## ex5 - Regularized linear regression and bias vs. variance

# %%
def linearRegCostFunction(X, y, theta, lambda_=0.0):
    """
    Compute cost and gradient for regularized linear regression
    with multiple variables.
    """
    m = y.size
    J = 0
    grad = np.zeros(theta.shape)

    h = X.dot(theta)
    J = (1 / (2 * m)) * np.sum(np.square(h - y)) + (lambda_ / (2 * m)) * np.sum(np.square(theta[1:]))
    grad = (1 / m) * (h - y).dot(X)
    grad[1:] = grad[1:] + (lambda_ / m) * theta[1:]
    return J, grad


def trainLinearReg(linearRegCostFunction, X, y, lambda_=0.0, maxiter=200):
    # Initialize Theta
    initial_theta = np.zeros(X.shape[1])

    # Create "short hand" for the cost function to be minimized
    costFunction = lambda t: linearRegCostFunction(X, y, t, lambda_)

    # Now, costFunction is a function that takes in only one argument
    options = {'maxfun': maxiter}

    # Minimize using scipy
    res = optimize.minimize(costFunction, initial_theta, jac=True, method='TNC', options=options)
    return res.x

# %%
np.random.seed(5)
X = np.random.uniform(-3, 3, (12, 1))
y = 2 + 1.5 * X[:, 0] + 0.7 * X[:, 0] ** 2 + np.random.randn(12) * 0.3
m = y.size
X_aug = np.concatenate([np.ones((m, 1)), X], axis=1)
theta = np.array([1., 1.])
J, _ = linearRegCostFunction(X_aug, y, theta, 1)
print('Cost at theta = [1, 1]:\t   %f ' % J)
print(trainLinearReg(linearRegCostFunction, X_aug, y, lambda_=0))

# %% check: ml-ex5
# bug: replace: grad[1:] = grad[1:] + (lambda_ / m) * theta[1:] -> grad = grad + (lambda_ / m) * theta
%%gradcheck -p theta -g grad -c linearRegCostFunction
J, grad = linearRegCostFunction(np.concatenate([np.ones((m, 1)), X], axis=1), y, theta, 1)

# %% [markdown]
# ## ex8 - Recommender systems

# %%
def cofiCostFunc(params, Y, R, num_users, num_movies,
                 num_features, lambda_=0.0):
    """
    Collaborative filtering cost function.

    Parameters
    ----------
    params : array_like
        The parameters which will be optimized. This is a one
        dimensional vector of shape (num_movies x num_users, 1). It is the
        concatenation of the feature vectors X and parameters Theta.
    Y : array_like
        A matrix of shape (num_movies x num_users) of user ratings of movies.
    R : array_like
        A (num_movies x num_users) matrix, where R[i, j] = 1 if the
        i-th movie was rated by the j-th user.
    """
    # Unfold the U and W matrices from params
    X = params[:num_movies * num_features].reshape(num_movies, num_features)
    Theta = params[num_movies * num_features:].reshape(num_users, num_features)

    # You need to return the following values correctly
    J = 0
    X_grad = np.zeros(X.shape)
    Theta_grad = np.zeros(Theta.shape)

    J = (1 / 2) * np.sum(np.square((X.dot(Theta.T) - Y) * R)) + (lambda_ / 2) * np.sum(np.square(X)) + (lambda_ / 2) * np.sum(np.square(Theta))

    for i in range(R.shape[0]):
        idx = np.where(R[i, :] == 1)[0]
        Theta_temp = Theta[idx, :]
        Y_temp = Y[i, idx]
        X_grad[i, :] = np.dot(np.dot(X[i, :], Theta_temp.T) - Y_temp, Theta_temp) + lambda_ * X[i, :]

    for j in range(R.shape[1]):
        idx = np.where(R[:, j] == 1)[0]
        X_temp = X[idx, :]
        Y_temp = Y[idx, j]
        Theta_grad[j, :] = np.dot(np.dot(X_temp, Theta[j, :]) - Y_temp, X_temp) + lambda_ * Theta[j, :]

    grad = np.concatenate([X_grad.ravel(), Theta_grad.ravel()])
    return J, grad

# %%
np.random.seed(8)
num_users, num_movies, num_features = 4, 5, 3
X = np.random.randn(num_movies, num_features)
Theta = np.random.randn(num_users, num_features)
Y = np.random.randint(1, 6, (num_movies, num_users)).astype(float)
R = (np.random.rand(num_movies, num_users) > 0.4).astype(int)
Y = Y * R

#  Evaluate cost function
params = np.concatenate([X.ravel(), Theta.ravel()])
J, _ = cofiCostFunc(params, Y, R, num_users, num_movies, num_features, 1.5)
print('Cost at loaded parameters (lambda = 1.5): %.2f' % J)

# %% check: ml-ex8-cofi
# bug: replace: Theta_temp) + lambda_ * X[i, :] -> Theta_temp) + lambda_ * X[i, :] / 2
%%gradcheck -g grad -c cofiCostFunc
J, grad = cofiCostFunc(params, Y, R, num_users, num_movies, num_features, 1.5)

# %% [markdown]
# ## The new specialization (2022): `compute_cost` / `compute_gradient`

# %%
# UNQ_C2
# GRADED FUNCTION: compute_cost
def compute_cost(X, y, w, b, *argv):
    """
    Computes the cost over all examples
    Args:
      X : (ndarray Shape (m,n)) data, m examples by n features
      y : (ndarray Shape (m,))  target value
      w : (ndarray Shape (n,))  values of parameters of the model
      b : (scalar)              value of bias parameter of the model
      *argv : unused, for compatibility with regularized version below
    Returns:
      total_cost : (scalar) cost
    """
    m, n = X.shape
    loss_sum = 0
    for i in range(m):
        z_wb = 0
        for j in range(n):
            z_wb += w[j] * X[i][j]
        z_wb += b
        f_wb = sigmoid(z_wb)
        loss_sum += -y[i] * np.log(f_wb) - (1 - y[i]) * np.log(1 - f_wb)
    total_cost = (1 / m) * loss_sum
    return total_cost


# UNQ_C3
# GRADED FUNCTION: compute_gradient
def compute_gradient(X, y, w, b, *argv):
    m, n = X.shape
    dj_dw = np.zeros(w.shape)
    dj_db = 0.

    for i in range(m):
        f_wb = sigmoid(np.dot(X[i], w) + b)
        err = f_wb - y[i]
        dj_db += err
        for j in range(n):
            dj_dw[j] += err * X[i, j]

    dj_dw = dj_dw / m
    dj_db = dj_db / m
    return dj_db, dj_dw


def compute_cost_reg(X, y, w, b, lambda_=1):
    m, n = X.shape
    cost_without_reg = compute_cost(X, y, w, b)
    reg_cost = sum(w[j] ** 2 for j in range(n))
    return cost_without_reg + (lambda_ / (2 * m)) * reg_cost


def compute_gradient_reg(X, y, w, b, lambda_=1):
    m, n = X.shape
    dj_db, dj_dw = compute_gradient(X, y, w, b)
    for j in range(n):
        dj_dw[j] = dj_dw[j] + (lambda_ / m) * w[j]
    return dj_db, dj_dw

# %%
np.random.seed(1)
X_train = np.random.randn(15, 2)
y_train = (X_train[:, 0] - X_train[:, 1] > 0.1).astype(int)

# Compute and display cost and gradient with non-zero w and b
test_w = np.array([0.2, -0.5])
test_b = -24 / 100
dj_db, dj_dw = compute_gradient(X_train, y_train, test_w, test_b)
print('dj_db at test w and b:', dj_db)
print('dj_dw at test w and b:', dj_dw.tolist())

# %% check: ml-new-logistic
# bug: replace: dj_db = dj_db / m -> dj_db = dj_db / n
%%gradcheck -p test_w,test_b -g dj_dw,dj_db -c compute_cost
dj_db, dj_dw = compute_gradient(X_train, y_train, test_w, test_b)

# %%
X_mapped = mapFeature(X_train[:, 0], X_train[:, 1], degree=2)[:, 1:]
np.random.seed(1)
initial_w = np.random.rand(X_mapped.shape[1]) - 0.5
initial_b = 0.5
lambda_ = 0.5

# %% check: ml-new-logistic-reg
# bug: replace: dj_dw[j] = dj_dw[j] + (lambda_ / m) * w[j] -> dj_dw[j] = dj_dw[j] + (lambda_ / m) * w[j] ** 2
%%gradcheck -p initial_w,initial_b -g dj_dw,dj_db -c compute_cost_reg
dj_db, dj_dw = compute_gradient_reg(X_mapped, y_train, initial_w, initial_b, lambda_)

"""A biostatistician: penalised, weighted logistic regression at top level; the coefficients are in the units of the table, the penalty acts on the standardised ones."""
# %%
import numpy as np

# %%
# Read the cohort
rs = np.random.RandomState(1812)
n = 40
age = rs.normal(57, 9, n)
bmi = rs.normal(26, 3.5, n)
sbp = 90 + 0.7 * age + rs.normal(0, 11, n)
smoker = (rs.rand(n) < 0.35).astype(float)
risk = 0.05 * (age - 57) + 0.1 * (bmi - 26) + 0.9 * smoker - 0.8
event = (rs.rand(n) < 1 / (1 + np.exp(-risk))).astype(float)
followup = rs.uniform(0.5, 2.0, n)

table = np.column_stack([age, bmi, sbp, smoker])
mean, sd = table.mean(axis=0), table.std(axis=0, ddof=1)
Z = (table - mean) / sd
penalty = 0.15
weight = followup / followup.sum()

# %%
params = {
    "intercept": -3.1,
    "coef": np.array([0.031, 0.052, -0.007, 0.64]),
    "log_ratio": np.array([0.2]),
}

# %%
def cost_function(params):
    coef_z = params["coef"] * sd
    alpha = params["intercept"] + params["coef"] @ mean
    eta = alpha + Z @ coef_z
    ratio = np.exp(params["log_ratio"][0])
    log_lik = event * ratio * -np.log1p(np.exp(-eta)) + (1 - event) * -np.log1p(np.exp(eta))
    return -np.sum(weight * log_lik) + penalty / 2 * np.sum(coef_z ** 2) + 0.5 * params["log_ratio"][0] ** 2

cost_function(params)

# %% gradcheck
# linear predictor, on the standardised scale
coef_z = params["coef"] * sd
#! coef_z = params["coef"] / sd
alpha = params["intercept"] + params["coef"] @ mean
#! alpha = params["intercept"]
eta = alpha + Z @ coef_z
ratio = np.exp(params["log_ratio"][0])
#! ratio = params["log_ratio"][0]
mu = 1 / (1 + np.exp(-eta))
#! mu = 1 / (1 + np.exp(eta))

# score: cases count `ratio` times
residual = np.where(event == 1, ratio * (mu - 1), mu)
#! residual = np.where(event == 1, mu - 1, mu)
#! residual = mu - event * ratio
score = weight * residual
d_alpha = score.sum()
#! d_alpha = score.mean()
d_coef_z = Z.T @ score
#! d_coef_z = table.T @ score
d_coef_z += penalty * coef_z
#! d_coef_z = penalty * coef_z
#! d_coef_z += penalty * params["coef"]
#! d_coef_z += penalty / 2 * coef_z

# back to the units of the table
d_coef = sd * d_coef_z
#! d_coef = d_coef_z / sd
d_coef += mean * d_alpha
#! d_coef += d_alpha
d_log_ratio = -ratio * np.sum(weight[event == 1] * np.log(mu[event == 1]))
#! d_log_ratio = -np.sum(weight[event == 1] * np.log(mu[event == 1]))
d_log_ratio += params["log_ratio"][0]

grads = {"intercept": d_alpha, "coef": d_coef, "log_ratio": np.array([d_log_ratio])}

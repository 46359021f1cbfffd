"""A character-level RNN in the style of a well-known short script: dicts by time step, dhnext, accumulation with +=, several arrays in one assignment, a clip at the end."""
# %%
import numpy as np
np.random.seed(0)

# data I/O
data = 'hello world, hold the door'
chars = sorted(set(data))
data_size, vocab_size = len(data), len(chars)
char_to_ix = { ch:i for i,ch in enumerate(chars) }
ix_to_char = { i:ch for i,ch in enumerate(chars) }

# hyperparameters
hidden_size = 7 # size of hidden layer of neurons
seq_length = 6 # number of steps to unroll the RNN for

# model parameters
Wxh = np.random.randn(hidden_size, vocab_size)*0.5 # input to hidden
Whh = np.random.randn(hidden_size, hidden_size)*0.4 # hidden to hidden
Why = np.random.randn(vocab_size, hidden_size)*0.5 # hidden to output
bh = np.random.randn(hidden_size, 1)*0.1 # hidden bias
by = np.zeros((vocab_size, 1)) # output bias

# %%
def lossFun(inputs, targets, hprev):
  """
  inputs,targets are both list of integers.
  hprev is Hx1 array of initial hidden state
  returns the loss, gradients on model parameters, and last hidden state
  """
  xs, hs, ys, ps = {}, {}, {}, {}
  hs[-1] = np.copy(hprev)
  loss = 0
  # forward pass
  for t in range(len(inputs)):
    xs[t] = np.zeros((vocab_size,1)) # encode in 1-of-k representation
    xs[t][inputs[t]] = 1
    hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t-1]) + bh) # hidden state
    ys[t] = np.dot(Why, hs[t]) + by # unnormalized log probabilities for next chars
    ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t])) # probabilities for next chars
    loss += -np.log(ps[t][targets[t],0]) # softmax (cross-entropy loss)
  # backward pass: compute gradients going backwards
  dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
  #! dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.copy(Whh), np.zeros_like(Why)
  #! dWxh, dWhh, dWhy = np.ones_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
  dbh, dby = np.zeros_like(bh), np.zeros_like(by)
  dhnext = np.zeros_like(hs[0])
  #! dhnext = np.copy(hs[0])
  #! dhnext = np.ones_like(hs[0])
  for t in reversed(range(len(inputs))):
  #! for t in range(len(inputs)):
  #! for t in reversed(range(1, len(inputs))):
    dy = np.copy(ps[t])
    #! dy = np.copy(ys[t])
    #! dy = np.copy(ps[t-1] if t > 0 else ps[t])
    dy[targets[t]] -= 1 # backprop into y
    #! dy[targets[t]] += 1
    #! dy[inputs[t]] -= 1
    #! dy[targets[t-1]] -= 1
    #! dy[np.argmax(ps[t])] -= 1
    #! dy -= 1
    dWhy += np.dot(dy, hs[t].T)
    #! dWhy = np.dot(dy, hs[t].T)
    #! dWhy += np.dot(dy, hs[t-1].T)
    #! dWhy += np.dot(ys[t], hs[t].T)
    dby += dy
    #! dby = dy
    #! dby += ps[t]
    #! dby += np.sum(dy)
    dh = np.dot(Why.T, dy) + dhnext # backprop into h
    #! dh = np.dot(Why.T, dy)
    #! dh = np.dot(Why.T, dy) - dhnext
    #! dh = np.dot(dWhy.T, dy) + dhnext
    #! dh = np.dot(Why.T, dy) * (1 - hs[t] * hs[t]) + dhnext
    dhraw = (1 - hs[t] * hs[t]) * dh # backprop through tanh nonlinearity
    #! dhraw = (1 - hs[t]) * dh
    #! dhraw = (1 - hs[t-1] * hs[t-1]) * dh
    #! dhraw = hs[t] * (1 - hs[t]) * dh
    #! dhraw = (1 + hs[t] * hs[t]) * dh
    #! dhraw = (1 - hs[t] * hs[t]) * dhnext
    dbh += dhraw
    #! dbh = dhraw
    #! dbh += dh
    #! dbh += np.mean(dhraw)
    dWxh += np.dot(dhraw, xs[t].T)
    #! dWxh = np.dot(dhraw, xs[t].T)
    #! dWxh += np.dot(dh, xs[t].T)
    #! dWxh += np.dot(dhraw, xs[max(t-1, 0)].T)
    dWhh += np.dot(dhraw, hs[t-1].T)
    #! dWhh += np.dot(dhraw, hs[t].T)
    #! dWhh += np.dot(hs[t-1], dhraw.T)
    #! dWhh = np.dot(dhraw, hs[t-1].T)
    #! dWhh += np.dot(dhraw, hs[max(t-1, 0)].T)
    dhnext = np.dot(Whh.T, dhraw)
    #! dhnext = np.dot(Whh, dhraw)
    #! dhnext += np.dot(Whh.T, dhraw)
    #! dhnext = np.dot(Whh.T, dh)
    #! dhnext = dhraw
  for dparam in [dWxh, dWhh, dWhy, dbh, dby]:
    np.clip(dparam, -5, 5, out=dparam) # clip to mitigate exploding gradients
    #! np.clip(dparam, -0.5, 0.5, out=dparam)
    #! np.clip(dparam, 0, 5, out=dparam)
    #! np.clip(dparam, -5, -0.1, out=dparam)
  return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs)-1]

# %%
p = 1
hprev = np.random.randn(hidden_size,1)*0.1
inputs = [char_to_ix[ch] for ch in data[p:p+seq_length]]
targets = [char_to_ix[ch] for ch in data[p+1:p+seq_length+1]]

# %% gradcheck -p "[Wxh, Whh, Why, bh, by]" -g "[dWxh, dWhh, dWhy, dbh, dby]" -c "lambda: lossFun(inputs, targets, hprev)[0]"
# forward seq_length characters through the net and fetch gradient
loss, dWxh, dWhh, dWhy, dbh, dby, hnext = lossFun(inputs, targets, hprev)

// Optimizers that look at one element at a time: what is subtracted from a weight w with gradient g. A line
// holds the name, how weight decay enters, the number of state arrays, and the rule.
//   coupled    g holds decay * w already (L2 regularization)
//   decoupled  w loses its share `decay` beside the step
//   part       decoupled, and no optimizer by itself
//   direction  no step: the value replaces the gradient, for train/optimizer/matrix_rules.cpp to go on with
// s[i] is the element of state array i, zero at first; f is UpdateFactors (kernel/optimize/update.h).

// Adam (Kingma & Ba 2015), with L2 where it decays; AdamW (Loshchilov & Hutter 2019)
UPDATE(adam, coupled, 2, return f.corrected_rate * adam_direction(g, s, f);)
UPDATE(adamw, decoupled, 2, return f.corrected_rate * adam_direction(g, s, f);)
// Momentum as PyTorch has it; Nesterov's looks one step ahead (Sutskever et al. 2013).
UPDATE(sgd, coupled, 1, {
  s[0] = s[0] * f.momentum + g;
  return f.rate * (f.nesterov ? g + f.momentum * s[0] : s[0]);
})
// Hinton 2012, with PyTorch's momentum
UPDATE(rmsprop, coupled, 2, {
  s[0] = s[0] * f.beta2 + f.rest2 * g * g;
  s[1] = s[1] * f.momentum + g / (sqrt(s[0]) + f.eps);
  return f.rate * s[1];
})
// Duchi, Hazan & Singer 2011
UPDATE(adagrad, coupled, 1, {
  s[0] = s[0] + g * g;
  return f.rate * g / (sqrt(s[0]) + f.eps);
})
// Chen et al. 2023
UPDATE(lion, decoupled, 1, {
  const V mixed = f.beta1 * s[0] + f.rest1 * g;
  s[0] = f.beta2 * s[0] + f.rest2 * g;
  return f.rate * sign(mixed);
})
// The element's part of LAMB (You et al. 2020) and of Muon (Jordan 2024).
UPDATE(lamb, direction, 2, return f.correction * adam_direction(g, s, f) + f.decay * w;)
UPDATE(muon, direction, 1, {
  s[0] = s[0] + f.rest_momentum * (g - s[0]);
  return g + f.momentum * (s[0] - g);
})
// A step along a direction that stands where the gradient was; a mean of weights over steps.
UPDATE(descend, part, 0, return f.rate * g;)
UPDATE(approach, part, 0, return f.rate * (w - g);)

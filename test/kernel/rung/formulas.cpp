// Formulas of the tests, compiled once per rung as a user's would be.
#include "intarsia/lambda_kernel.h"

INTARSIA_KERNEL(test_exp, (auto x), exp(x))
INTARSIA_KERNEL(test_log, (auto x), log(x))
INTARSIA_KERNEL(test_tanh, (auto x), tanh(x))
INTARSIA_KERNEL(test_sigmoid, (auto x), sigmoid(x))
INTARSIA_KERNEL(test_erf, (auto x), erf(x))
INTARSIA_KERNEL(test_abs, (auto x), abs(x))
INTARSIA_KERNEL(test_max, (auto a, auto b), max(a, b))
INTARSIA_KERNEL(test_min, (auto a, auto b), min(a, b))
INTARSIA_KERNEL(test_huber, (auto x), select(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5))
INTARSIA_KERNEL(test_four, (auto a, auto b, auto c, auto d), fma(a, b, c) / (2 + tanh(d)) - rsqrt(1 + d * d))
INTARSIA_KERNEL(test_normal_cdf, (auto x), normal_cdf(x))

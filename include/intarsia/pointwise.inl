// The pointwise operations, one line each: name, inputs, formula. Function, value, gradient, every rung,
// every element type and the tests follow from the line. Constants are written in double: a formula runs in
// f32 and in f64. Whoever includes this defines POINTWISE(name, (inputs), formula), or POINTWISE1 to 3 by the
// number of inputs. STEP1 is a function of steps, which has no gradient; BACKWARD2 is no operation but the
// gradient of one, made from its result y. They count as POINTWISE1 and POINTWISE2 where the includer does
// not define them.
// clang-format off
#ifdef POINTWISE
#define POINTWISE1(NAME, A, ...) POINTWISE(NAME, (auto A), __VA_ARGS__)
#define POINTWISE2(NAME, A, B, ...) POINTWISE(NAME, (auto A, auto B), __VA_ARGS__)
#define POINTWISE3(NAME, A, B, C, ...) POINTWISE(NAME, (auto A, auto B, auto C), __VA_ARGS__)
#endif
#ifndef STEP1
#define STEP1 POINTWISE1
#endif
#ifndef BACKWARD2
#define BACKWARD2 POINTWISE2
#endif
POINTWISE2(add, a, b, a + b)
POINTWISE2(sub, a, b, a - b)
POINTWISE2(mul, a, b, a * b)
POINTWISE2(div, a, b, a / b)
POINTWISE1(neg, x, -x)
POINTWISE2(pow, x, exponent, pow(x, exponent))
POINTWISE1(abs, x, abs(x))
POINTWISE1(exp, x, exp(x))
POINTWISE1(expm1, x, expm1(x))                                                                // e^x - 1, exact near 0
POINTWISE1(log, x, log(x))
POINTWISE1(log1p, x, log1p(x))                                                                // log(1 + x), exact near 0
POINTWISE1(sqrt, x, sqrt(x))
POINTWISE1(rsqrt, x, rsqrt(x))
POINTWISE1(sin, x, sin(x))
POINTWISE1(cos, x, cos(x))
POINTWISE1(atan, x, atan(x))
POINTWISE1(tanh, x, tanh(x))
POINTWISE1(erf, x, erf(x))
POINTWISE1(sigmoid, x, sigmoid(x))
POINTWISE1(softplus, x, softplus(x))                                                          // log(1 + e^x)
POINTWISE1(relu, x, relu(x))
POINTWISE1(silu, x, x * sigmoid(x))
POINTWISE1(gelu, x, x * normal_cdf(x))
POINTWISE1(gelu_tanh, x, x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)))        // GPT-2's approximation
POINTWISE2(swiglu, gate, up, gate * sigmoid(gate) * up)                                       // Shazeer 2020
POINTWISE2(geglu, gate, up, gate * normal_cdf(gate) * up)                                     // Shazeer 2020
POINTWISE3(where, condition, a, b, select(condition != 0, a, b))
POINTWISE3(fma, a, b, c, fma(a, b, c))                                                        // a b + c, rounded once
POINTWISE3(clamp, x, low, high, select(x > high, high, select(x < low, select(low > high, high, low), select(x == x, x, NAN))))
STEP1(sign, x, sign(x))
STEP1(floor, x, floor(x))
STEP1(ceil, x, ceil(x))
STEP1(round, x, round(x))                                                                     // ties to even
// What the losses of op.h are the means of.
POINTWISE2(squared_error, x, target, (x - target) * (x - target))
POINTWISE2(absolute_error, x, target, abs(x - target))
POINTWISE3(huber_error, x, target, delta, select(abs(x - target) < delta, 0.5 * (x - target) * (x - target), delta * (abs(x - target) - 0.5 * delta)))
POINTWISE2(bce_error, logit, target, softplus(logit) - logit * target)                        // of sigmoid(logit)
POINTWISE2(kl_error, log_q, p, select(p == 0, 0, p * (log(p) - log_q)))
POINTWISE2(hinge_error, score, target, relu(1 - target * score))                              // target -1 or 1
BACKWARD2(tanh_backward, y, dy, (1 - y * y) * dy)
BACKWARD2(sigmoid_backward, y, dy, y * (1 - y) * dy)
// clang-format on
#undef POINTWISE1
#undef POINTWISE2
#undef POINTWISE3
#undef STEP1
#undef BACKWARD2

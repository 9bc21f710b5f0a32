// The pointwise operations, one line each: name, inputs, formula. Function, value, gradient, every rung,
// every element type and the tests follow from the line. Constants are written in double: a formula runs in
// f32 and in f64. Whoever includes this defines POINTWISE(name, (inputs), formula), or POINTWISE1 to 3 by the
// number of inputs.
// clang-format off
#ifdef POINTWISE
#define POINTWISE1(NAME, A, ...) POINTWISE(NAME, (auto A), __VA_ARGS__)
#define POINTWISE2(NAME, A, B, ...) POINTWISE(NAME, (auto A, auto B), __VA_ARGS__)
#define POINTWISE3(NAME, A, B, C, ...) POINTWISE(NAME, (auto A, auto B, auto C), __VA_ARGS__)
#endif
POINTWISE2(add, a, b, a + b)
POINTWISE2(sub, a, b, a - b)
POINTWISE2(mul, a, b, a * b)
POINTWISE2(div, a, b, a / b)
POINTWISE1(neg, x, -x)
POINTWISE1(exp, x, exp(x))
POINTWISE1(log, x, log(x))
POINTWISE1(sqrt, x, sqrt(x))
POINTWISE1(rsqrt, x, rsqrt(x))
POINTWISE1(tanh, x, tanh(x))
POINTWISE1(sigmoid, x, sigmoid(x))
POINTWISE1(relu, x, relu(x))
POINTWISE1(silu, x, x * sigmoid(x))
POINTWISE1(gelu, x, x * normal_cdf(x))
POINTWISE1(gelu_tanh, x, x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)))        // GPT-2's approximation
POINTWISE2(swiglu, gate, up, gate * sigmoid(gate) * up)                                       // Shazeer 2020
POINTWISE2(geglu, gate, up, gate * normal_cdf(gate) * up)                                     // Shazeer 2020
POINTWISE3(where, condition, a, b, select(condition != 0, a, b))
POINTWISE3(fma, a, b, c, fma(a, b, c))                                                        // a b + c, rounded once
// clang-format on
#undef POINTWISE1
#undef POINTWISE2
#undef POINTWISE3

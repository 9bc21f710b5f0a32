// Attention beyond the walk's small cases: every mask and score step against PyTorch
// (test/golden/attention.py), memory, what memory held before, caches.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "intarsia/map.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

using Values = std::vector<double>;

// Runs f on every rung of this cpu.
template <class F>
void on_every_rung(F f) {
  const std::string before = kernel::table().name;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    f(rung->name);
  }
  kernel::use_rung(before);
}

struct Case {
  std::vector<Array> inputs;  // q, k, v, d_o, and the table of a bias
  AttentionOptions options;
  Array buckets;  // of the table
};

// o, dq, dk, dv and the gradient of the table.
std::vector<Array> run(const Case& c, DType dtype) {
  std::vector<Tensor> x;
  for (size_t i = 0; i < c.inputs.size(); i++)
    if (i != 3) x.push_back(parameter(kernel::cast(c.inputs[i], dtype)));
  AttentionOptions options = c.options;
  if (c.buckets) options.bias = index_select(x[3], 1, Tensor(c.buckets));
  const Tensor o = attention(x[0], x[1], x[2], options);
  backward(sum(o * Tensor(kernel::cast(c.inputs[3], dtype))));
  std::vector<Array> results = {o.array()};
  for (const Tensor& t : x) results.push_back(t.gradient());
  return results;
}

Array as_f64(const Array& x) { return kernel::cast(kernel::contiguous(x), DType::f64); }

double relative_error(const Array& a, const Array& b) {
  const Array x = as_f64(a), y = as_f64(b);
  double difference = 0, total = 0;
  for (int64_t i = 0; i < x.size(); i++) {
    const double d = x.data<double>()[i] - y.data<double>()[i];
    difference += d * d;
    total += y.data<double>()[i] * y.data<double>()[i];
  }
  return std::sqrt(difference / total);
}

bool same_bits(const Array& a, const Array& b) {
  const Array x = kernel::contiguous(a), y = kernel::contiguous(b);
  return x.shape() == y.shape() && std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

// ---- against PyTorch

// As `made` in attention.py.
Array made(const Shape& shape, uint64_t seed) {
  Array array = Array::empty(shape, DType::f64);
  for (int64_t i = 0; i < array.size(); i++) {
    uint64_t x = (static_cast<uint64_t>(i) + 1 + seed * 1000003) * uint64_t{0x9E3779B97F4A7C15};
    x = (x ^ x >> 32) * uint64_t{0xD6E8FEB866659D93};
    array.mutable_data<double>()[i] = static_cast<double>(x >> 40 & 0xffff) / 16384 - 2;
  }
  return kernel::cast(kernel::cast(array, DType::bf16), DType::f64);
}

Case made_case(int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, int64_t size,
               bool causal = true) {
  const Shape q = {2, queries, heads, size}, k = {2, keys, kv_heads, size};
  Case c{{made(q, 0), made(k, 1), made(k, 2), made(q, 3)}, {}, {}};
  c.options.causal = causal;
  return c;
}

// Integers computed from their place.
template <class F>
Array integers(const Shape& shape, F f) {
  Array x = Array::empty(shape, DType::i64);
  for (int64_t i = 0; i < x.size(); i++) x.mutable_data<int64_t>()[i] = f(i);
  return x;
}

// Element of x as f64, rounded to bf16, by its place (batch, time, the rest).
template <class F>
Array changed(const Array& x, F f) {
  Array y = Array::empty(x.shape(), DType::f64);
  const int64_t time = x.dim(1), rest = x.dim(2) * x.dim(3);
  for (int64_t b = 0; b < x.dim(0); b++)
    for (int64_t t = 0; t < time; t++)
      for (int64_t i = 0; i < rest; i++) {
        const auto of = [&](int64_t at) { return x.data<double>()[(b * time + at) * rest + i]; };
        y.mutable_data<double>()[(b * time + t) * rest + i] = f(of, t);
      }
  return kernel::cast(kernel::cast(y, DType::bf16), DType::f64);
}
Array scaled(const Array& x, double factor, double offset) {
  return changed(x, [&](auto of, int64_t t) { return of(t) * factor + offset; });
}

// Where probabilities' gradients nearly cancel, or their sum is far from what o and d_o as rounded give.
void add_structured_cases(std::map<std::string, Case>& cases) {
  const Case random = made_case(300, 300, 2, 2, 64);
  const Array &q = random.inputs[0], &k = random.inputs[1], &v = random.inputs[2], &d_o = random.inputs[3];
  const auto add = [&](const char* name, const std::vector<Array>& inputs) {
    cases[name] = random;
    cases[name].inputs = inputs;
  };
  add("copies", {q, q, q, q});
  add("sharp copies", {scaled(q, 2, 0), q, v, d_o});
  const auto rolled = [&](int64_t n) {
    return changed(q, [&](auto of, int64_t t) { return of((t + 300 - n) % 300); });
  };
  add("shifted copies", {q, rolled(1), rolled(2), rolled(3)});
  add("common part", {scaled(q, 1, 1), scaled(k, 1, 2), scaled(v, 1, 4), scaled(d_o, 1, 2)});
  std::vector<Array> walks;
  for (const Array& x : random.inputs)
    walks.push_back(changed(x, [&](auto of, int64_t t) {
      double sum = 0;
      for (int64_t i = 0; i <= t; i++) sum += of(i);
      return sum / 8;
    }));
  add("walks", walks);
  add("sharp", {scaled(q, 4, 0), scaled(k, 2, 0), v, d_o});
}

std::map<std::string, Case> golden_cases() {
  std::map<std::string, Case> cases;
  cases["causal"] = made_case(300, 300, 4, 4, 64);
  cases["causal with more keys"] = made_case(70, 333, 4, 2, 64);
  cases["full"] = made_case(90, 290, 4, 1, 80, false);
  Case c = made_case(300, 300, 2, 2, 32);
  c.options.window = 50;
  c.options.sinks = 4;
  cases["window and sinks"] = c;
  c = made_case(300, 300, 2, 2, 32, false);
  c.options.window = 50;
  cases["window both ways"] = c;
  c = made_case(300, 300, 2, 2, 32);
  c.options.prefix = Array::of<int32_t>({37, 270});
  cases["prefix"] = c;
  c = made_case(100, 300, 2, 1, 32, false);
  c.options.key_mask = integers({2, 300}, [](int64_t i) { return i < 300 && i % 7 != 3; });
  cases["key mask"] = c;
  c = made_case(300, 300, 2, 2, 32);
  c.options.documents = integers({2, 300}, [](int64_t i) {
    if (i < 300) return i / 110;
    return i - 300 < 280 ? (i - 300) / 43 : -1;
  });
  cases["documents"] = c;
  c = made_case(300, 300, 2, 2, 32, false);
  c.options.cell = 40;
  c.options.pattern =
      integers({2, 8, 8}, [](int64_t i) { return (i / 8 % 8 * 5 + i % 8 * 3 + i / 64) % 4 < 2; });
  cases["pattern"] = c;
  c = made_case(300, 300, 2, 2, 64);
  c.options.soft_cap = 2;
  cases["soft cap"] = c;
  c = made_case(300, 300, 6, 6, 32);
  c.options.bias = alibi(6, 299);
  cases["alibi"] = c;
  for (bool both_ways : {true, false}) {
    c = made_case(200, 200, 2, 2, 32, !both_ways);
    c.inputs.push_back(made({2, 32}, 4));
    c.buckets = t5_buckets(150, both_ways);
    cases[both_ways ? "t5 bias both ways" : "t5 bias backwards"] = c;
  }
  c = made_case(300, 300, 2, 2, 32);
  c.options.query_scale = log_n_scale(0, 300, 64);
  cases["log n"] = c;
  cases["long"] = made_case(2000, 2000, 1, 1, 16);
  add_structured_cases(cases);
  return cases;
}

struct Golden {
  std::string name;
  Values sums, f32, bf16;
};
std::vector<Golden> read_golden() {
  std::ifstream file(INTARSIA_SOURCE_DIR "/test/golden/attention/cases.txt");
  std::vector<Golden> all;
  for (std::string line; std::getline(file, line);) {
    if (line[0] == '#') continue;
    std::istringstream parts(line);
    Golden g;
    std::getline(parts, g.name, ';');
    for (Values* v : {&g.sums, &g.f32, &g.bf16}) {
      std::string part;
      std::getline(parts, part, ';');
      std::istringstream numbers(part);
      for (double x; numbers >> x;) v->push_back(x);
    }
    all.push_back(g);
  }
  return all;
}

TEST(Attention, ValuesAndGradientsInF64AreThoseOfPyTorch) {
  std::map<std::string, Case> cases = golden_cases();
  const std::vector<Golden> all = read_golden();
  EXPECT_EQ(all.size(), cases.size());
  for (const Golden& g : all) {
    ASSERT_TRUE(cases.contains(g.name)) << g.name;
    const std::vector<Array> results = run(cases[g.name], DType::f64);
    ASSERT_EQ(results.size(), g.sums.size()) << g.name;
    for (size_t i = 0; i < results.size(); i++) {
      const Array x = kernel::contiguous(results[i]);
      double sum = 0;
      for (int64_t j = 0; j < x.size(); j++)
        sum += x.data<double>()[j] * std::sin(1.7 * static_cast<double>(j) + 0.3);
      // alibi and log_n_scale are arrays of f32.
      EXPECT_NEAR(sum, g.sums[i], 1e-5) << g.name << " result " << i;
    }
  }
}

TEST(Attention, ErrorsAreAtMostTwiceThoseOfPyTorchsMathPath) {
  std::map<std::string, Case> cases = golden_cases();
  for (const Golden& g : read_golden()) {
    const Case& c = cases[g.name];
    const std::vector<Array> exact = run(c, DType::f64);
    on_every_rung([&](const char* rung) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        const Values& theirs = dtype == DType::f32 ? g.f32 : g.bf16;
        const std::vector<Array> ours = run(c, dtype);
        for (size_t i = 0; i < ours.size(); i++)
          EXPECT_LE(relative_error(ours[i], exact[i]), 2 * theirs[i])
              << g.name << ' ' << rung << ' ' << info(dtype).name << " result " << i;
      }
    });
  }
}

// ---- the kernels against f64 where masks and steps come together

// Everything at once, over several blocks of keys and of queries.
Case all_at_once() {
  Case c = made_case(500, 600, 4, 2, 24);
  AttentionOptions& o = c.options;
  o.window = 200;
  o.sinks = 3;
  o.prefix = Array::of<int64_t>({150});
  o.key_mask = integers({2, 600}, [](int64_t i) { return i % 11 != 5; });
  o.documents = integers({2, 600}, [](int64_t i) { return i % 600 / 350; });
  o.cell = 37;
  o.pattern = integers({1, 14, 17}, [](int64_t i) { return i % 5 != 2; });
  o.query_scale = log_n_scale(100, 500, 128);
  o.soft_cap = 3;
  o.formula = score_formula([](auto s, auto i, auto j) { return s + 0.1 * tanh(0.01 * (i - j)); });
  c.inputs.push_back(made({4, 32}, 4));
  c.buckets = t5_buckets(90, true);
  o.dropout = 0.2;
  o.random = Random(5, 6, 1'000'000'007);
  return c;
}

TEST(Attention, MasksScoreStepsAndDropoutComposeOnEveryRung) {
  const Case c = all_at_once();
  const std::vector<Array> exact = run(c, DType::f64);
  on_every_rung([&](const char* rung) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      const std::vector<Array> got = run(c, dtype);
      for (size_t i = 0; i < got.size(); i++)
        EXPECT_LT(relative_error(got[i], exact[i]), dtype == DType::f32 ? 2e-6 : 1e-2)
            << rung << ' ' << info(dtype).name << " result " << i;
    }
  });
}

// Also where one key/value head is shared among them.
TEST(Attention, OneTwoAndThreeThreadsGiveTheSameBits) {
  const int before = thread_count();
  Case one_head = all_at_once();
  for (size_t i = 0; i < 4; i++) one_head.inputs[i] = made({1, i % 3 ? 600 : 500, i % 3 ? 1 : 4, 24}, i);
  one_head.options.prefix = Array::of<int64_t>({150});
  for (Array* x : {&one_head.options.key_mask, &one_head.options.documents})
    *x = kernel::contiguous(x->view({1, 600}, {600, 1}));
  for (const Case& c : {all_at_once(), one_head})
    on_every_rung([&](const char* rung) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        set_thread_count(1);
        const std::vector<Array> one = run(c, dtype);
        for (int threads : {2, 3}) {
          set_thread_count(threads);
          const std::vector<Array> more = run(c, dtype);
          for (size_t i = 0; i < one.size(); i++) EXPECT_TRUE(same_bits(one[i], more[i])) << rung << ' ' << i;
        }
      }
    });
  set_thread_count(before);
}

// The pool hands memory out as it came back: what a kernel does not write itself is NaN from here on.
void spoil_pool() {
  std::vector<Array> spoilt;
  for (int64_t bytes = 1 << 12; bytes <= 1 << 24; bytes *= 2)
    for (int i = 0; i < 2; i++) {
      spoilt.push_back(Array::empty({bytes / 4}));
      kernel::fill(spoilt.back(), NAN);
    }
}

TEST(Attention, NothingIsReadOfWhatMemoryHeldBefore) {
  Case plain = made_case(600, 600, 2, 2, 16);
  for (const Case& c : {plain, all_at_once()}) {
    const std::vector<Array> exact = run(c, DType::f64);
    on_every_rung([&](const char* rung) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        spoil_pool();
        const std::vector<Array> got = run(c, dtype);
        for (size_t i = 0; i < got.size(); i++)
          EXPECT_LT(relative_error(got[i], exact[i]), 1e-2) << rung << ' ' << info(dtype).name << ' ' << i;
      }
    });
  }
}

TEST(Attention, RowsThatSeeNothingAreZeroAndHaveNoGradient) {
  on_every_rung([&](const char* rung) {
    for (DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
      // Queries 0 to 39 are padding; keys of the second batch element are hidden from everybody.
      Case c = made_case(300, 300, 2, 1, 16);
      c.options.documents = integers({2, 300}, [](int64_t i) { return i % 300 < 40 ? -1 : 0; });
      c.options.key_mask = integers({2, 300}, [](int64_t i) { return i < 300; });
      const std::vector<Array> results = run(c, dtype);
      const Array o = as_f64(results[0]), dq = as_f64(results[1]);
      for (const Array& x : results) {
        const Array wide = as_f64(x);
        for (double e : wide.span<double>()) ASSERT_TRUE(std::isfinite(e)) << rung;
      }
      for (int64_t i = 0; i < o.size(); i++) {
        const bool blind = i >= 300 * 32 || i < 40 * 32;
        if (blind) {
          ASSERT_EQ(o.data<double>()[i], 0) << rung << ' ' << info(dtype).name;
          ASSERT_EQ(dq.data<double>()[i], 0) << rung << ' ' << info(dtype).name;
        } else {
          ASSERT_NE(o.data<double>()[i], 0) << rung << ' ' << info(dtype).name;
        }
      }
    }
  });
}

TEST(Attention, ALearnedFormulaIsTheSoftCap) {
  Case built_in = made_case(40, 300, 2, 1, 16), formula = built_in;
  built_in.options.soft_cap = 2;
  formula.options.formula = score_formula([](auto s) { return 2 * tanh(s / 2); });
  const std::vector<Array> a = run(built_in, DType::f32), b = run(formula, DType::f32);
  for (size_t i = 0; i < a.size(); i++) EXPECT_LT(relative_error(a[i], b[i]), 1e-6) << i;
}

// ---- dropout

TEST(Attention, DropoutDropsTheShareAskedForAndKeepsTheMean) {
  Case c = made_case(256, 256, 4, 4, 16, false);
  kernel::fill(c.inputs[0], 0);  // equal probabilities of 1 / 256
  kernel::fill(c.inputs[2], 1);
  c.options.dropout = 0.25;
  c.options.random = Random(3);
  double mean = 0;
  const Array o = as_f64(run(c, DType::f32)[0]);
  for (double x : o.span<double>()) {
    const double kept = x * 256 * 0.75;
    EXPECT_NEAR(kept, std::round(kept), 1e-3);
    mean += x / static_cast<double>(o.size());
  }
  EXPECT_NEAR(mean, 1, 4e-3);
  c.options.random = Random(4);
  EXPECT_FALSE(same_bits(o, as_f64(run(c, DType::f32)[0])));
}

TEST(Attention, ARecomputedDropoutIsTheSameOne) {
  const Case c = all_at_once();
  const std::vector<Array> plain = run(c, DType::bf16);
  std::vector<Tensor> x;
  for (size_t i : {0, 1, 2, 4}) x.push_back(parameter(kernel::cast(c.inputs[i], DType::bf16)));
  const Tensor o = recompute(
      [&](std::span<const Tensor> in) {
        AttentionOptions options = c.options;
        options.bias = index_select(in[3], 1, Tensor(c.buckets));
        return attention(in[0], in[1], in[2], options);
      },
      x);
  backward(sum(o * Tensor(kernel::cast(c.inputs[3], DType::bf16))));
  EXPECT_TRUE(same_bits(o.array(), plain[0]));
  for (size_t i = 0; i < x.size(); i++) EXPECT_TRUE(same_bits(x[i].gradient(), plain[i + 1])) << i;
}

// ---- caches

// Positions [begin, end) of x [1, T, H, d].
Array positions(const Array& x, int64_t begin, int64_t end) {
  return kernel::contiguous(
      x.view({1, end - begin, x.dim(2), x.dim(3)}, x.strides(), begin * x.strides()[1]));
}

TEST(Attention, ATokenReadsABlockTableWithTheBitsOfTheWholePrompt) {
  const NoGradient off;
  AttentionOptions windowed;
  windowed.window = 300;
  windowed.sinks = 4;
  windowed.soft_cap = 2;
  const int before = thread_count();
  for (const AttentionOptions& options : {AttentionOptions(), windowed})
    for (int64_t kv_heads : {1, 2, 3, 6})
      for (DType dtype : {DType::f32, DType::bf16})
        on_every_rung([&](const char* rung) {
          const int64_t tokens = 1100, block = 512;
          const Array q = kernel::cast(normal({1, tokens, 6, 40}, 1, 1), dtype);
          const Array k = kernel::cast(normal({1, tokens, kv_heads, 40}, 1, 2), dtype);
          const Array v = kernel::cast(normal({1, tokens, kv_heads, 40}, 1, 3), dtype);
          const Array whole = attention(Tensor(q), Tensor(k), Tensor(v), options).array();
          // The table's blocks stand in any order of memory, the last one partly filled.
          std::vector<Array> k_blocks, v_blocks;
          for (int64_t first = 0; first < tokens; first += block) {
            k_blocks.push_back(kernel::cast(Array::zeros({block, kv_heads, 40}), dtype));
            v_blocks.push_back(kernel::cast(Array::zeros({block, kv_heads, 40}), dtype));
            const int64_t count = std::min(block, tokens - first);
            for (auto [to, from] : {std::pair{&k_blocks.back(), &k}, {&v_blocks.back(), &v}}) {
              Array room = to->view({1, count, kv_heads, 40}, from->strides());
              kernel::copy(positions(*from, first, first + count), room);
            }
          }
          for (int threads : {1, 2})
            for (auto [begin, end] :
                 {std::pair<int64_t, int64_t>{1099, 1100}, {1090, 1095}, {255, 257}, {900, 960}}) {
              set_thread_count(threads);
              const Array part =
                  attention(Tensor(positions(q, begin, end)), k_blocks, v_blocks, block, end, options)
                      .array();
              EXPECT_TRUE(same_bits(part, positions(whole, begin, end)))
                  << rung << ' ' << info(dtype).name << ' ' << kv_heads << " heads, tokens " << begin
                  << " to " << end;
            }
        });
  set_thread_count(before);
}

// ---- memory

TEST(Attention, MemoryGrowsWithTheLengthAndNotWithItsSquare) {
  // Bytes beside q, k and v that forward and backward hold at most, for each byte of q.
  const auto peak = [](int64_t tokens, bool windowed) {
    std::vector<Tensor> x;
    for (uint64_t i = 0; i < 3; i++)
      x.push_back(parameter(kernel::cast(normal({1, tokens, 1, 16}, 1, 1, i), DType::bf16)));
    AttentionOptions options;
    if (windowed) {
      options.window = 100;
      options.bias = parameter(alibi(1, 64));
    }
    const size_t before = memory_use().current;
    reset_peak_memory();
    backward(sum(attention(x[0], x[1], x[2], options)));
    return static_cast<double>(memory_use().peak - before) / static_cast<double>(tokens * 16 * 2);
  };
  for (bool windowed : {true, false}) {
    const int64_t tokens = windowed ? 65536 : 16384;  // bench attention has the rest
    const double shorter = peak(tokens / 4, windowed), longer = peak(tokens, windowed);
    EXPECT_LT(longer, 1.1 * shorter);
    EXPECT_LT(longer, windowed ? 64 : 128);  // the scores alone would be 8,192
  }
}

// ---- refusals

TEST(Attention, ErrorsSayWhatWasFoundAndExpected) {
  const Tensor q(Array::zeros({2, 4, 6, 8})), k(Array::zeros({2, 5, 3, 8}));
  const auto message = [&](const std::function<void(AttentionOptions&)>& change) {
    AttentionOptions options;
    change(options);
    try {
      attention(q, k, k, options);
    } catch (const std::exception& error) { return std::string(error.what()); }
    return std::string();
  };
  EXPECT_EQ(message([](auto& o) { o.window = -1; }), "attention: window is -1, expected 0 or more");
  EXPECT_EQ(message([](auto& o) { o.prefix = Array::of<int64_t>({6}); }),
            "attention: prefix hold 6, expected 0 to 5");
  EXPECT_EQ(message([](auto& o) {
              o.prefix = Array::of<int64_t>({1, 2, 3});
            }),
            "attention: prefix has shape [3], expected [2] or [1]");
  EXPECT_EQ(message([](auto& o) {
              o.key_mask = Array::zeros({2, 4});
            }),
            "attention: key_mask has shape [2, 4], expected [2, 5]");
  EXPECT_EQ(message([](auto& o) {
              o.documents = Array::zeros({2, 5});
            }),
            "attention: documents have type f32, expected integers");
  EXPECT_EQ(message([](auto& o) {
              o.pattern = Array::zeros({6, 1, 2});
            }),
            "attention: pattern has shape [6, 1, 2], expected [6, 1, 1]");
  EXPECT_EQ(message([](auto& o) {
              o.cell = 0, o.pattern = Array::zeros({6, 1, 2});
            }),
            "attention: cell is 0, expected 1 or more");
  EXPECT_EQ(message([](auto& o) { o.query_scale = Array::zeros({5}); }),
            "attention: query_scale has shape [5], expected [4]");
  EXPECT_EQ(message([](auto& o) {
              o.bias = Tensor(Array::zeros({6, 4}));
            }),
            "attention: bias has shape [6, 4], expected [6 or 1, an odd number]");
  EXPECT_EQ(message([](auto& o) { o.dropout = 1; }), "attention: dropout is 1, expected 0 <= p < 1");
  EXPECT_EQ(message([](auto& o) { o.soft_cap = NAN; }), "attention: soft_cap is nan, expected 0 or more");
}

}  // namespace
}  // namespace intarsia

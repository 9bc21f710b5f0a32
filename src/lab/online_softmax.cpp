// The derivation of tiled attention, step by step: softmax(s) v in three passes over the scores, in two, in
// one, with every number that is read from or written to memory counted. Plain loops: what differs is only
// what is stored.
#include <chrono>
#include <cmath>
#include <limits>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/task.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"traffic", "bytes a score", Measure::Better::lower, 2},
                                {"of it scores", "bytes a score", Measure::Better::lower, 2},
                                {"stored", "KiB a tile of queries", Measure::Better::lower, 1},
                                {"error", "of f64, largest, 1e-7", Measure::Better::lower, 2}};

// Numbers in memory; each access is counted.
class Counted {
 public:
  explicit Counted(std::vector<float> values) : values_(std::move(values)) {}
  float read(size_t i) {
    accesses_++;
    return values_[i];
  }
  void write(size_t i, float value) {
    accesses_++;
    values_[i] = value;
  }
  double bytes() const { return static_cast<double>(accesses_) * sizeof(float); }
  size_t size() const { return values_.size(); }

 private:
  std::vector<float> values_;
  int64_t accesses_ = 0;
};

// A tile of queries that stay in the cache, with all the keys, which come from memory. Running numbers of the
// tile (maximum m, sum l, output o) are registers or cache: not counted.
struct Tile {
  size_t queries, keys, width;
  std::vector<float> q;
  Counted k, v, scores;
  std::vector<float> m, l, o;

  Tile(size_t queries, size_t keys, size_t width, uint64_t seed, bool stores)
      : queries(queries),
        keys(keys),
        width(width),
        q(numbers(queries * width, seed, 0)),
        k(numbers(keys * width, seed, 1)),
        v(numbers(keys * width, seed, 2)),
        scores(std::vector<float>(stores ? queries * keys : 0)),
        m(queries, -std::numeric_limits<float>::infinity()),
        l(queries),
        o(queries * width) {}

  static std::vector<float> numbers(size_t count, uint64_t seed, uint64_t stream) {
    const Array a = normal({static_cast<int64_t>(count)}, 1, seed, stream);
    return {a.data<float>(), a.data<float>() + count};
  }
  // The scores of key j: the key is read once for the tile.
  std::vector<float> scores_of(size_t j) {
    std::vector<float> sums(queries);
    for (size_t c = 0; c < width; c++) {
      const float key = k.read(j * width + c);
      for (size_t i = 0; i < queries; i++) sums[i] += q[i * width + c] * key;
    }
    for (float& sum : sums) sum /= std::sqrt(static_cast<float>(width));
    return sums;
  }
  // o += p v_j for each query's p.
  void add_value(size_t j, const std::vector<float>& p) {
    for (size_t c = 0; c < width; c++) {
      const float value = v.read(j * width + c);
      for (size_t i = 0; i < queries; i++) o[i * width + c] += p[i] * value;
    }
  }
};

// m = max s_j;  l = sum of e^(s_j - m);  o = sum of e^(s_j - m) / l v_j: each needs all of the one before.
void three_passes(Tile& t) {
  for (size_t j = 0; j < t.keys; j++) {
    const std::vector<float> s = t.scores_of(j);
    for (size_t i = 0; i < t.queries; i++) {
      t.scores.write(i * t.keys + j, s[i]);
      t.m[i] = std::max(t.m[i], s[i]);
    }
  }
  for (size_t i = 0; i < t.queries; i++)
    for (size_t j = 0; j < t.keys; j++) t.l[i] += std::exp(t.scores.read(i * t.keys + j) - t.m[i]);
  std::vector<float> p(t.queries);
  for (size_t j = 0; j < t.keys; j++) {
    for (size_t i = 0; i < t.queries; i++) p[i] = std::exp(t.scores.read(i * t.keys + j) - t.m[i]) / t.l[i];
    t.add_value(j, p);
  }
}

// l' = l e^(m - m') + e^(s - m'), m' = max(m, s): the sum needs no final maximum (Milakov & Gimelshein 2018).
void two_passes(Tile& t) {
  for (size_t j = 0; j < t.keys; j++) {
    const std::vector<float> s = t.scores_of(j);
    for (size_t i = 0; i < t.queries; i++) {
      t.scores.write(i * t.keys + j, s[i]);
      const float larger = std::max(t.m[i], s[i]);
      t.l[i] = t.l[i] * std::exp(t.m[i] - larger) + std::exp(s[i] - larger);
      t.m[i] = larger;
    }
  }
  std::vector<float> p(t.queries);
  for (size_t j = 0; j < t.keys; j++) {
    for (size_t i = 0; i < t.queries; i++) p[i] = std::exp(t.scores.read(i * t.keys + j) - t.m[i]) / t.l[i];
    t.add_value(j, p);
  }
}

// o' = o e^(m - m') + e^(s - m') v, divided by l at the end: no score is stored (Dao et al. 2022).
void one_pass(Tile& t) {
  std::vector<float> p(t.queries);
  for (size_t j = 0; j < t.keys; j++) {
    const std::vector<float> s = t.scores_of(j);
    for (size_t i = 0; i < t.queries; i++) {
      const float larger = std::max(t.m[i], s[i]), shrink = std::exp(t.m[i] - larger);
      p[i] = std::exp(s[i] - larger);
      t.l[i] = t.l[i] * shrink + p[i];
      t.m[i] = larger;
      if (shrink != 1)
        for (size_t c = 0; c < t.width; c++) t.o[i * t.width + c] *= shrink;
    }
    t.add_value(j, p);
  }
  for (size_t i = 0; i < t.queries; i++)
    for (size_t c = 0; c < t.width; c++) t.o[i * t.width + c] /= t.l[i];
}

double error_of(const Tile& t, uint64_t seed) {
  const auto tensor = [&](size_t rows, uint64_t stream) {
    const auto n = static_cast<int64_t>(rows), d = static_cast<int64_t>(t.width);
    return reshape(cast(Tensor(normal({n * d}, 1, seed, stream)), DType::f64), {n, d});
  };
  const Tensor q = tensor(t.queries, 0), k = tensor(t.keys, 1), v = tensor(t.keys, 2);
  const Tensor exact =
      matmul(softmax(matmul(q, transpose(k, 0, 1)) * (1 / std::sqrt(static_cast<double>(t.width)))), v);
  double error = 0;
  const auto values = exact.array().span<double>();
  for (size_t i = 0; i < values.size(); i++)
    error = std::max(error, std::fabs(values[i] - static_cast<double>(t.o[i])));
  return error;
}

Outcome run(const Cell& cell) {
  const double longest = cell.number("longest", 4096);
  const auto queries = static_cast<size_t>(cell.number("queries", 64)),
             width = static_cast<size_t>(cell.number("width", 64));
  const std::string form = cell.text("form", "one");
  static_cast<void>(cell.number("turns", 1));  // of the other tasks of this lab
  cell.finish();
  if (longest < 1 || longest > 1 << 20 || queries < 1 || queries > 4096 || width < 1 || width > 4096)
    fail("lab: task.longest is {}, queries {}, width {}; expected 1 to 1,048,576, to 4,096, to 4,096",
         longest, queries, width);
  void (*const forms[])(Tile&) = {three_passes, two_passes, one_pass};
  const int chosen = form == "three" ? 0 : form == "two" ? 1 : form == "one" ? 2 : -1;
  if (chosen < 0) fail("lab: task.form is {}, expected three, two or one", quote(form));
  const auto keys = static_cast<size_t>(longest);
  Tile tile(queries, keys, width, static_cast<uint64_t>(cell.seed()), chosen < 2);
  forms[chosen](tile);
  cell.check();
  const double scores = static_cast<double>(queries * keys);
  Outcome outcome;
  outcome.measures = {(tile.k.bytes() + tile.v.bytes() + tile.scores.bytes()) / scores,
                      tile.scores.bytes() / scores,
                      static_cast<double>(tile.scores.size() * sizeof(float)) / 1024,
                      1e7 * error_of(tile, static_cast<uint64_t>(cell.seed()))};
  return outcome;
}

}  // namespace

namespace task {
extern const Task online_softmax;
const Task online_softmax = {"online_softmax", "keys", nullptr, measures, run};
}  // namespace task

}  // namespace intarsia

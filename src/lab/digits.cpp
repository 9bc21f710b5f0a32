// Reading digits: a network with one hidden layer on few images, so that it can learn them by heart. With
// task.norm = "rms" both products are normed, so that the scale of their weights does not matter: w and 2 w
// are the same network, and decay acts through the size of a step beside its weight alone.
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/data.h"
#include "intarsia/digits.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/task.h"
#include "train/optimizer/optimizer.h"
#include "train/optimizer/schedule.h"
#include "train/optimizer/weights_only.h"

namespace intarsia {

namespace {

struct Images {
  Tensor pixels, labels;  // [N, 784] f32, 0 to 1; [N] i32
  int64_t count() const { return labels.dim(0); }
  Images part(int64_t begin, int64_t end) const {
    return {slice(pixels, 0, begin, end), contiguous(slice(labels, 0, begin, end))};
  }
  Images rows(const Tensor& numbers) const {
    return {embedding(pixels, numbers), kernel::take(labels.array(), 0, numbers.array())};
  }
};

Images read_mnist(const char* name) {
  const auto file = [&](const char* kind) {
    return data_file(std::string("mnist/") + name + kind + "-ubyte.gz");
  };
  const Array pixels = read_idx(file("-images-idx3")), labels = read_idx(file("-labels-idx1"));
  return {cast(reshape(pixels, {pixels.dim(0), 784}), DType::f32) * (1 / 255.0), cast(labels, DType::i32)};
}

struct Sets {
  Images train, test;
};

// Read or drawn once for all cells.
const Sets& sets_of(const std::string& data) {
  static std::map<std::string, Sets> known;
  if (const auto found = known.find(data); found != known.end()) return found->second;
  if (data == "mnist") return known[data] = {read_mnist("train"), read_mnist("t10k")};
  if (data != "drawn") fail("lab: task.data is {}, expected mnist or drawn", quote(data));
  const Digits train = draw_digits(4000, 1), test = draw_digits(2000, 2);
  return known[data] = {{train.images, train.labels}, {test.images, test.labels}};
}

struct Network {
  Network(int64_t hidden, bool norm, uint64_t seed)
      : first(normal({hidden, 784}, std::sqrt(2 / 784.0), seed, 0)),
        first_bias(Array::zeros({hidden})),
        second(normal({10, hidden}, std::sqrt(1 / static_cast<double>(hidden)), seed, 1)),
        second_bias(Array::zeros({10})),
        model({{"first", &first, true, 0},
               {"first_bias", &first_bias, false, 0},
               {"second", &second, true, 0},
               {"second_bias", &second_bias, false, 0}}) {
    if (!norm) return;
    first_gain = Tensor(Array::zeros({hidden})) + 1;
    second_gain = Tensor(Array::zeros({10})) + 1;
    model.weights().push_back({"first_gain", &first_gain, false, -1});
    model.weights().push_back({"second_gain", &second_gain, false, -1});
  }
  Tensor operator()(const Tensor& pixels) const {
    const Tensor x = cast(pixels, first.dtype());
    if (!first_gain) return linear(linear(x, first, first_bias, Activation::relu), second, second_bias);
    // No eps that small weights could fall below. Logits of size 1 could not tell ten classes apart, and the
    // gain would have to grow first, slower at lower rates.
    constexpr double eps = 1e-20, logit_size = 5;
    const Tensor hidden = relu(rms_norm(linear(x, first), first_gain, eps) + first_bias);
    return rms_norm(linear(hidden, second), second_gain, eps) * logit_size + second_bias;
  }
  Tensor first, first_bias, second, second_bias;
  Tensor first_gain, second_gain;  // of the norms, if there are any
  WeightsOnly model;
};

constexpr Measure measures[] = {{"test error", "%", Measure::Better::lower, 2},
                                {"test loss", "nats", Measure::Better::lower, 3},
                                {"training loss", "nats", Measure::Better::lower, 4}};

struct Score {
  double loss, error;
};
Score score(const Network& network, const Images& images) {
  const NoGradient no_gradient;
  const Tensor logits = network(images.pixels);
  const Array best = argmax(logits, 1).array();
  int64_t wrong = 0;
  for (int64_t i = 0; i < images.count(); i++)
    wrong += best.data<int64_t>()[i] != images.labels.array().data<int32_t>()[i];
  return {cross_entropy(logits, images.labels).item(),
          100 * static_cast<double>(wrong) / static_cast<double>(images.count())};
}

Outcome run(const Cell& cell) {
  Recipe base;
  base.training.steps = 600;
  base.training.batch = 100;
  const Recipe recipe = cell.recipe(base);
  const auto hidden = static_cast<int64_t>(cell.number("hidden", 128));
  const auto count = static_cast<int64_t>(cell.number("images", 1000));
  const std::string norm = cell.text("norm", "none");
  const Sets& sets = sets_of(cell.text("data", "mnist"));
  const int64_t batch = recipe.training.batch, steps = recipe.training.steps;
  if (hidden < 1 || hidden > 4096 || count < batch || count > sets.train.count())
    fail("lab: task.hidden is {} and task.images {}, expected 1 to 4096 and {} to {}", hidden, count, batch,
         sets.train.count());
  if (norm != "none" && norm != "rms") fail("lab: task.norm is {}, expected none or rms", quote(norm));
  cell.finish();
  const Images train = sets.train.part(0, count);
  const auto seed = static_cast<uint64_t>(cell.seed());
  Network network(hidden, norm == "rms", seed);
  Optimizer optimizer(network.model, recipe.optimizer, dtype_named(recipe.training.compute), recipe.precision,
                      recipe.average, steps);
  Outcome outcome;
  std::vector<int64_t> order;
  Random random(seed, 2);
  for (int64_t step = 0; step < steps; step++) {
    cell.check();
    if (static_cast<int64_t>(order.size()) < batch) {
      order.resize(static_cast<size_t>(count));
      for (size_t i = 0; i < order.size(); i++) {
        const size_t at = random.below(i + 1);
        order[i] = order[at];
        order[at] = static_cast<int64_t>(i);
      }
    }
    Array rows = Array::copy_of(std::span<const int64_t>(order).last(static_cast<size_t>(batch)), {batch});
    order.resize(order.size() - static_cast<size_t>(batch));
    const Images seen = train.rows(Tensor(rows));
    const Tensor loss = cross_entropy(network(seen.pixels), seen.labels);
    backward(loss * optimizer.loss_scale());
    optimizer.step(learning_rate_at(recipe, step));
    if ((step + 1) % std::max<int64_t>(20, steps / 12) == 0) {
      outcome.curve.x.push_back(static_cast<double>(step + 1));
      outcome.curve.y.push_back(score(network, sets.test).error);
    }
  }
  const Score test = score(network, sets.test), known = score(network, train);
  outcome.measures = {test.error, test.loss, known.loss};
  return outcome;
}

}  // namespace

namespace task {
extern const Task digits;
const Task digits = {"digits", "step", nullptr, measures, run};
}  // namespace task

}  // namespace intarsia

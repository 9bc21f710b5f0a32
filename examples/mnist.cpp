// Trains a small residual network (He et al. 2015) to read handwritten digits: MNIST from the directory
// mnist/ of INTARSIA_DATA, or drawn digits where there is none.
//   mnist [epochs] [f32 | bf16] [images]
#include <intarsia/intarsia.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace intarsia;

struct Set {
  Array images;  // [N, 784], 0 to 1
  Array labels;  // [N] i32
};

Set read_set(const std::filesystem::path& folder, const std::string& name) {
  const Array images = read_idx(folder / (name + "-images-idx3-ubyte.gz"));
  const Array labels = read_idx(folder / (name + "-labels-idx1-ubyte.gz"));
  return {(cast(reshape(images, {images.dim(0), 784}), DType::f32) * (1 / 255.0)).array(),
          cast(labels, DType::i32).array()};
}

Set drawn_set(int64_t count, uint64_t seed) {
  const Digits digits = draw_digits(count, seed);
  return {digits.images, digits.labels};
}

// Weights, their momentum, and what batch normalization keeps.
struct Network {
  DType compute = DType::f32;
  std::vector<Tensor> weights;
  std::vector<Array> momentum;
  std::vector<RunningMoments> running;
  bool training = true;
  size_t next_weight = 0, next_running = 0;

  Tensor weight(const Shape& shape, double deviation, double mean = 0) {
    if (next_weight == weights.size()) {  // the first pass makes them
      const Array start = (Tensor(normal(shape, deviation, 1, next_weight)) + mean).array();
      weights.push_back(parameter(start));
      momentum.push_back(Array::zeros(shape));
    }
    return cast(weights[next_weight++], compute);
  }
  Tensor convolution(const Tensor& x, int64_t outputs, int64_t stride) {
    const double inputs = static_cast<double>(x.dim(1)) * 9;
    return conv2d(x, weight({outputs, x.dim(1), 3, 3}, std::sqrt(2 / inputs)), {}, {stride, 1});
  }
  Tensor norm(const Tensor& x) {
    const Tensor scale = weight({x.dim(1)}, 0, 1), shift = weight({x.dim(1)}, 0);
    if (next_running == running.size()) running.emplace_back();
    return batch_norm(x, scale, shift, running[next_running++], training);
  }
  Tensor block(const Tensor& x) {
    const Tensor inner = relu(norm(convolution(x, x.dim(1), 1)));
    return relu(x + norm(convolution(inner, x.dim(1), 1)));
  }
  // Images [N, 784] to logits [N, 10].
  Tensor operator()(const Tensor& images) {
    next_weight = next_running = 0;
    Tensor x = reshape(cast(images, compute), {images.dim(0), 1, 28, 28});
    x = relu(norm(convolution(x, 16, 1)));
    x = block(relu(norm(convolution(x, 32, 2))));
    x = block(relu(norm(convolution(x, 64, 2))));
    return linear(mean(x, {2, 3}), weight({10, 64}, 0.1));
  }
  // Stochastic gradient descent with momentum; weight decay as part of the gradient.
  void step(double rate) {
    for (size_t i = 0; i < weights.size(); i++) {
      const Tensor w = stop_gradient(weights[i]);
      momentum[i] = (Tensor(momentum[i]) * 0.9 + Tensor(weights[i].gradient()) + w * 5e-4).array();
      weights[i] = parameter((w - Tensor(momentum[i]) * rate).array());
    }
  }
};

// Rows `first` to `first + count` of a set in the order of `order`.
Set batch(const Set& set, const Array& order, int64_t first, int64_t count) {
  const Tensor rows = slice(order, 0, first, first + count);
  const Tensor images = embedding(set.images, rows);
  const Tensor places = contiguous(rows);
  Array labels = Array::empty({count}, DType::i32);
  for (int64_t i = 0; i < count; i++)
    labels.mutable_data<int32_t>()[i] = set.labels.data<int32_t>()[places.array().data<int64_t>()[i]];
  return {images.array(), labels};
}

double accuracy(Network& network, const Set& test) {
  const NoGradient off;
  network.training = false;
  int64_t right = 0;
  const int64_t count = test.labels.dim(0), together = 250;
  for (int64_t at = 0; at < count; at += together) {
    const int64_t end = std::min(count, at + together);
    const Tensor read = argmax(network(slice(test.images, 0, at, end)));
    for (int64_t i = at; i < end; i++)
      right += read.array().data<int64_t>()[i - at] == test.labels.data<int32_t>()[i];
  }
  network.training = true;
  return static_cast<double>(right) / static_cast<double>(count);
}

int main(int count, char** arguments) {
  const int64_t epochs = count > 1 ? std::atoll(arguments[1]) : 4;
  const DType compute = count > 2 ? dtype_named(arguments[2]) : DType::f32;
  const char* data = std::getenv("INTARSIA_DATA");
  const std::filesystem::path folder = std::filesystem::path(data ? data : "") / "mnist";
  const bool real = std::filesystem::exists(folder / "train-images-idx3-ubyte.gz");
  const int64_t most = count > 3 ? std::atoll(arguments[3]) : 60000;
  const Set train = real ? read_set(folder, "train") : drawn_set(std::min<int64_t>(most, 20000), 1);
  const Set test = real ? read_set(folder, "t10k") : drawn_set(1000, 2);
  const int64_t images = std::min(most, train.labels.dim(0));
  constexpr int64_t size = 64;
  const int64_t steps = images / size * epochs;

  Network network;
  network.compute = compute;
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  double seconds = 0, right = 0;
  for (int64_t epoch = 0, step = 0; epoch < epochs; epoch++) {
    const Array order = permutation(images, 3, static_cast<uint64_t>(epoch));
    const double start = now();
    double loss_sum = 0;
    for (int64_t at = 0; at + size <= images; at += size, step++) {
      const Set some = batch(train, order, at, size);
      const Tensor loss = cross_entropy(cast(network(some.images), DType::f32), some.labels);
      backward(loss);
      // One cycle: up in a fifth of the steps, then down to zero by a cosine.
      const double t = static_cast<double>(step) / static_cast<double>(steps);
      network.step(0.1 * (t < 0.2 ? t / 0.2 : 0.5 + 0.5 * std::cos(3.14159265 * (t - 0.2) / 0.8)));
      loss_sum += loss.item();
    }
    seconds += now() - start;
    right = accuracy(network, test);
    std::printf("epoch %lld  loss %.4f  accuracy %.2f %%  %.0f images/s\n", static_cast<long long>(epoch + 1),
                loss_sum / static_cast<double>(images / size), 100 * right,
                static_cast<double>(images / size * size * (epoch + 1)) / seconds);
    std::fflush(stdout);
  }
  return right > 0.9 ? 0 : 1;
}

// Trains a small network to read drawn digits.
#include <intarsia/intarsia.h>

#include <cstdio>

using namespace intarsia;

int main() {
  const Digits train = draw_digits(4096, 1), test = draw_digits(1024, 2);
  std::vector<Tensor> w = {parameter(normal({64, 784}, 0.04, 1)), parameter(normal({10, 64}, 0.1, 2))};
  const auto network = [&](const Tensor& x) { return linear(linear(x, w[0], {}, Activation::relu), w[1]); };
  for (int step = 0; step < 400; step++) {
    const int64_t at = step % 64 * 64;
    backward(cross_entropy(network(slice(train.images, 0, at, at + 64)), slice(train.labels, 0, at, at + 64)));
    for (Tensor& p : w) p = parameter((stop_gradient(p) - 0.5 * p.gradient()).array());
  }
  const Tensor guess = argmax(network(test.images));
  int right = 0;
  for (int64_t i = 0; i < 1024; i++) right += guess.array().data<int64_t>()[i] == test.labels.data<int32_t>()[i];
  std::printf("%d of 1024 digits read right\n", right);
  return right > 900 ? 0 : 1;
}

// Trains a small network to read drawn digits, and asks it about digits that it has not seen.
#include <intarsia/intarsia.h>

#include <cstdio>

using namespace intarsia;

int main() {
  const Digits train = draw_digits(4096, 1), test = draw_digits(1024, 2);
  Tensor w1 = parameter(normal({64, 784}, 0.04, 1)), w2 = parameter(normal({10, 64}, 0.1, 2));
  const auto network = [&](const Tensor& x) { return linear(linear(x, w1, {}, Activation::relu), w2); };
  for (int64_t step = 0, at = 0; step < 400; at = ++step % 64 * 64) {
    backward(
        cross_entropy(network(slice(train.images, 0, at, at + 64)), slice(train.labels, 0, at, at + 64)));
    for (Tensor* w : {&w1, &w2}) *w = parameter((stop_gradient(*w) - 0.5 * w->gradient()).array());
  }
  const double loss = cross_entropy(network(test.images), test.labels).item();
  std::printf("loss on new digits %.3f\n", loss);
  return loss < 0.5 ? 0 : 1;
}

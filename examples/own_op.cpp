// An operation of one's own, with its gradient: the cube of each element.
#include <intarsia/intarsia.h>

#include <iostream>

using namespace intarsia;

Tensor cube(const Tensor& x) {
  const Tensor v = stop_gradient(x);
  return record("cube", (v * v * v).array(), {&x}, [x = Saved(x)](const Array& dy, Gradients& dx) {
    dx.add(0, (3 * (Tensor(dy) * Tensor(*x) * Tensor(*x))).array());
  });
}

int main() {
  const Tensor x = parameter(Array::of({1.0f, 2.0f, 3.0f}));
  backward(sum(cube(x)));
  for (const float slope : x.gradient().span<float>()) std::cout << slope << "\n";  // 3, 12, 27
}

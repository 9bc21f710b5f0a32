// An operation of one's own, with its gradient: the cube of each element.
#include <intarsia/intarsia.h>

#include <iostream>

using namespace intarsia;

Tensor cube(const Tensor& x) {
  const NoGradient inside;
  const Tensor y = x * x * x;
  return record("cube", y.array(), {&x}, [x = Saved(x)](const Array& dy, Gradients& dx) {
    const Tensor slope = 3 * (Tensor(*x) * Tensor(*x));
    dx.add(0, (Tensor(dy) * slope).array());
  });
}

int main() {
  const Tensor x = parameter(Array::of({1.0f, 2.0f, 3.0f}));
  backward(sum(cube(x)));
  for (const float slope : x.gradient().span<float>()) std::cout << slope << "\n";  // 3, 12, 27
}

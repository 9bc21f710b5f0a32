#include <intarsia/intarsia.h>

#include <cstdio>

INTARSIA_DECLARE_KERNEL(twice)

int main() {
  const intarsia::Tensor x = intarsia::parameter(intarsia::Array::of({1.0f, 2.0f}));
  intarsia::backward(intarsia::sum(intarsia::map(twice(), x) * x));
  std::printf("%g %g\n", x.gradient().data<float>()[0], x.gradient().data<float>()[1]);
}

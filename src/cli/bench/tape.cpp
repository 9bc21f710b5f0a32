// intarsia bench tape: the tape alone, nanoseconds an operation on 16 elements.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "intarsia/op.h"

namespace intarsia::cli {
namespace {}  // namespace

std::vector<Item> tape_items() {
  const auto chain = [](bool recorded) {
    return [recorded]() -> Call {
      const Tensor x = recorded ? parameter(Array::zeros({16})) : Tensor(Array::zeros({16}));
      return [=] {
        Tensor y = x;
        for (int i = 0; i < 100; i++) y = y + x;
        if (recorded) backward(sum(y));
        x.clear_gradient();
      };
    };
  };
  return {{"100 additions of 16 elements", Json(), chain(false)},
          {"the same recorded, with backward", Json(), chain(true)}};
}

}  // namespace intarsia::cli

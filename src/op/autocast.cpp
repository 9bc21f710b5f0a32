#include "intarsia/autocast.h"

#include <algorithm>

#include "core/spelling.h"
#include "op/policy.h"

namespace intarsia {

namespace {

constexpr const char* castable[] = {tag::attention,   tag::cross_entropy, tag::layer_norm, tag::linear,
                                    tag::log_softmax, tag::matmul,        tag::rms_norm,   tag::softmax};
thread_local const Autocast* policy = nullptr;

// Calls f(name) for each name of a list.
template <class F>
void each_name(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (end > 0) f(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

bool holds(std::string_view list, std::string_view name) {
  bool found = false;
  each_name(list, [&](std::string_view each) { found |= each == name; });
  return found;
}

void check_name(std::string_view name) {
  std::string nearest = castable[0];
  const std::string given(name.substr(0, 64));
  for (const char* known : castable) {
    if (name == known) return;
    if (edit_distance(given, known) < edit_distance(given, nearest)) nearest = known;
  }
  fail_hint(fmt::format("did you mean {}?", nearest), "autocast: no operation \"{}\" can be cast", given);
}

}  // namespace

void check_autocast(std::string_view narrow, std::string_view wide) {
  each_name(wide, check_name);
  each_name(narrow, [&](std::string_view name) {
    check_name(name);
    if (holds(wide, name)) fail("autocast: {} is in both lists", name);
  });
}

Autocast::Autocast(DType type, std::string_view narrow, std::string_view wide)
    : type_(type), narrow_(narrow), wide_(wide), before_(policy) {
  if (!is_float(type)) fail("autocast: the type is {}, expected a float type", info(type).name);
  check_autocast(narrow, wide);
  policy = this;
}

Autocast::~Autocast() { policy = before_; }

DType Autocast::type_of(std::string_view op, DType otherwise) const {
  if (holds(wide_, op)) return DType::f32;
  return holds(narrow_, op) ? type_ : otherwise;
}

std::optional<DType> recast(const char* op, std::initializer_list<const Tensor*> inputs) {
  if (!policy) return {};
  for (const Tensor* x : inputs) {
    if (!*x || !is_float(x->dtype()) || x->dtype() == DType::f64) continue;
    const DType type = policy->type_of(op, x->dtype());
    if (type != x->dtype()) return type;
  }
  return {};
}

Tensor recast_to(DType type, const Tensor& x) {
  return !x || !is_float(x.dtype()) || x.dtype() == DType::f64 || x.dtype() == type ? x : cast(x, type);
}

}  // namespace intarsia

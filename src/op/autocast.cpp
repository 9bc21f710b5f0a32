#include "intarsia/autocast.h"

#include "op/policy.h"

namespace intarsia {

namespace {

thread_local const Autocast* policy = nullptr;

}  // namespace

Autocast::Autocast(DType type, std::string_view narrow, std::string_view wide)
    : type_(type), narrow_(narrow), wide_(wide), before_(policy) {
  if (!is_float(type)) fail("autocast: the type is {}, expected a float type", info(type).name);
  check_autocast(narrow, wide);
  policy = this;
}

Autocast::~Autocast() { policy = before_; }

DType Autocast::type_of(std::string_view op, DType otherwise) const {
  if (holds_name(wide_, op)) return DType::f32;
  return holds_name(narrow_, op) ? type_ : otherwise;
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

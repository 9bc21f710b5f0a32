// A Jinja template, parsed once and rendered often.
#pragma once
#include <ctime>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/runtime.h"
#include "text/template/syntax/syntax.h"

namespace intarsia::jinja {

class Template {
 public:
  // Error "NAME:LINE: reason" for a source that is no template, or uses what is not supported.
  Template(std::string_view source, std::string name);

  using Variables = std::vector<std::pair<std::string, Value>>;
  // `variables` makes the values that the template sees. Error "NAME:LINE: reason".
  Text render(const std::function<Variables(Runtime&)>& variables, std::tm now,
              const Limits& limits = {}) const;

 private:
  std::string name_;
  mutable Heap constants_;
  Body body_;
};

}  // namespace intarsia::jinja

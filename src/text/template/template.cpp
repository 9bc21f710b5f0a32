#include "text/template/template.h"

#include "core/fail.h"
#include "text/template/syntax/lexer.h"
#include "text/template/syntax/parser.h"

namespace intarsia::jinja {

namespace {

constexpr size_t constants_limit = size_t{64} << 20;

}  // namespace

Template::Template(std::string_view source, std::string name)
    : name_(std::move(name)), constants_(constants_limit), body_(parse(source, name_, constants_)) {}

Text Template::render(const std::function<Variables(Runtime&)>& variables, std::tm now,
                      const Limits& limits) const {
  Runtime runtime(limits, now);
  const auto global = std::make_shared<Scope>();
  for (auto& [name, value] : variables(runtime)) global->set(name, std::move(value));
  const auto scope = global->inner();
  try {
    execute(body_, runtime, *scope);
  } catch (const Error& error) { fail_hint(error.hint(), "{}:{}: {}", name_, runtime.line, error.what()); }
  return runtime.take_output();
}

}  // namespace intarsia::jinja

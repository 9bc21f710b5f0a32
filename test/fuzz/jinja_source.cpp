// Jinja templates: the bytes are a template, rendered with a conversation that always is the same.
#include <ctime>

#include "text/template/builtin/json.h"
#include "text/template/template.h"
#include "touch.h"

namespace {

using namespace intarsia;

// Small, so that a run is short.
constexpr jinja::Limits limits{
    .steps = 5'000, .depth = 300, .memory = size_t{8} << 20, .output = size_t{1} << 20};

// A conversation, and the values that the expressions of test/golden/templates are about.
constexpr std::string_view given = R"({
  "messages": [{"role": "user", "content": "Grüße, <|x|>\n 12"}, {"role": "assistant", "content": null,
    "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true], "b": ""}}}]}],
  "tools": null, "add_generation_prompt": true, "bos_token": "<s>",
  "n": 7, "f": 2.5, "s": "Hello, World", "e": "", "u": "naïve 日本語 ß", "t": true, "nothing": null, "l": [3, 1, 2],
  "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, {"x": null}], "C": "y"},
  "m": [{"role": "user", "content": "hi", "n": 2}, {"role": "assistant", "content": "yo", "n": 1}, {"role": "user"}],
  "lines": "one\n  two\n\n three  \n", "q": "it's \"x\"\t\\n", "empty": [], "nest": [[1, 2], [3, [4]]]})";

jinja::Template::Variables variables(jinja::Runtime& runtime) {
  jinja::Template::Variables all;
  const jinja::Value values = jinja::read_json_value(runtime, given, "given");
  for (const auto& [name, value] : values.get<jinja::Dict>()->items)
    all.emplace_back(name.text()->view(), value);
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::run(data, size, [](const auto& file) {
    const jinja::Template program(file->text(), "f");
    const jinja::Text text = program.render(variables, std::tm{}, limits);
    size_t done = 0;
    for (const auto& [begin, end] : text.foreign_ranges()) {
      fuzz::require(begin >= done && begin < end && end <= text.size(), "foreign bytes outside of the text");
      done = end;
    }
    return static_cast<unsigned>(text.size() + done);
  });
  return 0;
}

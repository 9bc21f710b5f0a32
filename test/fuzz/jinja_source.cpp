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

jinja::Template::Variables variables(jinja::Runtime& runtime) {
  static constexpr std::string_view messages =
      R"([{"role": "user", "content": "Grüße, <|x|>\n 12"}, {"role": "assistant", "content": null,)"
      R"( "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true], "b": ""}}}]}])";
  return {{"messages", jinja::read_json_value(runtime, messages, "messages")},
          {"tools", jinja::Value(jinja::None())},
          {"add_generation_prompt", true},
          {"bos_token", runtime.make("<s>")},
          {"n", int64_t{7}},
          {"f", 2.5},
          {"s", runtime.make("Hello, World")}};
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

// intarsia template: what a model's chat template makes of a conversation.
#include <fmt/core.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "data/file.h"
#include "intarsia/chat_template.h"

namespace intarsia::cli {
namespace {

constexpr uint64_t input_limit = uint64_t{64} << 20;

struct Arguments {
  std::string path, messages, tools, variables;
  bool generation_prompt = true, json = false;
};

void render(const Arguments& arguments) {
  ChatOptions options;
  options.add_generation_prompt = arguments.generation_prompt;
  if (!arguments.tools.empty()) options.tools = read_file(arguments.tools, input_limit);
  if (!arguments.variables.empty()) options.variables = read_file(arguments.variables, input_limit);
  const ChatTemplateFile file = read_chat_template(arguments.path, !arguments.tools.empty());
  options.tokens = file.tokens;
  const ChatTemplate chat_template(file.source, file.name);
  const ChatText text = chat_template.render(read_file(arguments.messages, input_limit), options);
  if (arguments.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"text", text.text}, {"from_messages", text.foreign}}.dump());
    return;
  }
  std::fwrite(text.text.data(), 1, text.text.size(), stdout);
}

}  // namespace

void add_template(Command app) {
  Command verb = app.add("template", "A model's chat template");
  verb.needs_verb();
  verb.footer("Example: intarsia template render model --messages talk.json");
  Command rendering = verb.add("render", "Print the text that a conversation becomes");
  const auto arguments = std::make_shared<Arguments>();
  rendering
      .option("PATH", arguments->path,
              "A model's directory, a .gguf file, tokenizer_config.json, or a Jinja file")
      .required();
  rendering
      .option("--messages", arguments->messages, "JSON: [{\"role\": \"user\", \"content\": \"...\"}, ...]")
      .required();
  rendering.option("--tools", arguments->tools, "JSON: an array of the functions that the model may call");
  rendering.option("--variables", arguments->variables,
                   "JSON: an object of other variables, such as {\"enable_thinking\": false}");
  rendering.flag("--generation-prompt,!--no-generation-prompt", arguments->generation_prompt,
                 "End where the answer begins (default), or behind the last message");
  rendering.flag("--json", arguments->json,
                 "Print the text and which of its bytes come from messages as JSON");
  rendering.footer(
      "Example:\n  intarsia template render models/SmolLM2-135M-Instruct.Q4_1.gguf --messages talk.json");
  rendering.run([arguments] { render(*arguments); });
}

}  // namespace intarsia::cli

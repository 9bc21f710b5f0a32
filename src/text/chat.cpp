#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "intarsia/chat_template.h"
#include "text/template/builtin/json.h"
#include "text/template/template.h"

namespace intarsia {

namespace {

using namespace jinja;

// Roles are chosen by the program that holds the conversation. Templates make tokens of those that models
// know, such as <|user|>; any other role is foreign text.
constexpr std::string_view roles[] = {"system",    "developer",   "user",    "assistant",  "model",
                                      "tool",      "function",    "ipython", "tool_calls", "observation",
                                      "documents", "environment", "context"};

bool is_known_role(std::string_view role) {
  return std::find(std::begin(roles), std::end(roles), role) != std::end(roles);
}

Value role_value(Runtime& runtime, std::string_view role) {
  return runtime.make(Text(std::string(role), !is_known_role(role)));
}

Value message_value(Runtime& runtime, const Message& message) {
  return runtime.dict({{runtime.make("role"), role_value(runtime, message.role)},
                       {runtime.make("content"), runtime.make(Text(message.content, true))}});
}

// The messages of a JSON text, with their roles.
Value messages_value(Runtime& runtime, std::string_view json) {
  const Value all = read_json_value(runtime, json, "messages");
  const Sequence* list = all.get<Sequence>();
  if (!list) fail("messages: is {}, expected an array of objects", all.type_name());
  std::vector<Value> messages;
  for (const Value& message : list->items) {
    const Dict* dict = message.get<Dict>();
    if (!dict) fail("messages[{}]: is {}, expected an object", messages.size(), message.type_name());
    std::vector<Dict::Item> items = dict->items;
    for (auto& [key, value] : items)
      if (key.text()->view() == "role" && value.text()) value = role_value(runtime, value.text()->view());
    messages.push_back(runtime.dict(std::move(items)));
  }
  return runtime.list(std::move(messages));
}

// Memory for the values: some, and as much as the conversation needs.
Limits limits_for(size_t bytes) {
  Limits limits;
  limits.memory += 2 * bytes;
  limits.output += bytes;
  return limits;
}

ChatText render_with(const Template& program, size_t bytes, const ChatOptions& options,
                     const std::function<Value(Runtime&)>& messages) {
  const std::time_t now = options.now.value_or(std::time(nullptr));
  std::tm local{};
  localtime_r(&now, &local);
  const auto variables = [&](Runtime& runtime) {
    Template::Variables all = {{"messages", messages(runtime)},
                               {"tools", Value(None())},
                               {"documents", Value(None())},
                               {"add_generation_prompt", options.add_generation_prompt}};
    if (!options.tools.empty()) all[1].second = read_json_value(runtime, options.tools, "tools");
    for (const auto& [name, token] : options.tokens) all.push_back({name, runtime.make(token)});
    if (options.variables.empty()) return all;
    const Value more = read_json_value(runtime, options.variables, "variables");
    if (!more.get<Dict>()) fail("variables: is {}, expected an object", more.type_name());
    for (const auto& [name, value] : more.get<Dict>()->items)
      all.push_back({std::string(name.text()->view()), value});
    return all;
  };
  const Text text =
      program.render(variables, local, limits_for(bytes + options.tools.size() + options.variables.size()));
  return {std::string(text.view()), text.foreign_ranges()};
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name)
    : template_(std::make_shared<Template>(source, std::move(name))) {}

ChatText ChatTemplate::render(std::span<const Message> messages, const ChatOptions& options) const {
  size_t bytes = 0;
  for (const Message& message : messages) bytes += message.content.size();
  return render_with(*template_, bytes, options, [&](Runtime& runtime) {
    std::vector<Value> values;
    for (const Message& message : messages) values.push_back(message_value(runtime, message));
    return runtime.list(std::move(values));
  });
}

ChatText ChatTemplate::render(std::string_view messages, const ChatOptions& options) const {
  return render_with(*template_, messages.size(), options,
                     [&](Runtime& runtime) { return messages_value(runtime, messages); });
}

ChatTemplate chat_template_of(const Tokenizer& tokenizer) {
  if (tokenizer.chat_template.empty())
    fail_hint("use `intarsia generate` to continue plain text", "chat: the model has no chat template");
  return ChatTemplate(tokenizer.chat_template);
}

std::vector<std::pair<std::string, std::string>> named_tokens(const Tokenizer& tokenizer) {
  std::vector<std::pair<std::string, std::string>> tokens;
  const auto name = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) tokens.push_back({key, std::string(tokenizer.piece(*id))});
  };
  name("bos_token", tokenizer.bos);
  name("eos_token", tokenizer.eos);
  return tokens;
}

Ids encode_chat(const Tokenizer& tokenizer, const ChatText& text) {
  return tokenizer.encode_between(text.text, text.foreign);
}

Ids chat_ids(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
             std::span<const Message> messages) {
  ChatOptions options;
  options.tokens = named_tokens(tokenizer);
  return encode_chat(tokenizer, chat_template.render(messages, options));
}

}  // namespace intarsia

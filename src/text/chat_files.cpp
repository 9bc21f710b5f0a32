// Where models keep their chat templates.
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/gguf.h"
#include "data/json.h"
#include "intarsia/chat_template.h"

namespace intarsia {

namespace {

constexpr uint64_t source_limit = uint64_t{1} << 20;

// The text of a token: "<s>", or {"content": "<s>", ...}; nothing for null.
std::optional<std::string> token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return std::nullopt;
}

// One template, or a list of named ones: [{"name": "default", "template": "..."}, ...].
std::string template_text(const Json& value, bool with_tools, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  std::string found;
  for (const Json& item : value.is_array() ? value : Json::array()) {
    const bool named = item.is_object() && item.contains("name") && item.contains("template") &&
                       item["template"].is_string();
    if (!named) fail("{}: chat_template holds an item without name and template", name);
    if (item["name"] == "default" && found.empty()) found = item["template"];
    if (item["name"] == "tool_use" && with_tools) found = item["template"];
  }
  if (found.empty())
    fail("{}: chat_template is neither a text nor a list with a template named default", name);
  return found;
}

void read_config(const std::filesystem::path& path, bool with_tools, ChatTemplateFile& file) {
  const Json config = read_json(path);
  if (!config.is_object()) fail("{}: is {}, expected an object", path.string(), config.type_name());
  for (const auto& [key, value] : config.items())
    if (const auto text = key.ends_with("_token") ? token_text(value) : std::nullopt)
      file.tokens.push_back({key, *text});
  if (const auto found = config.find("chat_template"); found != config.end() && !found->is_null()) {
    file.name = path.string();
    file.source = template_text(*found, with_tools, file.name);
  }
}

void read_gguf_template(const Gguf& gguf, bool with_tools, ChatTemplateFile& file) {
  file.name = gguf.name();
  file.source = gguf.text("tokenizer.chat_template", "");
  if (with_tools) file.source = gguf.text("tokenizer.chat_template.tool_use", file.source);
  const GgufValue* tokens = gguf.find("tokenizer.ggml.tokens");
  if (!tokens) return;
  const std::vector<std::string_view> texts = tokens->texts();
  static constexpr std::pair<const char*, const char*> names[] = {
      {"bos_token", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : names) {
    const int64_t id = gguf.integer(key, -1);
    if (id >= 0 && id < static_cast<int64_t>(texts.size()))
      file.tokens.push_back({name, std::string(texts[static_cast<size_t>(id)])});
  }
}

}  // namespace

ChatTemplateFile read_chat_template(const std::filesystem::path& path, bool with_tools) {
  ChatTemplateFile file;
  if (std::filesystem::is_directory(path)) {
    if (const auto config = path / "tokenizer_config.json"; std::filesystem::exists(config))
      read_config(config, with_tools, file);
    if (const auto own = path / "chat_template.jinja"; std::filesystem::exists(own)) {
      file.name = own.string();
      file.source = read_file(own, source_limit);
    }
  } else {
    const auto mapped = MappedFile::open(path);
    if (mapped->text().starts_with("GGUF"))
      read_gguf_template(parse_gguf(mapped), with_tools, file);
    else if (path.extension() == ".json")
      read_config(path, with_tools, file);
    else
      file = {read_file(path, source_limit), path.string(), {}};
  }
  if (file.source.empty()) fail("{}: holds no chat template", path.string());
  return file;
}

}  // namespace intarsia

#include <fmt/core.h>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/generate.h"

namespace intarsia {

namespace {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const size_t length = character_length(text);
    const unsigned char first = static_cast<unsigned char>(text[0]);
    if (length == 0)
      out += "\\ufffd";  // a byte that is no character
    else if (first == '"' || first == '\\')
      (out += '\\') += text[0];
    else if (first < 0x20)
      out += fmt::format("\\u{:04x}", first);
    else
      out += text.substr(0, length);
    text.remove_prefix(length ? length : 1);
  }
  out += '"';
}

}  // namespace

Chat::Chat(Loaded loaded, GenerateOptions generate_options)
    : options(std::move(generate_options)), generator_(std::move(loaded)) {
  if (has_template()) template_ = chat_template_of(generator_.tokenizer());
}

bool Chat::has_template() const { return !generator_.tokenizer().chat_template.empty(); }

void Chat::reset() {
  history_.clear();
  generator_.reset();
}

Ids Chat::ids() const {
  if (template_) return chat_ids(generator_.tokenizer(), *template_, history_);
  std::string text;
  for (const Message& message : history_) text += message.content;
  return generator_.prompt(text);
}

std::string Chat::say(std::string_view text, const std::function<bool(std::string_view text)>& on_text) {
  history_.push_back({"user", std::string(text)});
  try {
    GenerateOptions turn = options;
    turn.sampling.seed += turn_++;  // equal questions need not get equal answers
    if (on_text) turn.on_text = on_text;
    const Ids prompt = ids();
    const int64_t context = generator_.model().context();
    if (static_cast<int64_t>(prompt.size()) >= context)
      fail_hint("start a new one (/reset)", "chat: the conversation has {} tokens, the model's context is {}",
                prompt.size(), context);
    last_ = generator_.generate(prompt, turn);
  } catch (...) {
    history_.pop_back();
    throw;
  }
  history_.push_back({"assistant", last_.text});
  return last_.text;
}

void Chat::save(const std::filesystem::path& path) const {
  std::string out = "[";
  for (size_t i = 0; i < history_.size(); i++) {
    out += i ? ",\n  {\"role\": " : "\n  {\"role\": ";
    append_json_string(out, history_[i].role);
    out += ", \"content\": ";
    append_json_string(out, history_[i].content);
    out += "}";
  }
  write_file(path, out + "\n]\n");
}

}  // namespace intarsia

// Chat templates that are known by the SHA-256 of their text, each rendered as its Jinja source would be.
#include <algorithm>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/tokenizer.h"

namespace intarsia {

namespace {

// A conversation in parts: special tokens, which only a template makes, and plain text between them.
class Rendered {
 public:
  struct Part {
    std::string text;
    bool special;
  };
  void token(std::string_view text) { parts_.push_back({std::string(text), true}); }
  void text(std::string_view text) {
    if (parts_.empty() || parts_.back().special) parts_.push_back({"", false});
    parts_.back().text += text;
  }
  // <|im_start|>role\ncontent<|im_end|>\n
  void turn(std::string_view role, std::string_view content) {
    open_turn(role);
    text(content);
    close_turn();
  }
  void open_turn(std::string_view role) {
    token("<|im_start|>");
    text(role);
    text("\n");
  }
  void close_turn() {
    token("<|im_end|>");
    text("\n");
  }
  const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

using Messages = std::span<const Message>;

Rendered smollm2(Messages messages, bool add_generation_prompt) {
  Rendered out;
  if (!messages.empty() && messages[0].role != "system")
    out.turn("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  for (const Message& message : messages) out.turn(message.role, message.content);
  if (add_generation_prompt) out.open_turn("assistant");
  return out;
}

std::string_view without_newlines_before(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

std::string_view without_newlines_behind(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

// An answer of a model that thinks first: what stands in <think> ... </think>, and the rest.
struct Answer {
  std::string_view thoughts, content;
};
Answer take_apart(std::string_view text) {
  constexpr std::string_view begin = "<think>", end = "</think>";
  const size_t first_end = text.find(end);
  if (first_end == std::string_view::npos) return {{}, text};
  std::string_view thoughts = without_newlines_behind(text.substr(0, first_end));
  if (const size_t start = thoughts.rfind(begin); start != std::string_view::npos)
    thoughts.remove_prefix(start + begin.size());
  return {without_newlines_before(thoughts),
          without_newlines_before(text.substr(text.rfind(end) + end.size()))};
}

Rendered qwen3(Messages messages, bool add_generation_prompt) {
  if (messages.empty()) fail("chat template qwen3: there are no messages, expected at least one");
  Rendered out;
  if (messages[0].role == "system") out.turn("system", messages[0].content);
  const auto is_query = [](const Message& message) {
    const std::string& text = message.content;
    return message.role == "user" &&
           !(text.starts_with("<tool_response>") && text.ends_with("</tool_response>"));
  };
  // Thoughts are shown only behind the last question.
  size_t last_query = messages.size() - 1;
  for (size_t i = messages.size(); i-- > 0;) {
    if (is_query(messages[i])) {
      last_query = i;
      break;
    }
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const bool last = i + 1 == messages.size();
    if (message.role == "user" || (message.role == "system" && i > 0)) {
      out.turn(message.role, message.content);
    } else if (message.role == "assistant") {
      const Answer answer = take_apart(message.content);
      out.open_turn(message.role);
      if (i > last_query && (last || !answer.thoughts.empty())) {
        out.text("<think>\n");
        out.text(without_newlines_behind(answer.thoughts));
        out.text("\n</think>\n\n");
        out.text(without_newlines_before(answer.content));
      } else {
        out.text(answer.content);
      }
      out.close_turn();
    } else if (message.role == "tool") {
      // Results that follow one another share a turn of the user.
      if (i == 0 || messages[i - 1].role != "tool") {
        out.token("<|im_start|>");
        out.text("user");
      }
      out.text("\n<tool_response>\n");
      out.text(message.content);
      out.text("\n</tool_response>");
      if (last || messages[i + 1].role != "tool") out.close_turn();
    }
  }
  if (add_generation_prompt) out.open_turn("assistant");
  return out;
}

struct Template {
  std::string_view sha256, name;
  Rendered (*render)(Messages, bool);
};
constexpr Template templates[] = {
    {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788", "smollm2", smollm2},
    {"87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5", "qwen3", qwen3},
};

const Template& known_template(const std::string& chat_template) {
  if (chat_template.empty())
    fail_hint("use `intarsia generate` to continue plain text", "chat: the model has no chat template");
  const std::string hash = sha256(chat_template);
  std::string names;
  for (const Template& known : templates) {
    if (known.sha256 == hash) return known;
    names += names.empty() ? "" : ", ";
    names += known.name;
  }
  fail_hint("use `intarsia generate` to continue plain text",
            "chat: the model's chat template (SHA-256 {}) is not known; known are those of {}", hash, names);
}

}  // namespace

std::string render_chat(const std::string& chat_template, Messages messages, bool add_generation_prompt) {
  std::string text;
  const Rendered rendered = known_template(chat_template).render(messages, add_generation_prompt);
  for (const Rendered::Part& part : rendered.parts()) text += part.text;
  return text;
}

Ids encode_chat(const Tokenizer& tokenizer, Messages messages, bool add_generation_prompt) {
  Ids ids;
  const Rendered rendered = known_template(tokenizer.chat_template).render(messages, add_generation_prompt);
  for (const Rendered::Part& part : rendered.parts()) {
    if (!part.special) {
      const Ids text = tokenizer.encode(part.text);
      ids.insert(ids.end(), text.begin(), text.end());
    } else if (const auto id = tokenizer.id_of(part.text)) {
      ids.push_back(*id);
    } else {
      fail("chat: the template makes the token {}, which the tokenizer does not have", quote(part.text));
    }
  }
  return ids;
}

}  // namespace intarsia

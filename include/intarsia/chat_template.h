// Chat templates: a conversation to the text, and the ids, that a model was trained on.
//
// A template is a Jinja text that comes with the model. It is run by an interpreter of intarsia's own, with
// Python's semantics and the settings of Hugging Face's transformers. What the interpreter does not know is
// an Error when the template is read, never something else in its place. A ChatTemplate may be used by many
// threads at once.
#pragma once
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

namespace jinja {
class Template;
}

struct Message {
  std::string role, content;
};

struct ChatOptions {
  bool add_generation_prompt = true;  // end where the assistant's answer begins
  std::string tools;                  // a JSON array of the functions the model may call; empty: none
  std::string variables;              // a JSON object of other variables ("enable_thinking"); empty: none
  // What the model's files say of its tokens: {"bos_token", "<s>"}.
  std::vector<std::pair<std::string, std::string>> tokens;
  std::optional<std::time_t> now;  // for templates that tell the date; else the clock's time
};

// A rendered conversation. The bytes that come from messages, tools and variables lie in `foreign`, [begin,
// end) in order; all others were written by the template.
struct ChatText {
  std::string text;
  std::vector<std::pair<size_t, size_t>> foreign;
};

class ChatTemplate {
 public:
  // Error "NAME:LINE: reason" for what is no template, or uses what is not supported.
  explicit ChatTemplate(std::string_view source, std::string name = "chat template");

  // Error "NAME:LINE: reason" where the template fails or refuses the conversation.
  ChatText render(std::span<const Message> messages, const ChatOptions& options = {}) const;
  // `messages` is a JSON array of objects with what the template knows: role, content, tool_calls, ...
  ChatText render(std::string_view messages, const ChatOptions& options = {}) const;

 private:
  std::shared_ptr<const jinja::Template> template_;
};

// The tokenizer's own template. Error if it has none.
ChatTemplate chat_template_of(const Tokenizer& tokenizer);
// The tokens that templates know by name, as the tokenizer has them.
std::vector<std::pair<std::string, std::string>> named_tokens(const Tokenizer& tokenizer);

// A template's text and what stands beside it, without the tokenizer.
struct ChatTemplateFile {
  std::string source, name;
  std::vector<std::pair<std::string, std::string>> tokens;
};
// From a model's directory (chat_template.jinja, tokenizer_config.json), tokenizer_config.json, a .gguf file,
// or a file that is the template itself. Of several templates in one file, `with_tools` takes the one named
// tool_use.
ChatTemplateFile read_chat_template(const std::filesystem::path& path, bool with_tools = false);
// The ids of a rendered conversation. Only what the template wrote becomes a special token: a name of one in
// a message stays plain text.
Ids encode_chat(const Tokenizer& tokenizer, const ChatText& text);
// Renders and encodes, with the tokenizer's named tokens. A BOS that the template does not write is not
// added.
Ids chat_ids(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
             std::span<const Message> messages);

}  // namespace intarsia

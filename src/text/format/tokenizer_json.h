// tokenizer.json of Hugging Face's `tokenizers`, with the files that stand beside it.
#pragma once
#include <filesystem>
#include <memory>
#include <string_view>

#include "intarsia/tokenizer.h"

namespace intarsia {

// From the text of a tokenizer.json; `name` stands before error messages.
std::shared_ptr<Tokenizer> parse_tokenizer_json(std::string_view text, std::string_view name);
// From a file, or the tokenizer.json of a directory; tokenizer_config.json, chat_template.jinja and
// generation_config.json beside it give BOS, EOS, the chat template and the ids that end generation.
std::shared_ptr<Tokenizer> read_tokenizer_json(const std::filesystem::path& path);

}  // namespace intarsia

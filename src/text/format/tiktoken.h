// Vocabularies as lists of byte strings: OpenAI's .tiktoken merge ranks and RWKV's vocabulary.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

bool is_tiktoken(std::string_view file);
// Lines of "base64 rank". The file does not say how text is split: its name does (gpt2, r50k_base, p50k_base,
// cl100k_base, o200k_base, o200k_harmony), which also gives the special tokens. `name`: the path.
std::shared_ptr<Tokenizer> parse_tiktoken(std::string_view file, std::string_view name);

bool is_rwkv_vocabulary(std::string_view file);
// Lines of "id 'text' bytes", where text is a Python literal, 'str' or b'bytes'. Id 0 ends a text.
std::shared_ptr<Tokenizer> parse_rwkv_vocabulary(std::string_view file, std::string_view name);

// The same from the tokens by id; empty where an id is not used.
std::shared_ptr<Tokenizer> make_rwkv(const std::vector<std::string>& tokens, std::string_view name);
// The bytes that a Python literal stands for: 'str', "str", b'bytes'. Errors start with `place`.
std::string python_literal(std::string_view text, std::string_view place);

}  // namespace intarsia

// Tokens to look at: in a terminal's colours, and two tokenizers side by side on a page.
#pragma once
#include <string>
#include <string_view>

#include "core/terminal.h"
#include "intarsia/tokenizer.h"

namespace intarsia::cli {

// The text with its tokens in turning colours; without colours, with bars between them.
std::string coloured_tokens(const Tokenizer& tokenizer, std::string_view text, std::span<const int32_t> ids,
                            const Terminal& screen);

struct NamedTokenizer {
  std::string name;
  const Tokenizer& tokenizer;
};
// A page with the text twice, cut as each of the two does it, and what that makes in numbers.
std::string comparison_page(const NamedTokenizer& a, const NamedTokenizer& b, std::string_view text,
                            std::string_view text_name);
// The numbers, and the lines that the two cut at different places, for a terminal.
std::string comparison_text(const NamedTokenizer& a, const NamedTokenizer& b, std::string_view text,
                            const Terminal& screen);

}  // namespace intarsia::cli

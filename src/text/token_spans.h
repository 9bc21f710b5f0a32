// Where in a text each of its tokens stands.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

struct TokenSpan {
  size_t begin = 0, end = 0;  // bytes of the text
};
// One span an id, in order; they do not overlap. A token whose text is not in the original (unknown,
// normalized, special and empty) has what lies between its neighbours, the first of several all of it.
std::vector<TokenSpan> token_spans(const Tokenizer& tokenizer, std::string_view text,
                                   std::span<const int32_t> ids);

}  // namespace intarsia

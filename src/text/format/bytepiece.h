// Models of BytePiece (https://github.com/bojone/bytepiece): JSON from base64 of a piece to [id, text,
// count].
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

bool is_bytepiece(std::string_view file);
std::shared_ptr<Tokenizer> parse_bytepiece(std::string_view file, std::string_view name);

// The tokenizer of pieces (each once) and their counts. Ids 0, 1, 2 are <pad>, <bos>, <eos>; pieces follow in
// the order of their length, then of their bytes.
std::shared_ptr<Tokenizer> make_bytepiece(std::vector<std::pair<std::string, int64_t>> pieces,
                                          std::string_view name);

}  // namespace intarsia

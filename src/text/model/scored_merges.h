// Byte-pair encoding as SentencePiece's models have it: no list of merges; two neighbours merge where their
// concatenation is a token, the one with the highest score first.
#pragma once
#include <span>
#include <vector>

#include "text/model/bpe.h"

namespace intarsia {

// Longer tokens are refused, because each of their cuts is looked up.
inline constexpr size_t scored_token_limit = 1024;

// All merges that the scores imply among the tokens for which plain[id]; equal scores share a rank, so that
// the leftmost pair wins. `pieces` must be indexed. Errors name `name`.
std::vector<Merge> merges_by_score(const StringTable& pieces, const std::vector<bool>& plain,
                                   std::span<const float> scores, std::string_view name);

}  // namespace intarsia

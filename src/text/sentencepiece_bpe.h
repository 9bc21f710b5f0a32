// Byte-pair encoding as SentencePiece's models have it: no list of merges; two neighbours merge where their
// concatenation is a token, the one with the highest score first.
#pragma once
#include <span>
#include <vector>

#include "text/pipeline.h"

namespace intarsia {

// Longer tokens are refused, because each of their cuts is looked up.
inline constexpr size_t scored_token_limit = 1024;

// All merges that the scores imply among plain tokens; equal scores share a rank, so that the leftmost pair
// wins. parts.pieces must be indexed.
std::vector<Merge> merges_by_score(const TokenizerParts& parts, std::span<const float> scores);

}  // namespace intarsia

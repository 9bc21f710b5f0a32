// A model's text while it trains: what the log and the report show. Generation proper lives in generate/.
#pragma once
#include <string>

#include "intarsia/model.h"
#include "intarsia/random.h"
#include "intarsia/train.h"

namespace intarsia {

// Goes on from options.prompt by options.tokens tokens (fewer at the end of a text or of the context), drawn
// with options.temperature. Without a prompt it starts where a text starts. Returns the new text only.
std::string sample_text(const Model& model, const Tokenizer& tokenizer, const Recipe::Samples& options,
                        Random random);

}  // namespace intarsia

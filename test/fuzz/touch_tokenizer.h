// Uses all that a tokenizer has, on a text that is not always UTF-8.
#pragma once
#include <memory>
#include <string_view>

#include "intarsia/random.h"
#include "intarsia/tokenizer.h"
#include "touch.h"

namespace intarsia::fuzz {

inline unsigned touch_tokenizer(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view file) {
  unsigned sum = 0;
  for (int32_t id = 0; id < tokenizer->size(); ++id) {
    sum += static_cast<unsigned>(tokenizer->piece(id).size() + tokenizer->bytes(id, true).size());
    sum += tokenizer->is_special(id);
  }
  for (const std::string_view text : {std::string_view("the <s>  12'll \xc3\xa9\xff"), file.substr(0, 512)}) {
    for (const bool special : {false, true}) {
      const Ids ids = tokenizer->encode(text, special);
      StreamDecoder stream(tokenizer);
      for (const int32_t id : ids) {
        require(id >= 0 && id < tokenizer->size(), "an id outside the vocabulary");
        sum += static_cast<unsigned>(stream.feed(id).size());
      }
      sum += static_cast<unsigned>(tokenizer->decode(ids, special).size());
    }
  }
  return sum;
}

}  // namespace intarsia::fuzz

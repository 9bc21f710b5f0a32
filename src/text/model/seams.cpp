#include "text/model/seams.h"

namespace intarsia {

Seams::Seams(const StringTable& tokens) : any_(true) {
  for (int32_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    for (size_t at = 1; at < token.size(); ++at) {
      // What cut() does not look for needs no place here.
      if (static_cast<unsigned char>(token[at]) < 0xe0) continue;
      const Character right = character_at(token, at);
      size_t begin = at - 1;
      while (begin > 0 && at - begin < 4 && (static_cast<unsigned char>(token[begin]) & 0xc0) == 0x80)
        --begin;
      const Character left = character_at(token, begin);
      if (left.whole && begin + left.length == at && right.whole) {
        pairs_.push(token.substr(begin, left.length + right.length));
      } else {
        broken_.set(pair_of(token, at));
        if (at + 1 < token.size()) {
          broken_there_.set(three_of(token, at));
        } else {
          // Whatever follows.
          for (char next = 0; next < 64; ++next) {
            const char three[] = {token[at - 1], token[at], next};
            broken_there_.set(three_of({three, sizeof three}, 1));
          }
        }
      }
    }
  }
  pairs_.index([](int32_t) { return true; });
}

}  // namespace intarsia

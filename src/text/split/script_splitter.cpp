#include <algorithm>
#include <iterator>

#include "text/split/splitter.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

constexpr uint32_t script_runs[] = {
#include "text/unicode/scripts.inl"
};
constexpr uint32_t no_script = 255;

uint32_t script_of(char32_t code) {
  const auto* behind = std::upper_bound(std::begin(script_runs), std::end(script_runs), code,
                                        [](char32_t c, uint32_t run) { return c < run >> 8; });
  return behind[-1] & 255;
}

// Spaces and what else has no script stay with what is before them; at the start of a text they are dropped.
class ScriptSplitter final : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    const auto script_at = [&](size_t at) { return script_of(decode_character(text.data() + at).code); };
    const uint32_t script = script_at(begin);
    size_t end = begin;
    do end += decode_character(text.data() + end).length;
    while (end < text.size() && stays(script, script_at(end)));
    return {end, script != no_script};
  }

 private:
  static bool stays(uint32_t script, uint32_t next) {
    return next == script || (next == no_script && script != no_script);
  }
};

}  // namespace

std::shared_ptr<const Splitter> script_splitter() { return std::make_shared<ScriptSplitter>(); }

}  // namespace intarsia

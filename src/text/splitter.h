// Splitters cut a text into consecutive pieces: the first half of a tokenizer. The patterns of well-known
// models are written out by hand; any other runs on PCRE2 (text/regex.h).
#pragma once
#include <memory>
#include <string_view>

namespace intarsia {

class Splitter {
 public:
  struct Piece {
    size_t end;        // the piece is [begin, end), end > begin
    bool keep = true;  // false: the piece is left out (delimiters, with the behavior "Removed")
  };
  virtual ~Splitter() = default;
  // The piece of `text` (valid UTF-8) that starts at `begin`, which is 0 or the end of the piece before.
  virtual Piece next(std::string_view text, size_t begin) const = 0;
};

namespace patterns {
// As the models' files write them.
inline constexpr std::string_view gpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}  // namespace patterns

// The hand-made splitter that is equal to the pattern, or null if there is none.
std::shared_ptr<const Splitter> known_pattern(std::string_view pattern);
// Digits: a piece is one numeric character (or, not `individual`, a run of them) or a run of other
// characters.
std::shared_ptr<const Splitter> digit_splitter(bool individual);
// Every character is a piece.
std::shared_ptr<const Splitter> character_splitter();

}  // namespace intarsia

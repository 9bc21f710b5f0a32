// Splitters cut a text into consecutive pieces: the first half of a tokenizer. The patterns of well-known
// models are written out by hand; any other runs on PCRE2 (text/regex.h).
#pragma once
#include <memory>
#include <span>
#include <string>
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
  // The pieces from `begin` on, as many as there is room for or the text has; returns their number.
  virtual size_t some(std::string_view text, size_t begin, std::span<Piece> pieces) const {
    size_t count = 0;
    for (; count < pieces.size() && begin < text.size(); begin = pieces[count++].end)
      pieces[count] = next(text, begin);
    return count;
  }
};

// Finds places in a text.
class Matcher {
 public:
  struct Match {
    size_t begin, end;
  };
  virtual ~Matcher() = default;
  // The first match in `text` (valid UTF-8) at or after `from`, not empty; begin = end = text.size() if there
  // is none.
  virtual Match find(std::string_view text, size_t from) const = 0;
};

// What becomes of the matches: as in `tokenizers`' Split.
enum class SplitBehavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

// Cuts at the matches; `invert`: what lies between matches counts as the match.
std::shared_ptr<const Splitter> match_splitter(std::shared_ptr<const Matcher> matcher, SplitBehavior behavior,
                                               bool invert);
// Each character for which is(code) is a match.
std::shared_ptr<const Matcher> character_matcher(bool (*is)(char32_t code));
// Each run of word characters, and each run of other characters but white space: \w+|[^\w\s]+.
std::shared_ptr<const Matcher> word_matcher();

namespace patterns {
// As the models' files write them.
inline constexpr std::string_view gpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// As `tiktoken` writes them: GPT-2's is the same, cl100k's takes all white space at the end of a text at
// once.
inline constexpr std::string_view r50k =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";
inline constexpr std::string_view cl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
inline constexpr std::string_view o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// DeepSeek-V3 applies these three in turn.
inline constexpr std::string_view deepseek_digits = R"(\p{N}{1,3})";
inline constexpr std::string_view deepseek_east_asian = "[一-龥぀-ゟ゠-ヿ]+";
inline constexpr std::string_view deepseek =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}  // namespace patterns

// The hand-made splitter that is equal to the pattern with the behavior Isolated, or null if there is none.
// `covering`: only if the pattern's matches cover any text.
std::shared_ptr<const Splitter> known_pattern(std::string_view pattern, bool covering = false);
// Digits: a piece is one numeric character (or, not `individual`, a run of them) or a run of other
// characters.
std::shared_ptr<const Splitter> digit_splitter(bool individual);
// Every character is a piece.
std::shared_ptr<const Splitter> character_splitter();
// Pieces of `count` characters.
std::shared_ptr<const Splitter> length_splitter(size_t count);
// Pieces of one script each: `tokenizers`' UnicodeScripts.
std::shared_ptr<const Splitter> script_splitter();
// Cuts before each `mark` that does not follow another one.
std::shared_ptr<const Splitter> mark_splitter(std::string mark);
// Cuts behind each run of newlines.
std::shared_ptr<const Splitter> line_splitter();

}  // namespace intarsia

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/fail.h"
#include "core/threads.h"
#include "intarsia/tokenizer.h"
#include "text/unicode/unicode.h"

namespace intarsia {

std::string_view Tokenizer::bytes_after(int32_t, int32_t id, bool special) const {
  return bytes(id, special);
}

Ids Tokenizer::encode_between(std::string_view text, std::span<const std::pair<size_t, size_t>>) const {
  return encode(text);
}

void Tokenizer::write_gguf(GgufWriter&, int64_t) const {
  fail_hint("convert to a directory", "tokenizer: it is of a kind that GGUF cannot hold");
}

Ids Tokenizer::sample(std::string_view, const SubwordSampling&, Random&) const {
  fail("sample: this tokenizer has one segmentation only");
}

std::vector<Ids> Tokenizer::encode_batch(std::span<const std::string_view> texts, bool special) const {
  std::vector<Ids> ids(texts.size());
  // Texts differ in length: whoever is done takes the next few.
  std::atomic<size_t> next = 0;
  constexpr size_t few = 4;
  const size_t parts = std::min(static_cast<size_t>(thread_count()), texts.size() / few + 1);
  parallel(static_cast<int>(parts), [&](int) {
    while (true) {
      const size_t begin = next.fetch_add(few);
      if (begin >= texts.size()) return;
      for (size_t i = begin; i < std::min(begin + few, texts.size()); ++i) ids[i] = encode(texts[i], special);
    }
  });
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool special) const {
  std::string text;
  int32_t previous = text_start;
  for (const int32_t id : ids) {
    text += bytes_after(previous, id, special);
    previous = id;
  }
  return text;
}

std::string StreamDecoder::feed(int32_t id) {
  pending_ += tokenizer_->bytes_after(previous_, id);
  previous_ = id;
  std::string complete = pending_.substr(0, pending_.size() - unfinished_suffix(pending_));
  pending_.erase(0, complete.size());
  return complete;
}

std::string StreamDecoder::flush() { return std::exchange(pending_, {}); }

}  // namespace intarsia

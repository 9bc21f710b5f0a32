#include "text/format/llama2c_tokenizer.h"

#include <cstring>

#include "core/fail.h"
#include "text/model/scored_merges.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

constexpr int32_t unknown = 0, bos = 1, eos = 2, first_byte = 3, bytes_end = first_byte + 256;
constexpr int32_t token_limit = 1 << 22;

template <class T>
T take(std::string_view& file, std::string_view name, int32_t id) {
  T value;
  if (file.size() < sizeof value) fail("{}: ends inside token {}", name, id);
  std::memcpy(&value, file.data(), sizeof value);
  file.remove_prefix(sizeof value);
  return value;
}

}  // namespace

std::shared_ptr<Tokenizer> parse_llama2c_tokenizer(std::string_view file, std::string_view name) {
  TokenizerParts parts;
  parts.name = name;
  const auto longest = take<int32_t>(file, name, 0);
  if (longest < 1 || static_cast<size_t>(longest) > scored_token_limit)
    fail("{}: says that its longest token has {} bytes, expected 1 to {}", name, longest, scored_token_limit);
  std::vector<float> scores;
  while (!file.empty()) {
    const int32_t id = parts.pieces.size();
    if (id == token_limit) fail("{}: has more than {} tokens", name, token_limit);
    scores.push_back(take<float>(file, name, id));
    const auto length = take<int32_t>(file, name, id);
    if (length < 0 || length > longest)
      fail("{}: token {} has a length of {} bytes, expected 0 to {}", name, id, length, longest);
    if (file.size() < static_cast<size_t>(length))
      fail("{}: token {} has a length of {} bytes, but the file ends after {}", name, id, length,
           file.size());
    parts.pieces.push(file.substr(0, static_cast<size_t>(length)));
    file.remove_prefix(static_cast<size_t>(length));
  }
  const int32_t size = parts.pieces.size();
  if (size < bytes_end)
    fail("{}: has {} tokens, expected at least {} (3 special ones and 256 bytes)", name, size, bytes_end);

  parts.in_vocabulary.assign(static_cast<size_t>(size), true);
  BpeParts model;
  for (int byte = 0; byte < 256; ++byte) model.options.fallback.bytes[byte] = first_byte + byte;
  for (const int32_t id : {unknown, bos, eos}) {
    if (!parts.pieces[id].empty()) parts.added.push_back(special_token(parts.pieces[id], id));
  }
  parts.pieces.index([&](int32_t id) { return !parts.pieces[id].empty(); });
  model.merges = merges_by_score(parts.pieces, plain_tokens(parts), scores, parts.name);
  parts.model = std::move(model);
  parts.components.normalizer = R"({"type":"Prepend","prepend":" "})";
  parts.components.decoder = R"({"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},)"
                             R"({"type":"Strip","content":" ","start":1,"stop":0}]})";
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  tokenizer->bos = bos;
  tokenizer->eos = eos;
  tokenizer->add_bos = true;
  // Its models know BOS as the end of a story as well as its start.
  tokenizer->stop = {bos, eos};
  return tokenizer;
}

}  // namespace intarsia

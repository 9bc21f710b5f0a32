// Tokenizer to GGUF metadata, as llama.cpp reads it.
#include <algorithm>
#include <limits>

#include "core/fail.h"
#include "data/gguf.h"
#include "text/format/tokenizer_gguf.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

// tokenizer.ggml.token_type
enum Kind : int32_t { plain = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

void write_merges(GgufWriter& out, const StringTable& pieces, const std::vector<Merge>& merges) {
  std::vector<std::string> lines;
  lines.reserve(merges.size());
  for (const Merge& merge : merges)
    lines.push_back(fmt::format("{} {}", pieces[merge.left], pieces[merge.right]));
  out.set("tokenizer.ggml.merges", std::span<const std::string>(lines));
}

}  // namespace

void PipelineTokenizer::write_byte_level(GgufWriter& out, const Bpe& model) const {
  const std::string pre = gguf_pre_of(components_.pre_tokenizer, model.options().ignore_merges);
  if (pre.empty() || !pipeline_->normalizer.empty())
    fail_hint("convert to a directory", "{}: GGUF has no name for how this tokenizer splits text", name_);
  out.set("tokenizer.ggml.model", "gpt2");
  out.set("tokenizer.ggml.pre", pre);
  write_merges(out, vocabulary_.pieces, model.merges().list());
}

// Scores say what merges come first: those of a token that is merged early are high.
void PipelineTokenizer::write_sentencepiece(GgufWriter& out, const Bpe& model, int64_t vocabulary) const {
  const std::vector<Merge> merges = model.merges().list();
  std::vector<float> scores(static_cast<size_t>(vocabulary), std::numeric_limits<float>::lowest());
  for (const Merge& merge : merges) {
    float& score = scores[static_cast<size_t>(merge.result)];
    score = std::max(score, -static_cast<float>(merge.rank) - 1);
  }
  for (float& score : scores)
    if (score == std::numeric_limits<float>::lowest()) score = -1e9f;
  out.set("tokenizer.ggml.model", "llama");
  out.set("tokenizer.ggml.scores", std::span<const float>(scores));
  out.set("tokenizer.ggml.add_space_prefix", pipeline_->decoder.prefixed);
}

void PipelineTokenizer::write_gguf(GgufWriter& out, int64_t vocabulary) const {
  const auto* model = dynamic_cast<const Bpe*>(model_.get());
  if (!model) fail_hint("convert to a directory", "{}: GGUF export is for byte-pair encodings only", name_);
  const Bpe::Fallback& fallback = model->options().fallback;
  const bool bytes_known =
      std::all_of(fallback.bytes.begin(), fallback.bytes.end(), [](int32_t id) { return id >= 0; });
  const bool byte_level = pipeline_->byte_level;
  if (!byte_level && !bytes_known)
    fail_hint("convert to a directory", "{}: GGUF cannot hold a tokenizer of characters", name_);
  if (byte_level)
    write_byte_level(out, *model);
  else
    write_sentencepiece(out, *model, vocabulary);

  std::vector<int32_t> kinds(static_cast<size_t>(vocabulary), plain);
  if (!byte_level)
    for (const int32_t id : fallback.bytes) kinds[static_cast<size_t>(id)] = byte;
  for (const AddedToken& token : added_)
    kinds[static_cast<size_t>(token.id)] = !token.special                 ? user_defined
                                           : token.id == fallback.unknown ? unknown
                                                                          : control;
  std::vector<std::string> tokens;
  tokens.reserve(static_cast<size_t>(vocabulary));
  for (int64_t id = 0; id < vocabulary; ++id) {
    std::string token(id < size() ? vocabulary_.pieces[static_cast<int32_t>(id)] : std::string_view());
    if (token.empty()) {
      token = fmt::format("[unused {}]", id);
      kinds[static_cast<size_t>(id)] = unused;
    }
    const bool marked = !byte_level && kinds[static_cast<size_t>(id)] == plain;
    for (size_t at = 0; marked && (at = token.find(' ', at)) != token.npos;) token.replace(at, 1, space_mark);
    tokens.push_back(std::move(token));
  }
  out.set("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  out.set("tokenizer.ggml.token_type", std::span<const int32_t>(kinds));
  if (bos) out.set("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*bos));
  if (eos) out.set("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(*eos));
  if (!byte_level && fallback.unknown >= 0)
    out.set("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(fallback.unknown));
  out.set("tokenizer.ggml.add_bos_token", add_bos);
  out.set("tokenizer.ggml.add_eos_token", false);
  if (!chat_template.empty()) out.set("tokenizer.chat_template", chat_template);
}

}  // namespace intarsia

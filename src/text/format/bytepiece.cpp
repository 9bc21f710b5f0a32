#include "text/format/bytepiece.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/format/base64.h"
#include "text/pipeline.h"
#include "text/unicode/unicode.h"

namespace intarsia {

bool is_bytepiece(std::string_view file) {
  // An object whose first value is an array of a number and more.
  const size_t open = file.find_first_not_of(" \t\r\n");
  if (open == std::string_view::npos || file[open] != '{') return false;
  const size_t colon = file.find(':', open);
  if (colon == std::string_view::npos) return false;
  const size_t value = file.find_first_not_of(" \t\r\n", colon + 1);
  if (value == std::string_view::npos || file[value] != '[') return false;
  const size_t first = file.find_first_not_of(" \t\r\n", value + 1);
  return first != std::string_view::npos && file[first] >= '0' && file[first] <= '9';
}

std::shared_ptr<Tokenizer> make_bytepiece(std::vector<std::pair<std::string, int64_t>> pieces,
                                          std::string_view name) {
  std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) {
    return a.first.size() != b.first.size() ? a.first.size() < b.first.size() : a.first < b.first;
  });
  TokenizerParts parts;
  parts.name = name;
  UnigramParts model;
  model.by_bytes = true;
  for (const char* special : {"<pad>", "<bos>", "<eos>"}) {
    parts.push_special(special, false);
    model.scores.push_back(-std::numeric_limits<double>::infinity());
    model.counts.push_back(0);
  }
  int64_t total = 0;
  for (const auto& [text, count] : pieces) total += count;
  const double log_total = std::log(static_cast<double>(total));
  for (const auto& [text, count] : pieces) {
    parts.pieces.push(text);
    parts.in_vocabulary.push_back(true);
    model.scores.push_back(std::log(static_cast<double>(count)) - log_total);
    model.counts.push_back(count);
  }
  parts.model = std::move(model);
  auto pipeline = std::make_shared<TextPipeline>();
  pipeline->normalizer.add([](const std::string& text) { return to_nfc(text); });
  pipeline->pre_tokenizer.add(line_splitter());
  parts.pipeline = std::move(pipeline);
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  tokenizer->bos = 1;
  tokenizer->eos = 2;
  tokenizer->stop = {2};
  return tokenizer;
}

std::shared_ptr<Tokenizer> parse_bytepiece(std::string_view file, std::string_view name) {
  const Json json = parse_json(file, name);
  if (!json.is_object() || json.empty())
    fail("{}: is {}, expected an object of pieces", name, json.type_name());
  std::vector<std::pair<std::string, int64_t>> pieces;
  std::vector<int64_t> ids;
  int64_t total = 0;
  for (const auto& [key, value] : json.items()) {
    const std::string place = fmt::format("{}: {}", name, quote(key));
    std::string piece = decode_base64(key, place);
    const bool fits = value.is_array() && value.size() == 3 && value[0].is_number_unsigned() &&
                      value[2].is_number_unsigned() && value[2].get<uint64_t>() > 0;
    if (!fits || piece.empty()) fail("{}: expected [id, text, count]", place);
    const uint64_t count = value[2].get<uint64_t>();
    constexpr int64_t most = int64_t{1} << 52;  // whose logarithm is exact enough
    if (count > static_cast<uint64_t>(most - total)) fail("{}: the counts are too large", place);
    total += static_cast<int64_t>(count);
    pieces.emplace_back(std::move(piece), static_cast<int64_t>(count));
    ids.push_back(static_cast<int64_t>(std::min<uint64_t>(value[0].get<uint64_t>(), INT32_MAX)));
  }
  auto tokenizer = make_bytepiece(pieces, name);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto id = tokenizer->id_of(pieces[i].first);
    if (!id || *id != ids[i])
      fail("{}: {} has the id {}, expected {} by the order of length and bytes", name, quote(pieces[i].first),
           ids[i], id.value_or(-1));
  }
  return tokenizer;
}

}  // namespace intarsia

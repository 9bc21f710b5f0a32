#include "text/model/segmentation.h"

#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/unicode/unicode.h"

namespace intarsia {

void SegmentationModel::sample(std::string_view, const SubwordSampling&, Random&, Ids&) const {
  fail("sample: this tokenizer has one segmentation only; BPE, Unigram and BytePiece have several");
}

std::string json_text(std::string_view text) {
  if (const size_t valid = valid_utf8_prefix(text); valid < text.size())
    fail("save: token {} is not UTF-8, which tokenizer.json can't hold", quote(text));
  return Json(text).dump();
}

std::string json_vocabulary(const Vocabulary& vocabulary) {
  std::string out = "{";
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view piece = vocabulary.pieces[id];
    // Of equal pieces a JSON object can hold one only.
    if (!vocabulary.of_model[id] || piece.empty() || vocabulary.pieces.find(piece) != id) continue;
    out += out.size() == 1 ? "\n" : ",\n";
    out += "      " + json_text(piece) + ": " + std::to_string(id);
  }
  return out + "\n    }";
}

}  // namespace intarsia

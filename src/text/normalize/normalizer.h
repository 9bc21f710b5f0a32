// What happens to a text before it is split: steps that each make a text of a text.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace intarsia {

using TextStep = std::function<std::string(std::string)>;

class Normalizer {
 public:
  void add(TextStep step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  std::string operator()(std::string_view text) const;

 private:
  std::vector<TextStep> steps_;
};

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// The steps that Hugging Face's normalizers of these names are.
struct BertOptions {
  bool clean_text = true;            // controls are left out, white space becomes a space
  bool handle_chinese_chars = true;  // spaces around ideographs
  bool strip_accents = true;         // decomposed, without nonspacing marks
  bool lowercase = true;
};
TextStep bert_step(const BertOptions& options);
TextStep nmt_step();
TextStep strip_accents_step();
TextStep strip_step(bool left, bool right);
// Punctuation as BERT has it: ASCII's signs, too.
bool is_bert_punctuation(char32_t code);

}  // namespace intarsia

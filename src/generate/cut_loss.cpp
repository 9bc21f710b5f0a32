#include "generate/cut_loss.h"

#include "core/fail.h"

namespace intarsia {

namespace {

// Ways 20 times less likely than another are left out, in all three alike; 100 times changes the means by
// about a hundredth of the gap.
constexpr double negligible = 0.05;

// -log p(bytes | behind `ids` comes `known`)
double loss_behind(Generator& generator, const Ids& ids, const std::string& known, std::string_view bytes) {
  const double before = known.empty() ? 0 : generator.log_probability(ids, known, negligible);
  return before - generator.log_probability(ids, known + std::string(bytes), negligible);
}

// Takes back the prompt's last words: at least so many bytes, up to a token that begins with a space.
// Splitters cut there, so what follows does not change the tokens before.
std::string take_back_words(const Tokenizer& tokenizer, Ids& ids) {
  constexpr size_t least = 16;
  std::string bytes;
  bool at_word = false;
  while (ids.size() > 1 && !(bytes.size() >= least && at_word)) {
    const std::string_view last = tokenizer.bytes(ids.back());
    if (last.empty()) break;  // a special token
    at_word = last[0] == ' ' || last[0] == '\n';
    bytes.insert(0, last);
    ids.pop_back();
  }
  return bytes;
}

}  // namespace

CutLoss cut_loss(Generator& generator, std::string_view text, size_t cut, size_t count) {
  const Ids prompt = generator.prompt(text.substr(0, cut));
  const std::string_view behind = text.substr(cut, count);
  CutLoss loss;
  generator.reset();
  Ids ids = prompt;
  const std::string last_words = take_back_words(generator.tokenizer(), ids);
  loss.exact = loss_behind(generator, ids, last_words, behind);
  ids = prompt;
  const std::string rest = generator.take_back(ids);
  loss.healed = loss_behind(generator, ids, rest, behind);
  loss.naive = loss_behind(generator, prompt, "", behind);
  return loss;
}

CutLoss measure_healing(Generator& generator, std::string_view text, const HealingMeasure& options) {
  if (options.cuts < 1 || options.bytes < 1 || text.size() < options.context + options.bytes + 1)
    fail("healing: {} cuts with {} bytes before and {} behind are asked for, of a text of {} bytes",
         options.cuts, options.context, options.bytes, text.size());
  Random random(options.seed);
  CutLoss sum;
  for (int64_t i = 0; i < options.cuts; ++i) {
    const uint64_t places = text.size() - options.bytes - options.context;
    const size_t cut = options.context + random.below(places);
    size_t begin = cut - options.context;
    const size_t space = text.find(' ', begin);
    if (space < cut) begin = space;
    const CutLoss loss =
        cut_loss(generator, text.substr(begin, cut + options.bytes - begin), cut - begin, options.bytes);
    sum.naive += loss.naive;
    sum.healed += loss.healed;
    sum.exact += loss.exact;
    if (options.on_cut) options.on_cut(i + 1);
  }
  const double bytes = static_cast<double>(options.cuts) * static_cast<double>(options.bytes);
  return {sum.naive / bytes, sum.healed / bytes, sum.exact / bytes};
}

}  // namespace intarsia

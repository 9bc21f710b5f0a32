#include "train/sampler.h"

#include <algorithm>
#include <cmath>

#include "intarsia/op.h"

namespace intarsia {

namespace {

// Draws an id from softmax(logits / temperature); the likeliest, the first of equals, at temperature 0.
int32_t draw(std::span<const float> logits, double temperature, Random& random) {
  const auto top = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0) return static_cast<int32_t>(top - logits.begin());
  std::vector<double> weight(logits.size());
  double total = 0;
  for (size_t i = 0; i < logits.size(); i++) {
    weight[i] = std::exp((static_cast<double>(logits[i]) - *top) / temperature);
    total += weight[i];
  }
  double left = random.uniform() * total;
  for (size_t i = 0; i < logits.size(); i++) {
    left -= weight[i];
    if (left < 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(top - logits.begin());
}

// What stands before a text's first token.
int32_t first_id(const Tokenizer& tokenizer) {
  if (tokenizer.bos) return *tokenizer.bos;
  if (tokenizer.eos) return *tokenizer.eos;
  return tokenizer.id_of("\n").value_or(0);
}

}  // namespace

std::string sample_text(const Model& model, const Tokenizer& tokenizer, const Recipe::Samples& options,
                        Random random) {
  const NoGradient no_gradient;
  Ids ids;
  if (!options.prompt.empty()) ids = tokenizer.encode(options.prompt);
  if (ids.empty()) ids.push_back(first_id(tokenizer));
  const int64_t room = model.context() - 1;
  if (static_cast<int64_t>(ids.size()) > room) ids.erase(ids.begin(), ids.end() - std::max<int64_t>(room, 1));
  const int64_t count = std::min<int64_t>(options.tokens, model.context() - static_cast<int64_t>(ids.size()));
  const std::unique_ptr<Cache> cache = model.make_cache();
  Ids made;
  for (int64_t i = 0; i < count; i++) {
    const auto length = static_cast<int64_t>(ids.size());
    const Tensor hidden =
        model.hidden(Tensor(Array::copy_of(std::span<const int32_t>(ids), {1, length})), cache.get());
    const Tensor logits = contiguous(cast(model.logits(slice(hidden, 1, length - 1, length)), DType::f32));
    // Rows of a matrix may be more than the tokenizer has ids.
    const int32_t id = draw(logits.array().span<float>().first(static_cast<size_t>(tokenizer.size())),
                            options.temperature, random);
    if (tokenizer.eos == id) break;
    made.push_back(id);
    ids.assign(1, id);
  }
  return tokenizer.decode(made);
}

}  // namespace intarsia

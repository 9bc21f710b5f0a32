#include <algorithm>
#include <chrono>
#include <limits>

#include "core/fail.h"
#include "generate/heal.h"
#include "generate/stop_text.h"
#include "intarsia/generate.h"
#include "intarsia/op.h"

namespace intarsia {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool contains(const std::vector<int32_t>& list, int32_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

}  // namespace

Generator::Generator(Loaded loaded) : loaded_(std::move(loaded)) {
  if (!loaded_.model) fail("generate: no model is given");
  if (!loaded_.tokenizer) fail_hint("name one with --tokenizer", "generate: the model has no tokenizer");
  cache_ = loaded_.model->make_cache();
}

Generator::~Generator() = default;

Ids Generator::prompt(std::string_view text) const {
  const Tokenizer& tokenizer = *loaded_.tokenizer;
  Ids ids = tokenizer.encode(text);
  if (tokenizer.add_bos && tokenizer.bos) ids.insert(ids.begin(), *tokenizer.bos);
  if (!ids.empty()) return ids;
  const std::optional<int32_t> first = tokenizer.bos ? tokenizer.bos : tokenizer.eos;
  if (!first)
    fail_hint("give a text to continue",
              "generate: the prompt is empty and the model has no BOS or EOS to begin with");
  return {*first};
}

void Generator::reset() {
  cache_->rewind(0);
  cached_.clear();
  logits_.clear();
}

// Runs the model over ids behind those in the cache; returns the last one's logits.
Tensor Generator::step(std::span<const int32_t> ids) {
  const auto count = static_cast<int64_t>(ids.size());
  const Tensor hidden = loaded_.model->hidden(Tensor(Array::copy_of(ids, {1, count})), cache_.get());
  cached_.insert(cached_.end(), ids.begin(), ids.end());
  const Tensor last = slice(hidden, 1, count - 1, count);
  return contiguous(cast(loaded_.model->logits(last), DType::f32));
}

// The logits behind the prompt; empty if cancelled.
Tensor Generator::read_prompt(const Ids& prompt, const GenerateOptions& options) {
  // The last id is computed in any case: its logits are needed.
  const auto common = std::mismatch(cached_.begin(), cached_.end(), prompt.begin(), prompt.end() - 1).first;
  cached_.erase(common, cached_.end());
  cache_->rewind(static_cast<int64_t>(cached_.size()));

  Tensor logits;
  const auto total = static_cast<int64_t>(prompt.size());
  const auto reused = static_cast<int64_t>(cached_.size());
  while (cached_.size() < prompt.size()) {
    const size_t done = cached_.size();
    const size_t count = std::min(static_cast<size_t>(options.chunk), prompt.size() - done);
    logits = step(std::span(prompt).subspan(done, count));
    const auto now = static_cast<int64_t>(cached_.size());
    if (options.on_prompt && !options.on_prompt(now - reused, total - reused)) return {};
  }
  return logits;
}

namespace {

// The ids of a tokenizer; rows of the model's matrix may be more.
std::span<const float> row_of(const Tensor& logits, const Tokenizer& tokenizer) {
  return logits.array().span<float>().first(static_cast<size_t>(tokenizer.size()));
}

}  // namespace

Lookahead Generator::lookahead() {
  return {[this](int32_t id) {
            const Tensor next = step({&id, 1});
            const auto row = row_of(next, *loaded_.tokenizer);
            return std::vector<float>(row.begin(), row.end());
          },
          [this] {
            cached_.pop_back();
            cache_->rewind(static_cast<int64_t>(cached_.size()));
          }};
}

const Healer& Generator::healer() {
  if (!healer_) healer_ = std::make_unique<Healer>(*loaded_.tokenizer);
  return *healer_;
}

std::vector<float> Generator::healed(std::span<const float> logits, std::string_view rest) {
  // At the end of the context there is no room to look ahead.
  const bool room = static_cast<int64_t>(cached_.size() + rest.size()) < loaded_.model->context();
  constexpr double negligible = 1e-3;
  return healer().heal(logits, rest, lookahead(),
                       {room ? negligible : std::numeric_limits<double>::infinity()});
}

void Generator::check_prompt(const Ids& prompt) const {
  if (prompt.empty()) fail("generate: the prompt has no ids");
  if (static_cast<int64_t>(prompt.size()) > model().context())
    fail_hint("shorten it", "generate: the prompt has {} tokens, the model's context is {}", prompt.size(),
              model().context());
}

double Generator::log_probability(const Ids& prompt, std::string_view bytes, double negligible) {
  const NoGradient no_gradient;
  check_prompt(prompt);
  if (static_cast<int64_t>(prompt.size() + bytes.size()) > model().context())
    fail_hint("shorten them", "generate: {} tokens and {} bytes behind them, the model's context is {}",
              prompt.size(), bytes.size(), model().context());
  constexpr int most_steps = 1 << 14;
  Ids ids = prompt;
  const Lookahead behind = {[&](int32_t id) {
                              ids.push_back(id);
                              return logits_behind(ids);
                            },
                            [&] { ids.pop_back(); }};
  return healer().log_probability(std::vector<float>(logits_behind(prompt)), bytes, behind,
                                  {negligible, most_steps});
}

const std::vector<float>& Generator::logits_behind(const Ids& ids) {
  const auto known = logits_.find(ids);
  if (known != logits_.end()) return known->second;
  constexpr size_t most_bytes = size_t{256} << 20;
  const Tensor logits = read_prompt(ids, {});
  const auto row = row_of(logits, *loaded_.tokenizer);
  if ((logits_.size() + 1) * row.size_bytes() > most_bytes) logits_.clear();
  return logits_[ids] = {row.begin(), row.end()};
}

std::string Generator::take_back(Ids& prompt) { return healer().take_back(prompt); }

Generated Generator::generate(const Ids& given, const GenerateOptions& options) {
  const NoGradient no_gradient;
  const Model& model = *loaded_.model;
  const Tokenizer& tokenizer = *loaded_.tokenizer;
  Ids prompt = given;
  std::string rest;  // bytes of the prompt that the next ids begin with
  if (options.heal) rest = take_back(prompt);
  if (options.chunk < 1 || options.max_tokens < 0)
    fail("generate: chunk is {} and max_tokens {}, expected 1 or more and 0 or more", options.chunk,
         options.max_tokens);
  check_prompt(prompt);

  Generated result;
  result.prompt_ids = prompt;
  Sampler sampler(options.sampling);
  Ids all = prompt;
  auto start = Clock::now();
  Tensor logits = read_prompt(prompt, options);
  result.prompt_seconds = seconds_since(start);
  if (!logits) {
    result.ending = Ending::cancelled;
    return result;
  }

  start = Clock::now();
  StreamDecoder decoder(loaded_.tokenizer, prompt.back());
  StopText stop(options.stop);
  size_t known = rest.size();  // bytes that the prompt has already
  const auto pass_on = [&](const std::string& text) {
    result.text += text;
    return text.empty() || !options.on_text || options.on_text(text);
  };
  bool wanted = true;
  while (true) {
    if (static_cast<int64_t>(result.ids.size()) == options.max_tokens) break;
    const auto row = row_of(logits, tokenizer);
    const int32_t id = rest.empty() ? sampler(row, all) : sampler(healed(row, rest), all);
    rest.erase(0, tokenizer.bytes(id).size());
    if (!options.ignore_stop_ids && contains(tokenizer.stop, id)) {
      result.ending = Ending::stop_id;
      break;
    }
    result.ids.push_back(id);
    all.push_back(id);
    std::string text = decoder.feed(id);
    const size_t old = std::min(known, text.size());
    known -= old;
    wanted = pass_on(stop.feed(text.substr(old)));
    if (!wanted) result.ending = Ending::cancelled;
    if (stop.found()) result.ending = Ending::stop_text;
    if (!wanted || stop.found()) break;
    if (static_cast<int64_t>(result.ids.size()) == options.max_tokens) break;
    if (static_cast<int64_t>(all.size()) > model.context()) {
      result.ending = Ending::context;
      break;
    }
    logits = step({&id, 1});
  }
  if (wanted && !stop.found()) pass_on(stop.feed(decoder.flush()) + stop.flush());
  result.decode_seconds = seconds_since(start);
  return result;
}

}  // namespace intarsia

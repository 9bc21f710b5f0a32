// Generation: text out of a model, token by token.
//
// A Generator owns a cache and the ids in it; use one from one thread at a time. Several may share a model.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/chat_template.h"
#include "intarsia/model.h"
#include "intarsia/random.h"

namespace intarsia {

// How the next id is chosen from the logits. In this order:
//   repetition_penalty  logits of ids that occurred are divided by it if positive, else multiplied (Keskar et
//   al. 2019) temperature         logits are divided by it; at 0 the likeliest id is taken, the lowest of
//   equals top_k               only the k likeliest stay; 0: all top_p               only the likeliest whose
//   probabilities sum to p stay (Holtzman et al. 2020); 1: all min_p               only those at least min_p
//   times as likely as the likeliest stay; 0: all
// Then an id is drawn. The same seed, logits and ids give the same text.
struct Sampling {
  double temperature = 0.8;
  int64_t top_k = 0;
  double top_p = 0.95;
  double min_p = 0;
  double repetition_penalty = 1;
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const Sampling& sampling);  // an Error names a value out of range
  // Logits of all ids; `context` are the ids so far. Each draw moves the random numbers on.
  int32_t operator()(std::span<const float> logits, std::span<const int32_t> context);

 private:
  int32_t draw();
  struct Candidate {
    float logit;
    int32_t id;
  };
  Sampling sampling_;
  Random random_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
  std::vector<uint8_t> seen_;
};

enum class Ending { stop_id, stop_text, max_tokens, context, cancelled };

struct GenerateOptions {
  Sampling sampling;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;  // generation ends where one of these appears; it is not part of the text
  bool ignore_stop_ids = false;   // go on behind the tokenizer's stop ids
  int64_t chunk = 256;            // ids of the prompt computed at a time; changes no result
  // The prompt's text may end inside a token: its last tokens are taken back, and those that take their place
  // begin with the same bytes. They are in `ids`, but only what is new of them is in the text.
  bool heal = false;
  // Text as it comes, in whole characters. Returning false cancels.
  std::function<bool(std::string_view text)> on_text;
  // Ids of the prompt done, and of how many. Returning false cancels.
  std::function<bool(int64_t done, int64_t total)> on_prompt;
};

struct Generated {
  std::string text;
  Ids ids;         // without the stop id; with the ids of a stop text
  Ids prompt_ids;  // all that stand before, BOS among them
  Ending ending = Ending::max_tokens;
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

class Healer;
struct Lookahead;

class Generator {
 public:
  // Throws if the model came without a tokenizer.
  explicit Generator(Loaded loaded);
  ~Generator();

  // Ids of a prompt: a BOS if the model's files ask for one, then the text, in which the names of special
  // tokens are plain text. An empty prompt of a model that asks for no BOS is BOS or EOS all the same:
  // something must come first.
  Ids prompt(std::string_view text) const;
  // Continues the ids. What they have in common with the ids of the last call is not computed again.
  Generated generate(const Ids& prompt, const GenerateOptions& options = {});
  Generated generate(std::string_view prompt, const GenerateOptions& options = {}) {
    return generate(this->prompt(prompt), options);
  }
  // The logarithm of the probability that the text behind the prompt begins with `bytes`, summed over all
  // tokenizations of them; ways less likely than `negligible` times another are left out. (Phan et al.
  // 2024, "Exact Byte-Level Probabilities from Tokenized Language Models".) What it computes is kept for the
  // next calls, up to 256 MB, until reset().
  double log_probability(const Ids& prompt, std::string_view bytes, double negligible = 1e-3);
  // What `heal` does to a prompt first: removes the tokens at its end that a longer one could replace, and
  // returns their bytes.
  std::string take_back(Ids& prompt);
  void reset();  // forgets the ids of the last call

  const Model& model() const { return *loaded_.model; }
  const Tokenizer& tokenizer() const { return *loaded_.tokenizer; }

 private:
  void check_prompt(const Ids& prompt) const;
  Tensor read_prompt(const Ids& prompt, const GenerateOptions& options);
  Tensor step(std::span<const int32_t> ids);
  const Healer& healer();
  Lookahead lookahead();
  const std::vector<float>& logits_behind(const Ids& ids);
  std::vector<float> healed(std::span<const float> logits, std::string_view rest);
  Loaded loaded_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<const Healer> healer_;  // made when it is needed
  Ids cached_;                            // the ids whose keys and values the cache holds
  // What log_probability has computed: the searches behind one text meet the same ids again and again.
  std::map<Ids, std::vector<float>> logits_;
};

// A conversation. Its messages are rendered by the model's chat template; a model without one continues the
// plain text of all that was said. Names of special tokens in messages are plain text.
class Chat {
 public:
  // Throws if the model's template is not supported, naming line and reason.
  explicit Chat(Loaded loaded, GenerateOptions options = {});

  // The answer to a message. If it is cancelled, what there is of it stays in the history.
  std::string say(std::string_view text, const std::function<bool(std::string_view text)>& on_text = {});
  void reset();  // an empty history
  // Writes the history as JSON: [{"role": "user", "content": "..."}, ...].
  void save(const std::filesystem::path& path) const;

  bool has_template() const;
  const std::vector<Message>& history() const { return history_; }
  const Generated& last() const { return last_; }  // of the last answer
  GenerateOptions options;

 private:
  Ids ids() const;
  Generator generator_;
  std::optional<ChatTemplate> template_;
  std::vector<Message> history_;
  Generated last_;
  uint64_t turn_ = 0;
};

}  // namespace intarsia

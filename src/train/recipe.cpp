#include "train/recipe.h"

#include <algorithm>
#include <cmath>

// Nested values are parsed by recursion, so their depth is bounded.
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ENABLE_FORMATTERS 0
// It asserts what it then checks and reports as an error: "[(" must not abort.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

#include "core/fail.h"
#include "core/spelling.h"
#include "data/file.h"
#include "train/optimizer/optimizer.h"
#include "train/recompute.h"

namespace intarsia {

namespace {

constexpr size_t largest_recipe = size_t{1} << 18;
// What follows is not looked at for a hint: so long a text is near no key and no choice.
constexpr size_t longest_guess = 40;
constexpr double most_samples = 0x1p42;  // so that tokens can be counted
constexpr double billion = 1e9, quintillion = 1e18;

// A number's entry has a range, a text's entry may have choices.
#define FIELD(member) #member, [](Recipe& recipe) -> RecipePlace { return &recipe.member; }

constexpr RecipeField fields[] = {
    {FIELD(data.path), 0, 0, "", "text file, directory of texts, or JSON lines"},
    {FIELD(data.field), 0, 0, "", "the key that holds the text in JSON lines"},
    {FIELD(data.validation), 0, 0.9, "", "share of the tokens, at the end, kept for validation"},

    {FIELD(tokenizer.kind), 0, 0, "bpe characters file",
     "byte-level BPE trained on the data, one id per character, or a file"},
    {FIELD(tokenizer.vocabulary), 256, 1 << 20, "", "ids of a BPE, at most"},
    {FIELD(tokenizer.path), 0, 0, "", "tokenizer.json or its directory, for kind = \"file\""},
    {FIELD(tokenizer.sampling), 0, 1, "",
     "subword regularization: training sees other segmentations each time; a BPE leaves out this share of "
     "its "
     "merges, a unigram or BytePiece model draws them by exp(sampling x score); 0: the best one"},

    {FIELD(model.init), 0, 0, "", "a model to go on from; the keys below, but for context, are then its own"},
    {FIELD(model.type), 0, 0, "", "architecture: the model_type of a config.json"},
    {FIELD(model.layers), 1, 1024, "", "blocks"},
    {FIELD(model.heads), 1, 1024, "", "attention heads of a block"},
    {FIELD(model.kv_heads), 0, 1024, "", "heads of keys and values; 0: as many as heads"},
    {FIELD(model.width), 1, 65536, "", "of the hidden states"},
    {FIELD(model.feed_forward), 0, 1 << 20, "", "width inside the feed-forward layer; 0: chosen from width"},
    {FIELD(model.context), 1, 1 << 20, "", "tokens of a training sequence"},
    {FIELD(model.tied), 0, 0, "", "embedding and output share one matrix"},
    {FIELD(model.bias), 0, 0, "",
     "biases in attention and feed-forward layers, where the architecture leaves a choice"},

    {FIELD(optimizer.kind), 0, 0, optimizer_names, ""},
    {FIELD(optimizer.learning_rate), 0, 1000, "", "peak; of adafactor: of a weight's size"},
    {FIELD(optimizer.beta1), 0, 0.999999, "", "of adam, adamw, lion, lamb"},
    {FIELD(optimizer.beta2), 0, 0.999999, "", "of the same, and of rmsprop's mean square"},
    {FIELD(optimizer.eps), 0, 1, "", "beside the root of mean squares"},
    {FIELD(optimizer.weight_decay), 0, 100, "",
     "joins the gradient (L2) in adam, sgd, rmsprop and adagrad; beside it in the others"},
    {FIELD(optimizer.momentum), 0, 0.999999, "", "of sgd, rmsprop, muon"},
    {FIELD(optimizer.nesterov), 0, 0, "", "sgd looks one step ahead"},
    {FIELD(optimizer.decay_on), 0, 0, "matrices hidden all",
     "which weights decay: no norms and biases; no tables either; every one"},
    {FIELD(optimizer.decay_scale), 0, 0, "rate schedule",
     "decay beside the gradient is times the learning rate, or times its share of the peak"},
    {FIELD(optimizer.clip), 0, 1e6, "", "largest norm of all gradients together; 0: no clipping"},

    {FIELD(schedule.kind), 0, 0, "cosine linear wsd constant inverse_sqrt restarts",
     "after the warm-up; wsd: constant, then linear decay"},
    {FIELD(schedule.warm_up), 0, billion, "", "steps"},
    {FIELD(schedule.final_share), 0, 1, "", "of the peak learning rate, at the end"},
    {FIELD(schedule.decay_share), 0, 1, "", "of all steps, that wsd decays in"},
    {FIELD(schedule.cycle), 1, billion, "", "steps of restarts' first cosine"},
    {FIELD(schedule.cycle_growth), 1, 100, "", "each cosine's length by the one before"},

    {FIELD(average.kind), 0, 0, "none ema swa",
     "of the weights over steps, for validation and checkpoints: exponential, or the mean of the last ones"},
    {FIELD(average.decay), 0, 0.9999999, "", "of ema, a step"},
    {FIELD(average.start_share), 0, 1, "", "of all steps, after which swa begins"},

    {FIELD(training.steps), 1, billion, "", "updates of the weights"},
    {FIELD(training.batch), 1, 65536, "", "sequences computed together"},
    {FIELD(training.accumulation), 1, 65536, "", "batches summed for one update"},
    {FIELD(training.seed), 0, quintillion, "", "of weights and order of the data"},
    {FIELD(training.compute), 0, 0, "f32 bf16 f16", "type of activations; master weights are f32"},
    {FIELD(training.recompute), 0, 0, "",
     "activations that are dropped and made again: none, all, sqrt, attention, segments:N, binomial:SLOTS, "
     "budget:1.5GB"},
    {FIELD(training.log_every), 1, billion, "", "steps"},
    {FIELD(training.out), 0, 0, "", "the run directory; empty: runs/NAME"},

    {FIELD(precision.masters), 0, 0, "", "false: bf16 weights without f32 masters"},
    {FIELD(precision.rounding), 0, 0, "nearest stochastic", "of weights without masters"},
    {FIELD(precision.loss_scale), 0, 0x1p40, "", "of f16, at first; 0: none"},
    {FIELD(precision.growth_interval), 1, billion, "", "good steps, after which the loss scale doubles"},
    {FIELD(precision.narrow), 0, 0, "",
     "operations in bf16 with compute f32, as in \"linear matmul attention\""},
    {FIELD(precision.wide), 0, 0, "", "operations in f32, as in \"softmax cross_entropy rms_norm\""},

    {FIELD(evaluation.every), 0, billion, "", "steps; 0: at the end only"},
    {FIELD(evaluation.batches), 0, billion, "",
     "batches of validation windows, spread evenly; 0: all of them"},

    {FIELD(samples.every), 0, billion, "", "steps; 0: none by steps"},
    {FIELD(samples.seconds), 0, billion, "", "0: none by time"},
    {FIELD(samples.prompt), 0, 0, "", "what a sample goes on from"},
    {FIELD(samples.tokens), 1, 4096, "", "of a sample"},
    {FIELD(samples.temperature), 0, 100, "", "0: the likeliest token always"},

    {FIELD(checkpoints.every), 0, billion, "", "steps; 0: at the end and at the best validation only"},
    {FIELD(checkpoints.keep), 1, billion, "", "newest ones kept, besides the best"},
};
#undef FIELD

struct Shorthand {
  std::string_view name, key;
};
constexpr Shorthand shorthands[] = {{"data", "data.path"}, {"init", "model.init"}, {"out", "training.out"}};

std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }
std::string_view name_of(std::string_view key) { return key.substr(key.find('.') + 1); }

const RecipeField* find_field(std::string_view key) {
  for (const RecipeField& field : fields)
    if (key == field.key) return &field;
  return nullptr;
}

// The key that an unknown one is likely meant to be; empty if none is near. In a table the bare name is
// enough, unless the unknown one was dotted.
std::string nearest_key(std::string_view unknown, bool dotted) {
  const std::string_view section = section_of(unknown).substr(0, longest_guess);
  const std::string_view name = name_of(unknown).substr(0, longest_guess);
  size_t best = std::max<size_t>(name.size() / 3, 2) + 1;
  std::string found;
  for (const RecipeField& field : fields) {
    const std::string_view key = field.key;
    const bool here = section_of(key) == section;
    const std::string_view own = name_of(key);
    if (std::max(name.size(), own.size()) - std::min(name.size(), own.size()) >= best) continue;
    size_t distance = edit_distance(name, own);
    if (!here && distance < best) distance += edit_distance(section, section_of(key)) > 2 ? 1 : 0;
    if (distance < best) {
      best = distance;
      found = here && !dotted ? own : key;
    }
  }
  return found;
}

[[noreturn]] void fail_unknown(std::string_view place, std::string_view key, std::string_view shown) {
  const std::string nearest = nearest_key(key, key == shown);
  std::string hint = nearest.empty() ? "" : fmt::format("did you mean {}?", nearest);
  fail_hint(std::move(hint), "{}: unknown key {}", place, quote(shown));
}

[[noreturn]] void fail_unknown_section(std::string_view place, std::string_view section) {
  std::string_view nearest;
  size_t best = std::max<size_t>(section.size() / 3, 2) + 1;
  for (const RecipeField& field : fields) {
    const size_t distance = edit_distance(section.substr(0, longest_guess), section_of(field.key));
    if (distance >= best) continue;
    best = distance;
    nearest = section_of(field.key);
  }
  std::string hint = nearest.empty() ? "" : fmt::format("did you mean [{}]?", nearest);
  fail_hint(std::move(hint), "{}: unknown table {}", place, quote(section));
}

// ---- reading values

std::string number_range(const RecipeField& field, bool whole) {
  const char* kind = whole ? "a whole number" : "a number";
  if (field.highest >= billion) return fmt::format("{}, {} or more", kind, field.lowest);
  return fmt::format("{} from {} to {}", kind, field.lowest, field.highest);
}

std::string expected(const RecipeField& field, const RecipePlace& place) {
  if (std::holds_alternative<bool*>(place)) return "true or false";
  if (std::holds_alternative<int64_t*>(place)) return number_range(field, true);
  if (std::holds_alternative<double*>(place)) return number_range(field, false);
  if (!*field.choices) return "text in quotes";
  std::string list = "\"";
  for (const char* c = field.choices; *c; c++) list += *c == ' ' ? std::string("\", \"") : std::string(1, *c);
  return "one of " + list + "\"";
}

// The choice nearest to a text, and how far it is: 0 if it is one.
struct NearestChoice {
  std::string_view choice;
  size_t away = SIZE_MAX;
};
NearestChoice nearest_choice(std::string_view choices, std::string_view text) {
  NearestChoice nearest;
  while (!choices.empty()) {
    const size_t end = choices.find(' ');
    const std::string_view choice = choices.substr(0, end);
    if (const size_t away = edit_distance(choice, text.substr(0, longest_guess)); away < nearest.away)
      nearest = {choice, away};
    choices.remove_prefix(end == choices.npos ? choices.size() : end + 1);
  }
  return nearest;
}

// What a message shows of a value: the value, or for a composed one its kind.
std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return quote(text->get());
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (node.is_array()) return "an array";
  return node.is_table() ? "a table" : "a date or time";
}

// Stores a TOML value in its place; false if its type or range is wrong.
bool store(const toml::node& node, const RecipeField& field, const RecipePlace& place) {
  const auto in_range = [&](double x) { return x >= field.lowest && x <= field.highest; };
  const auto* integer = node.as_integer();
  const auto* real = node.as_floating_point();
  if (auto* const* target = std::get_if<std::string*>(&place)) {
    const auto* text = node.as_string();
    if (!text || (*field.choices && nearest_choice(field.choices, text->get()).away > 0)) return false;
    if (text->get().find('\0') != std::string::npos) return false;  // it would end a path early
    **target = text->get();
    return true;
  }
  if (auto* const* target = std::get_if<bool*>(&place)) {
    const auto* truth = node.as_boolean();
    if (truth) **target = truth->get();
    return truth != nullptr;
  }
  if (!integer && !real) return false;
  const double number = integer ? static_cast<double>(integer->get()) : real->get();
  if (!in_range(number)) return false;  // NaN is in no range
  if (auto* const* target = std::get_if<double*>(&place)) {
    **target = number;
    return true;
  }
  if (real && number != std::floor(number)) return false;  // 1e4 is as good as 10000, 1.5 is not
  *std::get<int64_t*>(place) = integer ? integer->get() : static_cast<int64_t>(number);
  return true;
}

void set_field(Recipe& recipe, const RecipeField& field, const toml::node& node, std::string_view where) {
  const RecipePlace place = field.place(recipe);
  if (store(node, field, place)) return;
  std::string hint;
  if (const auto* text = node.as_string(); text && *field.choices) {
    const NearestChoice nearest = nearest_choice(field.choices, text->get());
    if (nearest.away <= std::max<size_t>(nearest.choice.size() / 3, 1))
      hint = fmt::format("did you mean {}?", nearest.choice);
  }
  fail_hint(std::move(hint), "{}: {} is {}, expected {}", where, field.key, shown(node),
            expected(field, place));
}

toml::table parse(std::string_view text, std::string_view name) {
  if (text.size() > largest_recipe)
    fail("{}: has {} bytes, a recipe has at most {}", name, text.size(), largest_recipe);
  check_toml(text, name);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    std::string why(error.description());
    std::replace_if(
        why.begin(), why.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
    fail("{}:{}: {}", name, error.source().begin.line, why);
  }
}

std::string at_line(std::string_view name, const toml::source_region& source) {
  return fmt::format("{}:{}", name, source.begin.line);
}

// ---- writing values

std::string quoted_toml(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (byte < 0x20 || byte == 0x7F)
      out += fmt::format("\\u{:04x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

std::string value_text(const RecipePlace& place) {
  if (auto* const* text = std::get_if<std::string*>(&place)) return quoted_toml(**text);
  if (auto* const* truth = std::get_if<bool*>(&place)) return **truth ? "true" : "false";
  if (auto* const* number = std::get_if<int64_t*>(&place)) return fmt::format("{}", **number);
  return fmt::format("{}", *std::get<double*>(place));
}

std::string meaning(const RecipeField& field) {
  if (!*field.choices) return field.help;
  std::string text;
  for (const char* c = field.choices; *c; c++) text += *c == ' ' ? std::string(", ") : std::string(1, *c);
  return *field.help ? text + ": " + field.help : text;
}

}  // namespace

std::span<const RecipeField> recipe_fields() { return fields; }

Recipe parse_recipe(std::string_view text, std::string_view name) {
  const toml::table document = parse(text, name);
  Recipe recipe;
  for (const auto& [section, content] : document) {
    const std::string where = at_line(name, section.source());
    const bool known = std::any_of(std::begin(fields), std::end(fields), [&](const RecipeField& field) {
      return section_of(field.key) == section.str();
    });
    if (!known) fail_unknown_section(where, section.str());
    if (!content.is_table())
      fail_hint(fmt::format("write [{}] above its keys", section.str()), "{}: {} is {}, expected a table",
                where, section.str(), shown(content));
    for (const auto& [key, value] : *content.as_table()) {
      const std::string full = fmt::format("{}.{}", section.str(), key.str());
      const RecipeField* field = find_field(full);
      if (!field) fail_unknown(at_line(name, key.source()), full, key.str());
      set_field(recipe, *field, value, at_line(name, key.source()));
    }
  }
  return recipe;
}

Recipe read_recipe(const std::filesystem::path& path) {
  return parse_recipe(read_file(path, largest_recipe), path.string());
}

void override_recipe(Recipe& recipe, std::string_view assignment) {
  constexpr std::string_view where = "command line";
  const size_t equals = assignment.find('=');
  if (equals == assignment.npos || equals == 0)
    fail_hint("write key=value, such as training.steps=1000", "{}: {} is no assignment", where,
              quote(assignment));
  std::string_view key = assignment.substr(0, equals);
  const std::string_view value = assignment.substr(equals + 1);
  for (const Shorthand& shorthand : shorthands)
    if (key == shorthand.name) key = shorthand.key;
  const RecipeField* field = find_field(key);
  if (!field) fail_unknown(where, key, key);
  if (value.size() > largest_recipe)
    fail("{}: the value of {} has {} bytes", where, field->key, value.size());
  // A shell has taken the quotes away, so a text is taken as it stands unless it still has them.
  const bool is_text = std::holds_alternative<std::string*>(field->place(recipe));
  if (is_text && !value.starts_with('"') && !value.starts_with('\'')) {
    set_field(recipe, *field, toml::value<std::string>(std::string(value)), where);
    return;
  }
  toml::table document;
  // No number and no truth value has another character.
  const bool one_line = std::all_of(value.begin(), value.end(), [](char c) { return c != '\n' && c >= 0; });
  try {
    if (one_line) document = toml::parse(fmt::format("value = {}", value));
  } catch (const toml::parse_error&) { document.clear(); }
  const toml::node* node = document.size() == 1 ? document.get("value") : nullptr;
  if (!node)
    fail("{}: {} is {}, expected {}", where, field->key, quote(value),
         expected(*field, field->place(recipe)));
  set_field(recipe, *field, *node, where);
}

void check_recipe(const Recipe& recipe) {
  const Recipe::ModelShape& model = recipe.model;
  if (recipe.data.path.empty())
    fail_hint("add data=FILE", "recipe: data.path is empty, expected a text, a directory or JSON lines");
  if (recipe.tokenizer.kind == "file" && recipe.tokenizer.path.empty() && model.init.empty())
    fail("recipe: tokenizer.kind is \"file\", so tokenizer.path must name one");
  if (recipe.tokenizer.kind == "characters" && recipe.tokenizer.sampling > 0)
    fail("recipe: tokenizer.sampling is {}, but characters have one segmentation only",
         recipe.tokenizer.sampling);
  if (recipe.schedule.warm_up >= recipe.training.steps && recipe.training.steps > 1)
    fail_hint("lower schedule.warm_up", "recipe: schedule.warm_up is {} steps, the run has {}",
              recipe.schedule.warm_up, recipe.training.steps);
  const double samples = static_cast<double>(recipe.training.steps) *
                         static_cast<double>(recipe.training.batch) *
                         static_cast<double>(recipe.training.accumulation);
  if (samples > most_samples)
    fail("recipe: training.steps x batch x accumulation is {:.1e} sequences, expected at most {:.1e}",
         samples, most_samples);
  parse_recompute(recipe.training.recompute);
  if (!recipe.precision.masters && recipe.training.compute != "bf16")
    fail("recipe: precision.masters is false with training.compute \"{}\", expected \"bf16\"",
         recipe.training.compute);
  check_autocast(recipe.precision.narrow, recipe.precision.wide);
  if (!model.init.empty()) return;
  if (model.width % model.heads)
    fail("recipe: model.width is {}, expected a multiple of model.heads, which is {}", model.width,
         model.heads);
  if (model.kv_heads && model.heads % model.kv_heads)
    fail("recipe: model.heads is {}, expected a multiple of model.kv_heads, which is {}", model.heads,
         model.kv_heads);
}

std::string to_toml(const Recipe& recipe) {
  Recipe copy = recipe;
  std::string text;
  std::string_view section;
  for (const RecipeField& field : fields) {
    if (section_of(field.key) != section) {
      section = section_of(field.key);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    const std::string line = fmt::format("{} = {}", name_of(field.key), value_text(field.place(copy)));
    const std::string comment = meaning(field);
    text += comment.empty() ? line + "\n" : fmt::format("{:<32} # {}\n", line, comment);
  }
  return text;
}

std::vector<std::string> default_keys(const Recipe& recipe) {
  Recipe given = recipe, fresh;
  std::vector<std::string> keys;
  for (const RecipeField& field : fields)
    if (value_text(field.place(given)) == value_text(field.place(fresh))) keys.push_back(field.key);
  return keys;
}

std::string recipe_help() {
  Recipe fresh;
  std::string text;
  for (const RecipeField& field : fields) {
    const std::string entry = fmt::format("{} = {}", field.key, value_text(field.place(fresh)));
    text += fmt::format("{:<36} {}\n", entry, meaning(field));
  }
  return text;
}

}  // namespace intarsia

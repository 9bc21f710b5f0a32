#include "text/format/tokenizer_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

constexpr size_t depth_limit = 64, value_limit = 400'000, added_text_limit = 1024;

// Reads the file event by event: model.vocab and model.merges, which are nearly all of it, go into tables;
// the rest, which is small, becomes a JSON value.
class FileReader final : public nlohmann::json_sax<Json> {
 public:
  explicit FileReader(std::string_view name) : name_(name) {}
  Json rest;
  StringTable vocabulary;      // in the file's order
  std::vector<uint64_t> ids;   // of the vocabulary's strings
  std::vector<double> scores;  // of the vocabulary's strings, if it is a list of pairs
  StringTable merges;          // two strings a merge
  bool has_vocabulary = false, has_merges = false, has_scores = false;

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override {
    return mode_ == Mode::scored_pair ? score(static_cast<double>(v)) : value(v);
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (mode_ == Mode::scored_pair) return score(static_cast<double>(v));
    if (mode_ != Mode::vocabulary) return value(v);
    ids.push_back(v);
    return true;
  }
  bool number_float(number_float_t v, const string_t&) override {
    return mode_ == Mode::scored_pair ? score(v) : value(v);
  }
  bool string(string_t& v) override {
    if (mode_ == Mode::merges) return merge_text(v);
    if (mode_ == Mode::scored_pair) {
      if (++in_pair_ != 1) refuse_score();
      ids.push_back(static_cast<uint64_t>(vocabulary.size()));
      vocabulary.push(v);
      return true;
    }
    if (mode_ != Mode::merge_pair) return value(std::move(v));
    if (++in_pair_ > 2) refuse_merge();
    merges.push(v);
    return true;
  }
  bool binary(binary_t&) override { fail("{}: holds binary data", name_); }
  bool key(string_t& k) override {
    if (mode_ == Mode::vocabulary) {
      vocabulary.push(k);
      return true;
    }
    const auto [member, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(k);
    if (!fresh) fail("{}: the key {} stands twice in one object", name_, quote(k));
    member_ = &member->second;
    if (open_.size() == 1) top_key_ = k;
    model_key_ = open_.size() == 2 && top_key_ == "model" ? k : std::string();
    return true;
  }
  bool start_object(size_t) override {
    if (mode_ == Mode::dom && model_key_ == "vocab") {
      mode_ = Mode::vocabulary;
      has_vocabulary = true;
      return true;
    }
    return open(Json::object());
  }
  bool start_array(size_t) override {
    if (mode_ == Mode::merges) {
      mode_ = Mode::merge_pair;
      in_pair_ = 0;
      return true;
    }
    if (mode_ == Mode::scored) {
      mode_ = Mode::scored_pair;
      in_pair_ = 0;
      return true;
    }
    if (mode_ == Mode::dom && model_key_ == "vocab") {
      mode_ = Mode::scored;
      has_scores = true;
      return true;
    }
    if (mode_ == Mode::dom && model_key_ == "merges") {
      mode_ = Mode::merges;
      has_merges = true;
      return true;
    }
    return open(Json::array());
  }
  bool end_object() override { return close(); }
  bool end_array() override {
    if (mode_ == Mode::merge_pair && in_pair_ != 2) refuse_merge();
    if (mode_ == Mode::scored_pair && in_pair_ != 2) refuse_score();
    return close();
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    std::string_view what = error.what();
    if (const size_t start = what.find(": "); start != std::string_view::npos) what.remove_prefix(start + 2);
    if (const size_t end = what.find("; last read"); end != std::string_view::npos)
      what = what.substr(0, end);
    fail("{}: byte {}: {}", name_, position, what.substr(0, 200));
  }

 private:
  enum class Mode { dom, vocabulary, merges, merge_pair, scored, scored_pair };

  [[noreturn]] void refuse_merge() const {
    fail("{}: model.merges[{}] is not \"a b\" or [\"a\", \"b\"]", name_, merge_count_);
  }
  [[noreturn]] void refuse_score() const {
    fail("{}: model.vocab[{}] is not [\"piece\", score]", name_,
         std::max(vocabulary.size() - 1, static_cast<int32_t>(0)));
  }
  bool score(double v) {
    if (++in_pair_ != 2) refuse_score();
    scores.push_back(v);
    return true;
  }
  bool merge_text(const std::string& text) {
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) refuse_merge();
    merges.push(std::string_view(text).substr(0, space));
    merges.push(std::string_view(text).substr(space + 1));
    ++merge_count_;
    return true;
  }
  Json* place(Json&& v) {
    if (mode_ == Mode::vocabulary)
      fail("{}: model.vocab: the id of {} is not a whole number", name_,
           quote(vocabulary[vocabulary.size() - 1]));
    if (mode_ == Mode::scored || mode_ == Mode::scored_pair) refuse_score();
    if (mode_ != Mode::dom) refuse_merge();
    if (++values_ > value_limit)
      fail("{}: holds more than {} values besides model.vocab and model.merges", name_, value_limit);
    model_key_.clear();
    if (open_.empty()) return &(rest = std::move(v));
    if (open_.back()->is_object()) return &(*member_ = std::move(v));
    auto& array = open_.back()->get_ref<Json::array_t&>();
    array.push_back(std::move(v));
    return &array.back();
  }
  bool value(Json&& v) {
    place(std::move(v));
    return true;
  }
  bool open(Json&& v) {
    if (open_.size() >= depth_limit)
      fail("{}: is nested deeper than {} arrays and objects", name_, depth_limit);
    open_.push_back(place(std::move(v)));
    return true;
  }
  bool close() {
    if (mode_ == Mode::merge_pair) {
      mode_ = Mode::merges;
      ++merge_count_;
    } else if (mode_ == Mode::scored_pair) {
      mode_ = Mode::scored;
    } else if (mode_ != Mode::dom) {
      mode_ = Mode::dom;
      model_key_.clear();
    } else {
      open_.pop_back();
    }
    return true;
  }

  std::string_view name_;
  Mode mode_ = Mode::dom;
  int in_pair_ = 0;
  size_t values_ = 0, merge_count_ = 0;
  std::vector<Json*> open_;  // the arrays and objects that the next value is inside of
  Json* member_ = nullptr;   // of the object open_.back(), waiting for its value
  std::string top_key_, model_key_;
};

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool flag(const Json& object, const char* key, std::string_view place) {
  const Json* value = find(object, key);
  if (!value) return false;
  if (!value->is_boolean()) fail("{}: \"{}\" is {}, expected true or false", place, key, value->type_name());
  return value->get<bool>();
}

std::vector<AddedToken> read_added_tokens(const Json& file, std::string_view name) {
  std::vector<AddedToken> tokens;
  const Json* list = find(file, "added_tokens");
  if (!list) return tokens;
  if (!list->is_array()) fail("{}: added_tokens is {}, expected an array", name, list->type_name());
  for (const Json& item : *list) {
    const std::string place = fmt::format("{}: added_tokens[{}]", name, tokens.size());
    if (!item.is_object()) fail("{}: is {}, expected an object", place, item.type_name());
    const Json* id = find(item, "id");
    const Json* content = find(item, "content");
    if (!id || !id->is_number_unsigned()) fail("{}: expected an \"id\" that is a whole number", place);
    if (!content || !content->is_string()) fail("{}: expected a string \"content\"", place);
    AddedToken token;
    token.text = content->get<std::string>();
    if (token.text.empty() || token.text.size() > added_text_limit)
      fail("{}: \"content\" has {} bytes, expected 1 to {}", place, token.text.size(), added_text_limit);
    const uint64_t number = id->get<uint64_t>();
    if (number > INT32_MAX) fail("{}: id {} is too large", place, number);
    token.id = static_cast<int32_t>(number);
    token.special = flag(item, "special", place);
    token.single_word = flag(item, "single_word", place);
    token.lstrip = flag(item, "lstrip", place);
    token.rstrip = flag(item, "rstrip", place);
    token.normalized = flag(item, "normalized", place);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The pieces by id, from the model's vocabulary and the added tokens.
void place_pieces(const FileReader& file, TokenizerParts& parts) {
  const std::string& name = parts.name;
  const auto count = static_cast<size_t>(file.vocabulary.size());
  // Unused ids are allowed, but not so many that a short file asks for much memory.
  const uint64_t limit = 4 * (count + parts.added.size()) + 65536;
  uint64_t size = 0;
  const auto admit = [&](uint64_t id, std::string_view piece) {
    if (id >= limit) fail("{}: {} has id {}, expected one below {}", name, quote(piece), id, limit);
    size = std::max(size, id + 1);
  };
  for (size_t i = 0; i < count; ++i) admit(file.ids[i], file.vocabulary[static_cast<int32_t>(i)]);
  for (const AddedToken& token : parts.added) admit(static_cast<uint64_t>(token.id), token.text);

  if (size == 0) fail("{}: the vocabulary is empty", name);
  std::vector<std::string_view> pieces(size);
  parts.in_vocabulary.assign(size, false);
  std::vector<bool> taken(size, false);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t id = file.ids[i];
    const std::string_view piece = file.vocabulary[static_cast<int32_t>(i)];
    if (taken[id]) fail("{}: id {} belongs to {} and to {}", name, id, quote(pieces[id]), quote(piece));
    taken[id] = true;
    pieces[id] = piece;
    parts.in_vocabulary[id] = true;
  }
  for (const AddedToken& token : parts.added) {
    if (taken[token.id] && pieces[token.id] != token.text)
      fail("{}: id {} belongs to {} and to {}", name, token.id, quote(pieces[token.id]), quote(token.text));
    taken[token.id] = true;
    pieces[token.id] = token.text;
  }
  for (const std::string_view piece : pieces) parts.pieces.push(piece);
  parts.pieces.index([&](int32_t id) { return taken[id]; });
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    if (!taken[id]) continue;
    if (const int32_t first = parts.pieces.find(pieces[id]); first != id)
      fail("{}: {} has the ids {} and {}", name, quote(pieces[id]), first, id);
  }
}

std::string text_of(const Json& object, const char* key, std::string_view place,
                    std::string_view otherwise = {}) {
  const Json* value = find(object, key);
  if (!value) return std::string(otherwise);
  if (!value->is_string()) fail("{}: {} is {}, expected a string", place, key, value->type_name());
  return value->get<std::string>();
}

std::vector<Merge> resolve_merges(const FileReader& file, const TokenizerParts& parts, size_t prefix) {
  // Each token can be cut into two in so many ways; a file with more merges repeats them to make us take
  // memory.
  size_t cuts = 0;
  for (int32_t id = 0; id < parts.pieces.size(); ++id) cuts += parts.pieces[id].size();
  const size_t count = static_cast<size_t>(file.merges.size()) / 2;
  if (count > cuts) fail("{}: model has {} merges, more than its vocabulary can have", parts.name, count);
  std::vector<Merge> merges;
  merges.reserve(count);
  std::string joined;
  for (int32_t i = 0; i + 1 < file.merges.size(); i += 2) {
    const std::string_view left = file.merges[i], right = file.merges[i + 1];
    joined.assign(left);
    joined += right.substr(std::min(prefix, right.size()));
    const auto id_of = [&](std::string_view piece) {
      const int32_t id = parts.pieces.find(piece);
      if (id < 0)
        fail("{}: model.merges[{}] names {}, which is not in the vocabulary", parts.name, i / 2,
             quote(piece));
      return id;
    };
    merges.push_back({id_of(left), id_of(right), id_of(joined), static_cast<uint32_t>(i / 2)});
  }
  return merges;
}

// Reads the object "model", whose vocabulary is in `parts` already.
class ModelReader {
 public:
  ModelReader(const FileReader& file, TokenizerParts& parts)
      : file_(file), parts_(parts), place_(fmt::format("{}: model", parts.name)) {
    const Json* model = find(file.rest, "model");
    if (!model || !model->is_object()) fail("{}: has no object \"model\"", parts.name);
    model_ = model;
  }
  void read() {
    std::string type = text_of(*model_, "type", place_);
    if (type.empty()) type = guessed_type();
    const bool listed = type == "Unigram";
    if (listed ? !file_.has_scores : !file_.has_vocabulary)
      fail("{} has no {} \"vocab\"", place_, listed ? "array" : "object");
    if (type == "BPE") {
      parts_.model = bpe();
    } else if (type == "WordPiece") {
      parts_.model = wordpiece();
    } else if (type == "WordLevel") {
      WordLevelParts model;
      model.unknown_piece = text_of(*model_, "unk_token", place_, "<unk>");
      model.unknown = parts_.pieces.find(model.unknown_piece);
      parts_.model = model;
    } else if (type == "Unigram") {
      parts_.model = unigram();
    } else {
      fail("{}: has the type {}, which is not known; known are BPE, Unigram, WordLevel and WordPiece", place_,
           quote(type));
    }
  }

 private:
  // Old files leave the type out.
  std::string guessed_type() const {
    if (file_.has_scores) return "Unigram";
    if (find(*model_, "max_input_chars_per_word")) return "WordPiece";
    return file_.has_merges ? "BPE" : "WordLevel";
  }
  // ids of "<0x00>" to "<0xFF>", where the vocabulary has them.
  void find_bytes(std::array<int32_t, 256>& bytes) const {
    for (int byte = 0; byte < 256; ++byte) bytes[byte] = parts_.pieces.find(fmt::format("<0x{:02X}>", byte));
  }
  BpeParts bpe() const {
    if (!file_.has_merges) fail("{} has no array \"merges\"", place_);
    BpeParts parts;
    Bpe::Options& options = parts.options;
    if (const Json* dropout = find(*model_, "dropout")) {
      options.dropout = dropout->is_number() ? dropout->get<double>() : -1;
      if (!(options.dropout >= 0 && options.dropout <= 1))
        fail("{}: dropout is {}, expected 0 to 1", place_, dropout->dump());
    }
    options.continuing_prefix = text_of(*model_, "continuing_subword_prefix", place_);
    options.end_suffix = text_of(*model_, "end_of_word_suffix", place_);
    options.ignore_merges = flag(*model_, "ignore_merges", place_);
    options.fallback.fuse = flag(*model_, "fuse_unk", place_);
    if (flag(*model_, "byte_fallback", place_)) find_bytes(options.fallback.bytes);
    if (const std::string unknown = text_of(*model_, "unk_token", place_); !unknown.empty())
      options.fallback.unknown = id_of("unk_token", unknown);
    parts.merges = resolve_merges(file_, parts_, options.continuing_prefix.size());
    return parts;
  }
  WordPieceParts wordpiece() const {
    WordPieceParts parts;
    parts.unknown_piece = text_of(*model_, "unk_token", place_, "[UNK]");
    parts.unknown = parts_.pieces.find(parts.unknown_piece);
    parts.continuing_prefix = text_of(*model_, "continuing_subword_prefix", place_, "##");
    if (const Json* longest = find(*model_, "max_input_chars_per_word")) {
      if (!longest->is_number_unsigned())
        fail("{}: max_input_chars_per_word is {}, expected a whole number", place_, longest->dump());
      parts.longest_word = static_cast<int64_t>(std::min<uint64_t>(longest->get<uint64_t>(), INT32_MAX));
    }
    return parts;
  }
  UnigramParts unigram() const {
    UnigramParts parts;
    parts.scores.assign(static_cast<size_t>(parts_.pieces.size()), 0);
    parts.written = parts.scores;
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < file_.scores.size(); ++i) {
      if (!std::isfinite(file_.scores[i])) fail("{}: vocab[{}] has a score that is not finite", place_, i);
      parts.written[i] = file_.scores[i];
      parts.scores[i] = as_tokenizers_reads(file_.scores[i]);
      least = std::min(least, parts.scores[i]);
    }
    // What an unknown character costs beside the least probable token, as in SentencePiece.
    constexpr double unknown_penalty = 10;
    parts.unknown_score = least - unknown_penalty;
    if (const Json* unknown = find(*model_, "unk_id")) {
      if (!unknown->is_number_unsigned() || unknown->get<uint64_t>() >= file_.scores.size())
        fail("{}: unk_id is {}, expected one of the {} entries", place_, unknown->dump(),
             file_.scores.size());
      parts.unknown = unknown->get<int32_t>();
    }
    if (flag(*model_, "byte_fallback", place_)) find_bytes(parts.bytes);
    return parts;
  }
  int32_t id_of(const char* key, const std::string& piece) const {
    const int32_t id = parts_.pieces.find(piece);
    if (id < 0) fail("{}.{} {} is not in the vocabulary", place_, key, quote(piece));
    return id;
  }

  const FileReader& file_;
  TokenizerParts& parts_;
  std::string place_;
  const Json* model_;
};

std::string token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return {};
}

std::string default_template(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return {};
  for (const Json& item : value) {
    const bool named = item.is_object() && item.contains("name") && item.contains("template");
    if (named && item["name"] == "default" && item["template"].is_string())
      return item["template"].get<std::string>();
  }
  return {};
}

void add_stop(Tokenizer& tokenizer, int64_t id) {
  if (id < 0 || id >= tokenizer.size()) return;
  const auto stop = static_cast<int32_t>(id);
  if (std::find(tokenizer.stop.begin(), tokenizer.stop.end(), stop) == tokenizer.stop.end())
    tokenizer.stop.push_back(stop);
}

void read_neighbours(const std::filesystem::path& directory, Tokenizer& tokenizer) {
  const auto config_path = directory / "tokenizer_config.json";
  if (std::filesystem::exists(config_path)) {
    const Json config = read_json(config_path);
    if (!config.is_object()) fail("{}: is {}, expected an object", config_path.string(), config.type_name());
    if (const Json* bos = find(config, "bos_token")) tokenizer.bos = tokenizer.id_of(token_text(*bos));
    if (const Json* eos = find(config, "eos_token")) tokenizer.eos = tokenizer.id_of(token_text(*eos));
    if (find(config, "add_bos_token"))
      tokenizer.add_bos = flag(config, "add_bos_token", config_path.string());
    if (const Json* chat = find(config, "chat_template")) tokenizer.chat_template = default_template(*chat);
  }
  if (const auto path = directory / "chat_template.jinja"; std::filesystem::exists(path))
    tokenizer.chat_template = read_file(path, uint64_t{1} << 20);
  if (tokenizer.eos) add_stop(tokenizer, *tokenizer.eos);
  if (const auto path = directory / "generation_config.json"; std::filesystem::exists(path)) {
    const Json config = read_json(path);
    const Json* eos = config.is_object() ? find(config, "eos_token_id") : nullptr;
    if (eos && eos->is_number_integer()) add_stop(tokenizer, eos->get<int64_t>());
    if (eos && eos->is_array()) {
      for (const Json& id : *eos) {
        if (id.is_number_integer()) add_stop(tokenizer, id.get<int64_t>());
      }
    }
  }
}

}  // namespace

std::shared_ptr<Tokenizer> parse_tokenizer_json(std::string_view text, std::string_view name) {
  TokenizerParts parts;
  parts.name = name;
  {
    FileReader file(name);
    Json::sax_parse(text.begin(), text.end(), &file);
    if (!file.rest.is_object()) fail("{}: is {}, expected an object", name, file.rest.type_name());
    ModelReader model(file, parts);
    parts.added = read_added_tokens(file.rest, name);
    place_pieces(file, parts);
    model.read();
    const auto component = [&](const char* key) {
      const Json* value = find(file.rest, key);
      return value ? value->dump() : std::string("null");
    };
    parts.components = {component("normalizer"), component("pre_tokenizer"), component("post_processor"),
                        component("decoder")};
  }
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  if (!tokenizer->before.empty()) {
    tokenizer->bos = tokenizer->before[0];
    tokenizer->add_bos = true;
  }
  return tokenizer;
}

std::shared_ptr<Tokenizer> read_tokenizer_json(const std::filesystem::path& path) {
  const auto file = std::filesystem::is_directory(path) ? path / "tokenizer.json" : path;
  auto tokenizer = read_mapped(
      file, [&](const auto& mapped) { return parse_tokenizer_json(mapped->text(), file.string()); });
  read_neighbours(file.parent_path(), *tokenizer);
  return tokenizer;
}

}  // namespace intarsia

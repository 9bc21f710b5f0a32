// Tokenizer to tokenizer.json and tokenizer_config.json, as Hugging Face's libraries read them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

// The piece as a JSON string.
std::string json_string(std::string_view text, std::string_view what) {
  if (const size_t valid = valid_utf8_prefix(text); valid < text.size())
    fail("save: {} {} is not UTF-8, which tokenizer.json can't hold", what, quote(text));
  return Json(text).dump();
}

// The post-processor that puts a token before each text.
std::string put_before(int32_t id, std::string_view piece) {
  const Json token = {{"SpecialToken", {{"id", piece}, {"type_id", 0}}}};
  const Json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
             second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  Json processor = {{"type", "TemplateProcessing"}};
  processor["single"] = {token, first};
  processor["pair"] = {token, first, second};
  processor["special_tokens"][std::string(piece)] = {{"id", piece}, {"ids", {id}}, {"tokens", {piece}}};
  return processor.dump();
}

const char* json_bool(bool value) { return value ? "true" : "false"; }

}  // namespace

void PipelineTokenizer::save(const std::filesystem::path& directory) const {
  const Bpe::Options& options = model_->options();
  std::string out =
      "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  std::vector<const AddedToken*> added;
  for (const AddedToken& token : added_) added.push_back(&token);
  std::sort(added.begin(), added.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  for (const AddedToken* token : added) {
    out += fmt::format(
        "{}\n    {{\"id\": {}, \"content\": {}, \"single_word\": {}, \"lstrip\": {}, \"rstrip\": {}, "
        "\"normalized\": {}, "
        "\"special\": {}}}",
        token == added[0] ? "" : ",", token->id, json_string(token->text, "token"),
        json_bool(token->single_word), json_bool(token->lstrip), json_bool(token->rstrip),
        json_bool(token->normalized), json_bool(token->special));
  }
  out += "\n  ],\n  \"normalizer\": " + components_.normalizer;
  out += ",\n  \"pre_tokenizer\": " + components_.pre_tokenizer;
  const bool needs_bos = add_bos && bos && components_.post_processor == "null";
  out += ",\n  \"post_processor\": " +
         (needs_bos ? put_before(*bos, pieces_[*bos]) : components_.post_processor);
  out += ",\n  \"decoder\": " + components_.decoder;
  const bool byte_fallback = std::any_of(options.fallback.bytes.begin(), options.fallback.bytes.end(),
                                         [](int32_t id) { return id >= 0; });
  out += fmt::format(
      ",\n  \"model\": {{\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": {}, "
      "\"continuing_subword_prefix\": null,\n"
      "    \"end_of_word_suffix\": null, \"fuse_unk\": {}, \"byte_fallback\": {}, \"ignore_merges\": {},\n   "
      " \"vocab\": {{",
      options.fallback.unknown < 0 ? "null" : json_string(pieces_[options.fallback.unknown], "token"),
      json_bool(options.fallback.fuse), json_bool(byte_fallback), json_bool(options.ignore_merges));
  bool first = true;
  for (int32_t id = 0; id < size(); ++id) {
    const std::string_view piece = pieces_[id];
    // Of equal pieces a JSON object can hold one only.
    if (!in_vocabulary_[id] || piece.empty() || pieces_.find(piece) != id) continue;
    out += first ? "\n" : ",\n";
    first = false;
    out += "      " + json_string(piece, "token") + ": " + std::to_string(id);
  }
  out += "\n    },\n    \"merges\": [";
  first = true;
  for (const Merge& merge : model_->merges().list()) {
    out += first ? "\n" : ",\n";
    first = false;
    out += "      [" + json_string(pieces_[merge.left], "token") + ", " +
           json_string(pieces_[merge.right], "token") + "]";
  }
  out += "\n    ]\n  }\n}\n";

  Json config = Json::object();
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  config["add_bos_token"] = add_bos;
  config["bos_token"] = bos ? Json(pieces_[*bos]) : Json();
  config["eos_token"] = eos ? Json(pieces_[*eos]) : Json();
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  make_directories(directory);
  write_file(directory / "tokenizer.json", out);
  write_file(directory / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace intarsia

// Tokenizer to tokenizer.json and tokenizer_config.json, as Hugging Face's libraries read them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

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

}  // namespace

void PipelineTokenizer::save(const std::filesystem::path& directory) const {
  if (const auto* model = dynamic_cast<const Unigram*>(model_.get()); model && model->parts().by_bytes) {
    make_directories(directory);
    return write_file(directory / "bytepiece.json", model->json(vocabulary_) + "\n");
  }
  std::string out =
      "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  std::vector<const AddedToken*> added;
  added.reserve(added_.size());
  for (const AddedToken& token : added_) added.push_back(&token);
  std::sort(added.begin(), added.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  for (const AddedToken* token : added) {
    out += fmt::format(
        "{}\n    {{\"id\": {}, \"content\": {}, \"single_word\": {}, \"lstrip\": {}, \"rstrip\": {}, "
        "\"normalized\": {}, "
        "\"special\": {}}}",
        token == added[0] ? "" : ",", token->id, json_text(token->text), token->single_word, token->lstrip,
        token->rstrip, token->normalized, token->special);
  }
  out += "\n  ],\n  \"normalizer\": " + components_.normalizer;
  out += ",\n  \"pre_tokenizer\": " + components_.pre_tokenizer;
  const bool needs_bos = add_bos && bos && components_.post_processor == "null";
  out += ",\n  \"post_processor\": " +
         (needs_bos ? put_before(*bos, vocabulary_.pieces[*bos]) : components_.post_processor);
  out += ",\n  \"decoder\": " + components_.decoder;
  out += ",\n  \"model\": " + model_->json(vocabulary_) + "\n}\n";

  Json config = Json::object();
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  config["add_bos_token"] = add_bos;
  config["bos_token"] = bos ? Json(vocabulary_.pieces[*bos]) : Json();
  config["eos_token"] = eos ? Json(vocabulary_.pieces[*eos]) : Json();
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  make_directories(directory);
  write_file(directory / "tokenizer.json", out);
  write_file(directory / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace intarsia

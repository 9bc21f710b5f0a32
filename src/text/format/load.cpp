#include "core/fail.h"
#include "data/file.h"
#include "data/gguf.h"
#include "intarsia/tokenizer.h"
#include "text/format/bytepiece.h"
#include "text/format/llama2c_tokenizer.h"
#include "text/format/sentencepiece.h"
#include "text/format/tiktoken.h"
#include "text/format/tokenizer_gguf.h"
#include "text/format/tokenizer_json.h"

namespace intarsia {

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    for (const char* name : {"tokenizer.model", "spiece.model", "bytepiece.json"}) {
      const bool other = !std::filesystem::exists(path / "tokenizer.json");
      if (other && std::filesystem::exists(path / name)) return load_tokenizer(path / name);
    }
    if (!std::filesystem::exists(path / "tokenizer.json"))
      fail_hint("name a tokenizer with --tokenizer", "{}: holds no tokenizer.json", path.string());
    return read_tokenizer_json(path);
  }
  return read_mapped(path, [&](const auto& file) -> std::shared_ptr<const Tokenizer> {
    if (file->text().starts_with("GGUF")) return tokenizer_from_gguf(parse_gguf(file));
    const size_t start = file->text().find_first_not_of(" \t\r\n");
    if (is_bytepiece(file->text())) return parse_bytepiece(file->text(), path.string());
    if (path.extension() == ".json" || (start != std::string_view::npos && file->text()[start] == '{'))
      return read_tokenizer_json(path);
    if (is_rwkv_vocabulary(file->text())) return parse_rwkv_vocabulary(file->text(), path.string());
    if (is_tiktoken(file->text())) return parse_tiktoken(file->text(), path.string());
    if (is_sentencepiece(file->text())) return parse_sentencepiece(file->text(), path.string());
    return parse_llama2c_tokenizer(file->text(), path.string());
  });
}

}  // namespace intarsia

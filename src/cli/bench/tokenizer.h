// intarsia bench tokenizer: against tiktoken, Hugging Face's tokenizers, sentencepiece and bytepiece.
#pragma once
#include <string>

namespace intarsia::cli {

struct TokenizerBench {
  std::string python;  // of the peers
  std::string script = "bench/tokenizer_peer.py";
  std::string data;  // folder of tokenizers and texts
  std::string only;  // names of tokenizers that contain it
  int rounds = 3;
  bool json = false;
};
void bench_tokenizer(const TokenizerBench& options);

}  // namespace intarsia::cli

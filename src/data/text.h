// Text from files of any size, in chunks; and tokenized text in mapped shards, made once.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"

namespace intarsia {

struct TextOptions {
  std::string field = "text";      // of JSON lines
  size_t chunk = size_t{1} << 20;  // bytes that a chunk is about
};

// The text of a file, or of a directory's text files (below it too, in the order of their paths; hidden ones
// are left out): plain text or JSON lines (.jsonl, .ndjson: one document a line, in `field`), gzipped or not.
// A file that does not look like UTF-8 text is an error if named, and is skipped if found in a directory.
class TextSource {
 public:
  explicit TextSource(const std::filesystem::path& path, const TextOptions& options = {});
  ~TextSource();
  TextSource(TextSource&&) noexcept;

  // The next chunk, false at the end. A file is cut before a space that follows a word, where there is one,
  // and never inside a character; where the cuts lie depends on the file and the options only.
  bool next(std::string& chunk);
  // Whether the last chunk was the end of a document (a file, or one of the JSON lines).
  bool document_ended() const;
  void rewind();

  const std::vector<std::filesystem::path>& files() const;
  uint64_t bytes() const;     // on disk, of all files
  uint64_t position() const;  // on disk, read so far: for progress
  // Changes when a file's path, size or time does.
  std::string fingerprint() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

using Encode = std::function<std::vector<int32_t>(std::string_view)>;  // called from several threads at once

struct TokenOptions {
  int64_t vocabulary = 0;            // ids are below this
  int32_t separator = -1;            // id put after each document; negative: none
  double validation = 0.1;           // the last part of the tokens, at least one token if not 0
  int64_t shard = int64_t{1} << 26;  // tokens in a file
  std::string tokenizer = {};  // changes when the tokenizer does, so that old shards are not taken for new
  std::function<bool(uint64_t done, uint64_t total)> progress =
      {};  // of the text's bytes on disk; false cancels
};

// Tokens 0 .. size-1 of a text, in mapped files of a directory. Training tokens come first: [0, train_size).
class TokenShards {
 public:
  // Opens the directory's shards if they were made from the same text, tokenizer and options; else makes
  // them. Each file is whole or absent, and the manifest comes last, so that a killed run starts over and
  // nothing half-made is read.
  static TokenShards prepare(const std::filesystem::path& directory, TextSource& text, const Encode& encode,
                             const TokenOptions& options, FileSystem& files = system_files());
  // Opens what prepare() made, whether or not the text is still there.
  static TokenShards open(const std::filesystem::path& directory);

  int64_t size() const { return size_; }
  int64_t train_size() const { return train_size_; }
  int64_t validation_size() const { return size_ - train_size_; }
  int64_t vocabulary() const { return vocabulary_; }
  // Copies tokens [begin, begin + out.size()); throws if outside, or if an id is not below the vocabulary.
  void read(int64_t begin, std::span<int32_t> out) const;
  // Compares every shard with its hash; throws at the first that differs.
  void verify() const;

 private:
  struct Shard {
    std::shared_ptr<const MappedFile> file;
    int64_t first, count;
    std::string hash;
  };
  std::vector<Shard> shards_;
  int64_t size_ = 0, train_size_ = 0, vocabulary_ = 0;
  int width_ = 2;  // bytes of an id
};

}  // namespace intarsia

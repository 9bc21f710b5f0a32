#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/fail.h"
#include "core/threads.h"
#include "data/json.h"
#include "data/text.h"

namespace intarsia {

namespace {

constexpr char magic[8] = {'I', 'T', 'O', 'K', 'E', 'N', 'S', '1'};
constexpr const char* manifest_name = "tokens.json";
constexpr const char* manifest_format = "intarsia tokens 1";
constexpr size_t most_shards = 1 << 20, batch_bytes_per_thread = size_t{1} << 20;

// What every shard starts with; then come ids of `width` bytes, little endian, to the end of the file.
struct ShardHeader {
  char mark[8];
  uint32_t width, unused;
  uint64_t first, vocabulary;
};
static_assert(sizeof(ShardHeader) == 32);

std::string shard_name(size_t index) { return fmt::format("tokens-{:05}.bin", index); }

int width_for(int64_t vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

std::string key_of(const TextSource& text, const TokenOptions& options) {
  return sha256(fmt::format("{} {} {} {} {} {} {}", manifest_format, text.fingerprint(), options.vocabulary,
                            options.separator, options.validation, options.shard, options.tokenizer));
}

int64_t train_size_of(int64_t size, double validation) {
  auto train = static_cast<int64_t>(std::floor(static_cast<double>(size) * (1.0 - validation)));
  if (validation > 0 && train == size) train--;
  return std::clamp<int64_t>(train, 0, size);
}

// Cuts the stream of ids into files, each written as its ids come.
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& directory, const TokenOptions& options, FileSystem& files)
      : directory_(directory), options_(options), files_(files), width_(width_for(options.vocabulary)) {}

  void add(std::span<const int32_t> ids) {
    for (int32_t id : ids) {
      if (id < 0 || id >= options_.vocabulary)
        fail("tokens: the tokenizer gave id {}, expected 0 to {}", id, options_.vocabulary - 1);
      const auto bits = static_cast<uint32_t>(id);
      pending_.append(reinterpret_cast<const char*>(&bits), static_cast<size_t>(width_));  // little endian
      held_++;
      if (pending_.size() >= step || held_ == options_.shard) flush();
      if (held_ == options_.shard) close();
    }
  }
  void finish() {
    if (held_ == 0) return;
    flush();
    close();
  }
  int64_t size() const { return first_; }
  Json list() && { return std::move(list_); }

 private:
  static constexpr size_t step = size_t{1} << 16;

  void flush() {
    if (!out_) open();
    out_->write(pending_);
    hash_->update(pending_);
    pending_.clear();
  }
  void open() {
    if (list_.size() == most_shards)
      fail("tokens: more than {} shards of {} tokens", most_shards, options_.shard);
    ShardHeader header{};
    std::memcpy(header.mark, magic, sizeof magic);
    header.width = static_cast<uint32_t>(width_);
    header.first = static_cast<uint64_t>(first_);
    header.vocabulary = static_cast<uint64_t>(options_.vocabulary);
    out_ = std::make_unique<FileWriter>(directory_ / shard_name(list_.size()), files_);
    out_->write(&header, sizeof header);
    hash_ = std::make_unique<Sha256>();
  }
  void close() {
    out_->commit();
    out_.reset();
    list_.push_back({{"file", shard_name(list_.size())}, {"tokens", held_}, {"sha256", hash_->hex()}});
    first_ += held_;
    held_ = 0;
  }

  const std::filesystem::path& directory_;
  const TokenOptions& options_;
  FileSystem& files_;
  const int width_;
  int64_t first_ = 0, held_ = 0;  // tokens in closed shards, and in the open one
  std::string pending_;
  std::unique_ptr<FileWriter> out_;
  std::unique_ptr<Sha256> hash_;
  Json list_ = Json::array();
};

struct Piece {
  std::string text;
  bool ends_document;
};

// The next pieces of text, enough to keep the threads busy.
std::vector<Piece> next_batch(TextSource& text) {
  const size_t wanted = batch_bytes_per_thread * static_cast<size_t>(thread_count());
  std::vector<Piece> batch;
  size_t bytes = 0;
  std::string chunk;
  while (bytes < wanted && text.next(chunk)) {
    bytes += chunk.size() + sizeof(Piece);
    batch.push_back({std::move(chunk), text.document_ended()});
  }
  return batch;
}

void tokenize(TextSource& text, const Encode& encode, const TokenOptions& options, ShardWriter& writer) {
  text.rewind();
  for (std::vector<Piece> batch = next_batch(text); !batch.empty(); batch = next_batch(text)) {
    std::vector<std::vector<int32_t>> ids(batch.size());
    parallel_for(static_cast<int64_t>(batch.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); i++)
        ids[i] = encode(batch[i].text);
    });
    for (size_t i = 0; i < batch.size(); i++) {
      writer.add(ids[i]);
      if (batch[i].ends_document && options.separator >= 0) writer.add(std::span(&options.separator, 1));
    }
    if (options.progress && !options.progress(text.position(), text.bytes())) fail("tokens: cancelled");
  }
  writer.finish();
}

// Files of an earlier text or of a killed run.
void remove_leftovers(const std::filesystem::path& directory, size_t shards, FileSystem& files) {
  std::error_code error;
  std::vector<std::filesystem::path> old;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with("tokens")) continue;
    const bool current =
        name.ends_with(".bin") && name < shard_name(shards) && name.size() == shard_name(0).size();
    if (name != manifest_name && !current) old.push_back(it->path());
  }
  for (const std::filesystem::path& path : old) remove_file(path, files);
}

template <class T>
T field(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) fail("{}: \"{}\" is missing", where, key);
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) fail("{}: \"{}\" is no string", where, key);
  } else {
    if (!found->is_number_unsigned() || found->get<uint64_t>() > uint64_t{1} << 60)
      fail("{}: \"{}\" is no whole number", where, key);
  }
  return found->get<T>();
}

template <class T>
void widen(const char* from, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); i++) {
    T id;
    std::memcpy(&id, from + i * sizeof id, sizeof id);
    out[i] = static_cast<int32_t>(id);
  }
}

}  // namespace

TokenShards TokenShards::prepare(const std::filesystem::path& directory, TextSource& text,
                                 const Encode& encode, const TokenOptions& options, FileSystem& files) {
  if (options.vocabulary < 1 || options.vocabulary > INT32_MAX)
    fail("tokens: vocabulary is {}, expected 1 to {}", options.vocabulary, INT32_MAX);
  if (options.shard < 1) fail("tokens: a shard of {} tokens, expected at least 1", options.shard);
  if (!(options.validation >= 0 && options.validation < 1))
    fail("tokens: validation is {}, expected a fraction from 0 to below 1", options.validation);
  const std::string key = key_of(text, options);
  const std::filesystem::path manifest = directory / manifest_name;
  std::error_code ignored;
  if (std::filesystem::exists(manifest, ignored)) {
    try {
      if (field<std::string>(read_json(manifest), "key", manifest.string()) == key) return open(directory);
    } catch (const Error&) {
      // A damaged cache is made anew.
    }
    remove_file(manifest, files);
  }
  make_directories(directory, files);
  ShardWriter writer(directory, options, files);
  tokenize(text, encode, options, writer);
  if (writer.size() == 0) fail("{}: the text gives no tokens", text.files().front().string());
  const int64_t size = writer.size();
  Json list = std::move(writer).list();
  remove_leftovers(directory, list.size(), files);
  const Json record = {{"format", manifest_format},
                       {"key", key},
                       {"vocabulary", options.vocabulary},
                       {"size", size},
                       {"train", train_size_of(size, options.validation)},
                       {"shards", std::move(list)}};
  write_file(manifest, record.dump(1) + "\n", files);
  return open(directory);
}

TokenShards TokenShards::open(const std::filesystem::path& directory) {
  const std::filesystem::path manifest = directory / manifest_name;
  const std::string where = manifest.string();
  const Json record = read_json(manifest);
  if (!record.is_object() || field<std::string>(record, "format", where) != manifest_format)
    fail("{}: is no list of token shards", where);
  TokenShards result;
  result.vocabulary_ = field<int64_t>(record, "vocabulary", where);
  result.width_ = width_for(result.vocabulary_);
  result.train_size_ = field<int64_t>(record, "train", where);
  const auto list = record.find("shards");
  if (list == record.end() || !list->is_array() || list->size() > most_shards)
    fail("{}: \"shards\" is no list of shards", where);
  for (const Json& entry : *list) {
    Shard shard;
    if (!entry.is_object()) fail("{}: \"shards\" is no list of shards", where);
    const auto name = field<std::string>(entry, "file", where);
    if (name != shard_name(result.shards_.size())) fail("{}: a shard is called {}", where, quote(name));
    shard.first = result.size_;
    shard.count = field<int64_t>(entry, "tokens", where);
    shard.hash = field<std::string>(entry, "sha256", where);
    shard.file = MappedFile::open(directory / name);
    ShardHeader header{};
    if (shard.file->size() >= sizeof header) std::memcpy(&header, shard.file->data(), sizeof header);
    const auto count = static_cast<uint64_t>(shard.count);
    if (std::memcmp(header.mark, magic, sizeof magic) != 0 || header.unused != 0 ||
        header.vocabulary != static_cast<uint64_t>(result.vocabulary_) ||
        header.width != static_cast<uint32_t>(result.width_) ||
        header.first != static_cast<uint64_t>(shard.first) ||
        shard.file->size() != sizeof header + count * header.width)
      fail_hint("delete the folder, it will be made again",
                "{}: does not hold the {} tokens from {} on that {} lists", shard.file->name(), shard.count,
                shard.first, where);
    result.size_ += shard.count;
    result.shards_.push_back(std::move(shard));
  }
  if (result.size_ != field<int64_t>(record, "size", where) || result.train_size_ > result.size_)
    fail("{}: the sizes do not fit together", where);
  return result;
}

void TokenShards::read(int64_t begin, std::span<int32_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || begin > size_ || count > size_ - begin)
    fail("tokens: {} from {} on asked for, expected a range within {}", count, begin, size_);
  auto shard = std::upper_bound(shards_.begin(), shards_.end(), begin, [](int64_t position, const Shard& s) {
    return position < s.first + s.count;
  });
  size_t done = 0;
  while (done < out.size()) {
    const int64_t inside = begin + static_cast<int64_t>(done) - shard->first;
    const auto here =
        static_cast<size_t>(std::min(shard->count - inside, count - static_cast<int64_t>(done)));
    const char* from = shard->file->data() + sizeof(ShardHeader) + inside * width_;
    const std::span<int32_t> part = out.subspan(done, here);
    if (width_ == 2)
      widen<uint16_t>(from, part);
    else
      widen<uint32_t>(from, part);
    shard->file->check();
    for (int32_t id : part)
      if (id < 0 || id >= vocabulary_)
        fail("{}: holds id {}, expected 0 to {}", shard->file->name(), id, vocabulary_ - 1);
    done += here;
    ++shard;
  }
}

void TokenShards::verify() const {
  for (const Shard& shard : shards_) {
    const std::string found = sha256(shard.file->text().substr(sizeof(ShardHeader)));
    shard.file->check();
    if (found != shard.hash)
      fail("{}: the tokens' SHA-256 is {}, the manifest says {}", shard.file->name(), found,
           quote(shard.hash));
  }
}

}  // namespace intarsia

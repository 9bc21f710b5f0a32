#include "data/text.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/fail.h"
#include "data/gzip.h"
#include "data/json.h"

namespace intarsia {

namespace {

constexpr size_t looked_at = size_t{64} << 10;     // bytes that tell text from other files
constexpr size_t longest_line = size_t{16} << 20;  // of JSON lines
constexpr size_t read_step = size_t{256} << 10;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// A file from start to end, unpacked if it is gzip.
class Stream {
 public:
  explicit Stream(const std::filesystem::path& path) : file_(path) {}

  // Appends up to read_step bytes; false at the end.
  bool read(std::string& to) {
    const size_t before = to.size();
    to.resize(before + read_step);
    const size_t got = bytes_.read(to.data() + before, read_step);
    to.resize(before + got);
    return got > 0;
  }
  uint64_t position() const { return file_.position(); }

 private:
  std::string_view input() {
    buffer_.resize(read_step);
    buffer_.resize(file_.read(buffer_.data(), read_step));
    return buffer_;
  }
  SequentialFile file_;
  std::string buffer_;
  Unpacker bytes_{[this] { return input(); }, file_.name()};
};

// Whether the beginning of a file is UTF-8 without zero bytes; `whole`: it does not go on.
bool looks_like_text(std::string_view start, bool whole) {
  if (start.find('\0') != std::string_view::npos) return false;
  size_t at = 0;
  while (at < start.size()) {
    const size_t length = character_length(start.substr(at));
    if (length == 0) return !whole && start.size() - at < 4;  // perhaps a character that was cut
    at += length;
  }
  return true;
}

bool looks_like_text(const std::filesystem::path& path) {
  Stream stream(path);
  std::string start;
  bool more = true;
  while (more && start.size() < looked_at) more = stream.read(start);
  const bool whole = !more;
  if (start.size() > looked_at) start.resize(looked_at);
  return looks_like_text(start, whole && start.size() < looked_at);
}

bool holds_json_lines(std::filesystem::path path) {
  if (path.extension() == ".gz") path = path.stem();
  return path.extension() == ".jsonl" || path.extension() == ".ndjson";
}

// Where a text longer than `most` is cut: in its second half before a space that follows a word, since no
// pre-tokenizer joins those; else after a line; else between two characters.
size_t cut_place(std::string_view text, size_t most) {
  for (size_t i = most; i > most / 2; i--)
    if (text[i] == ' ' && !is_space(text[i - 1])) return i;
  const size_t line = text.rfind('\n', most - 1);
  if (line != std::string_view::npos && line > most / 2) return line + 1;
  size_t cut = most;
  for (int back = 0; back < 3 && cut > 1 && (text[cut] & 0xC0) == 0x80; back++) cut--;
  return cut;
}

std::vector<std::filesystem::path> text_files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  std::filesystem::recursive_directory_iterator it(directory, error), end;
  for (; !error && it != end; it.increment(error)) {
    const bool hidden = it->path().filename().native().starts_with('.');
    std::error_code unknown;
    if (hidden && it->is_directory(unknown)) it.disable_recursion_pending();
    if (hidden || !it->is_regular_file(unknown) || it->file_size(unknown) == 0) continue;
    if (looks_like_text(it->path())) found.push_back(it->path());
  }
  if (error) fail("{}: cannot read the directory: {}", directory.string(), error.message());
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.native() < b.native(); });
  if (found.empty()) fail("{}: the directory holds no text file", directory.string());
  return found;
}

}  // namespace

// ---- TextSource

struct TextSource::State {
  TextOptions options;
  std::filesystem::path root;
  std::vector<std::filesystem::path> files;
  std::vector<uint64_t> sizes;
  uint64_t bytes = 0, before = 0;  // of all files, and of those that are done
  size_t index = 0;                // of the file that is read
  std::unique_ptr<Stream> stream;
  bool more = false;     // the stream has not ended
  bool lines = false;    // of JSON
  std::string held;      // read, not yet handed out
  size_t start = 0;      // of what is left in `held`
  std::string document;  // JSON lines: the rest of a document longer than a chunk
  uint64_t line = 0;
  bool ended = false;

  void open_file() {
    stream = std::make_unique<Stream>(files[index]);
    lines = holds_json_lines(files[index]);
    more = true;
    held.clear();
    start = 0;
    line = 0;
  }
  void close_file() {
    stream.reset();
    before += sizes[index];
    index++;
  }
  std::string_view left() const { return std::string_view(held).substr(start); }
  void fill() {
    held.erase(0, start);
    start = 0;
    more = stream->read(held);
  }
  // A piece of at most about options.chunk bytes; returns true if it is all there was.
  bool split(std::string_view text, std::string& chunk) const {
    const size_t cut = text.size() > options.chunk ? cut_place(text, options.chunk) : text.size();
    chunk.assign(text.substr(0, cut));
    return cut == text.size();
  }
  bool next_plain(std::string& chunk) {
    while (more && left().size() <= options.chunk) fill();
    if (left().empty()) return false;
    ended = split(left(), chunk) && !more;
    start += chunk.size();
    return true;
  }
  bool next_line(std::string& chunk);
  std::string text_of_line(std::string_view text) const;
};

std::string TextSource::State::text_of_line(std::string_view text) const {
  const std::string where = fmt::format("{}: line {}", files[index].string(), line);
  const Json value = parse_json(text, where);
  if (!value.is_object())
    fail("{}: is no JSON object, expected one with the field {}", where, quote(options.field));
  const auto field = value.find(options.field);
  if (field == value.end() || !field->is_string()) {
    std::string keys;
    for (const auto& [key, ignored] : value.items()) {
      if (keys.size() > 100) break;
      keys += (keys.empty() ? "" : ", ") + quote(key, 30);
    }
    fail_hint("name the field that holds the text", "{}: has no text field {}, found {}", where,
              quote(options.field), keys.empty() ? "none" : keys);
  }
  return field->get<std::string>();
}

bool TextSource::State::next_line(std::string& chunk) {
  while (document.empty()) {
    size_t end = left().find('\n');
    for (size_t searched = left().size(); end == std::string_view::npos && more; searched = left().size()) {
      if (searched > longest_line)
        fail("{}: line {} is longer than {} bytes", files[index].string(), line + 1, longest_line);
      fill();
      end = left().find('\n', searched);
    }
    const std::string_view text = left().substr(0, end);
    if (text.empty() && end == std::string_view::npos) return false;
    line++;
    const bool blank = std::all_of(text.begin(), text.end(), is_space);
    if (!blank) document = text_of_line(text);
    start += text.size() + (end == std::string_view::npos ? 0 : 1);
  }
  ended = split(document, chunk);
  document.erase(0, chunk.size());
  return true;
}

TextSource::TextSource(const std::filesystem::path& path, const TextOptions& options)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->options.chunk = std::max<size_t>(options.chunk, 16);
  state_->root = path;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    state_->files = text_files(path);
  } else {
    if (!looks_like_text(path)) fail("{}: is not UTF-8 text", path.string());
    state_->files = {path};
  }
  for (const std::filesystem::path& file : state_->files) {
    const uint64_t size = std::filesystem::file_size(file, error);
    if (error) fail("{}: cannot read: {}", file.string(), error.message());
    state_->sizes.push_back(size);
    state_->bytes += size;
  }
  if (state_->bytes == 0) fail("{}: the file is empty", path.string());
}

TextSource::~TextSource() = default;
TextSource::TextSource(TextSource&&) noexcept = default;

bool TextSource::next(std::string& chunk) {
  State& s = *state_;
  while (s.index < s.files.size()) {
    if (!s.stream) s.open_file();
    if (s.lines ? s.next_line(chunk) : s.next_plain(chunk)) return true;
    s.close_file();
  }
  return false;
}

bool TextSource::document_ended() const { return state_->ended; }

void TextSource::rewind() {
  state_->stream.reset();
  state_->document.clear();
  state_->index = 0;
  state_->before = 0;
  state_->ended = false;
}

const std::vector<std::filesystem::path>& TextSource::files() const { return state_->files; }
uint64_t TextSource::bytes() const { return state_->bytes; }
uint64_t TextSource::position() const {
  return state_->before + (state_->stream ? state_->stream->position() : 0);
}

std::string TextSource::fingerprint() const {
  std::string text = fmt::format("{} {}\n", quote(state_->options.field, 1000), state_->options.chunk);
  for (size_t i = 0; i < state_->files.size(); i++) {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(state_->files[i], error).time_since_epoch().count();
    const std::string path = state_->files[i].lexically_relative(state_->root).string();
    text += fmt::format("{} {} {}\n", quote(path, 5000), state_->sizes[i], time);
  }
  return sha256(text);
}

}  // namespace intarsia

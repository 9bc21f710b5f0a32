#include "cli/bench/texts.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "data/text.h"

namespace intarsia::cli {

namespace fs = std::filesystem;

WorkFolder::WorkFolder() : path_(fs::temp_directory_path() / fmt::format("intarsia-bench-{}", getpid())) {
  make_directories(path_);
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string whole_text(const fs::path& file) {
  std::string text;
  TextSource source(file);
  for (std::string chunk; source.next(chunk);) text += chunk;
  return text;
}

namespace {

// Runs a program with its output in a file; false if there is none or it failed.
bool run(std::vector<std::string> words, const fs::path& output) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const bool started = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return started && waitpid(child, &status, 0) == child && status == 0;
}

// The book with a verse a line, without their names.
std::string king_james(const fs::path& folder) {
  const fs::path file = folder / "bible.txt";
  if (!run({"bible", "-f", "gen1:1-rev22:21"}, file)) return {};
  const std::string verses = read_file(file);
  std::string text;
  for (size_t begin = 0; begin < verses.size();) {
    const size_t end = std::min(verses.find('\n', begin), verses.size() - 1) + 1;
    const size_t space = verses.find(' ', begin);
    text.append(verses, std::min(space + 1, end), end - std::min(space + 1, end));
    begin = end;
  }
  return text;
}

// Lines of the poems of an archive of JSON files, about 3 MB.
std::string poems(const fs::path& archive, const fs::path& folder) {
  constexpr size_t most = 3'300'000;
  const fs::path unpacked = folder / "poems";
  make_directories(unpacked);
  if (!fs::exists(archive) ||
      !run({"tar", "xzf", archive.string(), "-C", unpacked.string()}, folder / "tar.log"))
    return {};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(unpacked)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) {
    for (const Json& poem : read_json(file)) {
      for (const Json& line : poem.value("paragraphs", Json::array())) text += line.get<std::string>() + "\n";
    }
    if (text.size() > most) break;
  }
  return text;
}

Documents cut(std::string name, std::string_view text, const fs::path& folder) {
  constexpr size_t document_bytes = 10'000;
  Documents documents;
  documents.bytes = static_cast<double>(text.size());
  while (!text.empty()) {
    size_t end = std::min(document_bytes, text.size());
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    documents.texts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  documents.file = folder / (name + ".json");
  documents.name = std::move(name);
  write_file(documents.file, Json(documents.texts).dump());
  return documents;
}

}  // namespace

std::vector<Documents> read_documents(const fs::path& data, const fs::path& folder) {
  std::string english;
  for (const char* name : {"text/wikitext2.test.txt", "text/tinyshakespeare.txt"}) {
    if (fs::exists(data / name)) english += whole_text(data / name);
  }
  for (const char* name : {"gsm8k/train.jsonl", "gsm8k/test.jsonl"}) {
    if (fs::exists(data / name)) english += read_file(data / name);
  }
  english += king_james(folder);
  const std::string tang = poems(data / "text/quantangshi_tang.tar.gz", folder);
  std::vector<Documents> documents;
  if (!english.empty()) documents.push_back(cut("English", english, folder));
  if (!tang.empty()) documents.push_back(cut("Tang", tang, folder));
  if (documents.empty())
    fail("bench: {} holds no texts, and the program bible, for that of the King James Bible, does not run",
         data.string());
  return documents;
}

}  // namespace intarsia::cli

#include "cli/bench_tokenizer.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/peer.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/threads.h"
#include "data/file.h"
#include "data/json.h"
#include "data/text.h"
#include "intarsia/tokenizer.h"

namespace intarsia::cli {
namespace {

namespace fs = std::filesystem;
constexpr size_t document_bytes = 10'000;

// A folder for unpacked files, removed at the end.
class WorkFolder {
 public:
  WorkFolder() : path_(fs::temp_directory_path() / fmt::format("intarsia-bench-{}", getpid())) {
    make_directories(path_);
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string whole_text(const fs::path& path) {
  std::string text;
  TextSource source(path);
  for (std::string chunk; source.next(chunk);) text += chunk;
  return text;
}

struct Documents {
  std::string name;
  std::vector<std::string> texts;
  double bytes = 0;
  fs::path file;  // the same as a JSON array, for the peer
};

Documents cut(std::string name, std::string_view text, const fs::path& folder) {
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

std::vector<Documents> read_documents(const fs::path& data, const fs::path& folder) {
  std::string text;
  for (const char* name : {"text/wikitext2.test.txt", "text/tinyshakespeare.txt", "text/kjv.txt"}) {
    if (fs::exists(data / name)) text += whole_text(data / name);
  }
  for (const char* name : {"gsm8k/train.jsonl", "gsm8k/test.jsonl"}) {
    if (fs::exists(data / name)) text += read_file(data / name);
  }
  std::vector<Documents> documents;
  if (!text.empty()) documents.push_back(cut("English", text, folder));
  if (fs::exists(data / "text/tang.txt"))
    documents.push_back(cut("Tang", whole_text(data / "text/tang.txt"), folder));
  if (documents.empty()) fail("bench: {} holds no texts", data.string());
  return documents;
}

struct Item {
  std::string title, library;
  fs::path file;  // in the data folder; gzipped or not
};

const std::vector<Item>& items() {
  static const std::vector<Item> list = {
      {"gpt2", "tiktoken", "tokenizers/tiktoken/gpt2.tiktoken.gz"},
      {"cl100k", "tiktoken", "tokenizers/tiktoken/cl100k_base.tiktoken.gz"},
      {"o200k", "tiktoken", "tokenizers/tiktoken/o200k_base.tiktoken.gz"},
      {"llama3", "tokenizers", "tokenizers/llama3/tokenizer.json.gz"},
      {"qwen3", "tokenizers", "tokenizers/qwen3/tokenizer.json.gz"},
      {"unigram", "sentencepiece", "sentencepiece/test_model.model"},
  };
  return list;
}

fs::path unpacked(const fs::path& file, const fs::path& folder) {
  if (file.extension() != ".gz") return file;
  const fs::path out = folder / file.stem();
  write_file(out, whole_text(file));
  return out;
}

struct Turn {
  double seconds;
  size_t ids = 0;
};

Turn our_turn(const fs::path& path, const Documents& documents, bool batch) {
  // Opened anew, so that its caches are empty.
  const auto tokenizer = load_tokenizer(path);
  const std::vector<std::string_view> views(documents.texts.begin(), documents.texts.end());
  std::vector<Ids> ids(views.size());
  const auto start = std::chrono::steady_clock::now();
  if (batch) {
    ids = tokenizer->encode_batch(views);
  } else {
    for (size_t i = 0; i < views.size(); ++i) ids[i] = tokenizer->encode(views[i]);
  }
  Turn turn{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  for (const Ids& one : ids) turn.ids += one.size();
  return turn;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

void bench_tokenizer(const TokenizerBench& options) {
  const WorkFolder folder;
  const fs::path data = options.data;
  const std::vector<Documents> documents = read_documents(data, folder.path());
  Peer peer(options.python, options.script);
  if (!options.json)
    fmt::print("{} {} {} {} {}\n", pad_to_width("tokenizer", 44), pad_to_width("ours MB/s", 10, true),
               pad_to_width("peer", 10, true), pad_to_width("ratio", 7, true),
               pad_to_width("spread", 15, true));
  for (const Item& item : items()) {
    if (!fs::exists(data / item.file)) continue;
    const fs::path path = unpacked(data / item.file, folder.path());
    for (const Documents& texts : documents) {
      for (const bool batch : {false, true}) {
        std::vector<double> ours, theirs, ratios;
        std::string version;
        bool equal = true;
        for (int round = 0; round < options.rounds; ++round) {
          const Turn turn = our_turn(path, texts, batch);
          ours.push_back(turn.seconds);
          if (!peer.present()) continue;
          const Json request = {{"library", item.library},
                                {"path", path.string()},
                                {"documents", texts.file.string()},
                                {"batch", batch}};
          const Json answer = Json::parse(peer.ask(request.dump()), nullptr, false);
          if (!answer.is_object() || !answer.contains("seconds"))
            fail("bench: the peer answered {}", answer.is_discarded() ? "nothing" : answer.dump());
          theirs.push_back(answer["seconds"].get<double>());
          ratios.push_back(theirs.back() / ours.back());
          version = answer["version"].get<std::string>();
          equal &= answer["ids"].get<size_t>() == turn.ids;
        }
        if (!equal) fail("bench: {} makes another number of ids than {}", item.title, item.library);
        std::sort(ratios.begin(), ratios.end());
        const std::string title =
            fmt::format("{}, {}, {} thread{}; {} {}", item.title, texts.name, batch ? thread_count() : 1,
                        batch && thread_count() > 1 ? "s" : "", item.library, version);
        const double speed = texts.bytes / median(ours) * 1e-6;
        if (options.json) {
          Json line = {{"name", title}, {"ours", speed}, {"unit", "MB/s"}};
          if (!ratios.empty()) {
            line["peer"] = texts.bytes / median(theirs) * 1e-6;
            line["ratio"] = median(ratios);
            line["low"] = ratios.front();
            line["high"] = ratios.back();
          }
          fmt::print("{}\n", line.dump());
        } else {
          const bool against = !ratios.empty();
          fmt::print("{} {} {} {} {}\n", pad_to_width(title, 44),
                     pad_to_width(fmt::format("{:.1f}", speed), 10, true),
                     pad_to_width(against ? fmt::format("{:.1f}", texts.bytes / median(theirs) * 1e-6) : "-",
                                  10, true),
                     pad_to_width(against ? fmt::format("{:.1f}", median(ratios)) : "-", 7, true),
                     pad_to_width(against ? fmt::format("{:.1f}-{:.1f}", ratios.front(), ratios.back()) : "-",
                                  15, true));
        }
        std::fflush(stdout);
      }
    }
  }
}

}  // namespace intarsia::cli

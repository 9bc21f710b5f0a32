// intarsia bench tokenizer: against tiktoken, Hugging Face's tokenizers, sentencepiece and bytepiece.
#include "cli/bench/tokenizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/bench/peer.h"
#include "cli/bench/texts.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/threads.h"
#include "data/file.h"
#include "data/json.h"
#include "intarsia/random.h"
#include "intarsia/tokenizer.h"
#include "intarsia/tokenizer_training.h"

namespace intarsia::cli {
namespace {

namespace fs = std::filesystem;

struct Item {
  std::string title, library;
  fs::path file;
};

fs::path unpacked(const fs::path& file, const fs::path& folder) {
  if (file.extension() != ".gz") return file;
  fs::path out = folder / file.stem();
  write_file(out, whole_text(file));
  return out;
}

// BytePiece's of 8,000 entries on some of each text.
fs::path trained_bytepiece(const std::vector<Documents>& documents, const fs::path& folder) {
  TokenizerTraining options;
  options.kind = TokenizerTraining::Kind::bytepiece;
  options.vocabulary = 8000;
  const auto open = [&]() -> TextStream {
    return [&documents, next = size_t{0}](std::string& chunk) mutable {
      constexpr size_t most = 150, step = 4;
      if (next / documents.size() == most) return false;
      const auto& texts = documents[next % documents.size()].texts;
      chunk = texts[next / documents.size() * step % texts.size()];
      ++next;
      return true;
    };
  };
  train_tokenizer(open, options)->save(folder);
  return folder / "bytepiece.json";
}

// Those that the data folder holds and one that is trained, of which the titles contain `only`.
std::vector<Item> items(const fs::path& data, const std::vector<Documents>& documents, const fs::path& folder,
                        const std::string& only) {
  std::vector<Item> list = {
      {"gpt2", "tiktoken", "tokenizers/tiktoken/gpt2.tiktoken.gz"},
      {"cl100k", "tiktoken", "tokenizers/tiktoken/cl100k_base.tiktoken.gz"},
      {"o200k", "tiktoken", "tokenizers/tiktoken/o200k_base.tiktoken.gz"},
      {"llama3", "tokenizers", "tokenizers/llama3/tokenizer.json.gz"},
      {"qwen3", "tokenizers", "tokenizers/qwen3/tokenizer.json.gz"},
      {"unigram", "sentencepiece", "sentencepiece/test_model.model"},
  };
  std::erase_if(list, [&](const Item& item) { return !fs::exists(data / item.file); });
  list.push_back({"bytepiece", "bytepiece", {}});
  std::erase_if(list, [&](const Item& item) { return item.title.find(only) == std::string::npos; });
  for (Item& item : list)
    item.file = item.file.empty() ? trained_bytepiece(documents, folder) : unpacked(data / item.file, folder);
  return list;
}

struct Turn {
  double seconds;
  size_t ids = 0;
};

enum class How { one_by_one, batch, sampled };

// Of one thread the processor's time, so that other programs on the machine do not count; of all of them the
// time that passes.
double seconds_now(How how) {
  if (how == How::batch)
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Turn our_turn(const fs::path& path, const Documents& documents, How how) {
  // Opened anew, so that its caches are empty.
  const auto tokenizer = load_tokenizer(path);
  const std::vector<std::string_view> views(documents.texts.begin(), documents.texts.end());
  std::vector<Ids> ids(views.size());
  const double start = seconds_now(how);
  Random random(1);
  if (how == How::batch) ids = tokenizer->encode_batch(views);
  for (size_t i = 0; i < views.size() && how != How::batch; ++i)
    ids[i] = how == How::sampled ? tokenizer->sample(views[i], {}, random) : tokenizer->encode(views[i]);
  Turn turn{seconds_now(how) - start};
  for (const Ids& one : ids) turn.ids += one.size();
  return turn;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of each turn, theirs empty without a peer.
struct Row {
  std::string title;
  double bytes;
  std::vector<double> ours, theirs;
};

void print(const Row& row, bool json) {
  const auto speed = [&](const std::vector<double>& seconds) { return row.bytes / median(seconds) * 1e-6; };
  std::vector<double> ratios;
  for (size_t i = 0; i < row.theirs.size(); ++i) ratios.push_back(row.theirs[i] / row.ours[i]);
  std::sort(ratios.begin(), ratios.end());
  if (json) {
    Json line = {{"name", row.title}, {"ours", speed(row.ours)}, {"unit", "MB/s"}};
    if (!ratios.empty()) {
      line["peer"] = speed(row.theirs);
      line["ratio"] = median(ratios);
      line["low"] = ratios.front();
      line["high"] = ratios.back();
    }
    fmt::print("{}\n", line.dump());
  } else {
    const bool against = !ratios.empty();
    const auto shown = [](bool there, double value, int decimals) {
      return there ? fmt::format("{:.{}f}", value, decimals) : std::string("-");
    };
    fmt::print(
        "{} {} {} {} {}\n", pad_to_width(row.title, 52),
        pad_to_width(shown(true, speed(row.ours), 1), 10, true),
        pad_to_width(shown(against, against ? speed(row.theirs) : 0, 1), 10, true),
        pad_to_width(shown(against, against ? median(ratios) : 0, 2), 7, true),
        pad_to_width(against ? fmt::format("{:.2f}-{:.2f}", ratios.front(), ratios.back()) : "-", 15, true));
  }
  std::fflush(stdout);
}

Row against_peer(const Item& item, const Documents& texts, bool batch, Peer& peer, int rounds) {
  Row row{"", texts.bytes, {}, {}};
  std::string version;
  for (int round = 0; round < rounds; ++round) {
    const Turn turn = our_turn(item.file, texts, batch ? How::batch : How::one_by_one);
    row.ours.push_back(turn.seconds);
    if (!peer.present()) continue;
    const Json request = {{"library", item.library},
                          {"path", item.file.string()},
                          {"documents", texts.file.string()},
                          {"batch", batch}};
    const Json answer = Json::parse(peer.ask(request.dump()), nullptr, false);
    if (!answer.is_object() || !answer.contains("seconds"))
      fail("bench: the peer answered {}", answer.is_discarded() ? "nothing" : answer.dump());
    row.theirs.push_back(answer["seconds"].get<double>());
    version = answer["version"].get<std::string>();
    if (answer["ids"].get<size_t>() != turn.ids)
      fail("bench: {} makes {} ids, {} {}", item.title, turn.ids, item.library, answer["ids"].dump());
  }
  const int threads = batch ? thread_count() : 1;
  row.title = fmt::format("{}, {}, {} thread{}; {} {}", item.title, texts.name, threads,
                          threads > 1 ? "s" : "", item.library, version);
  return row;
}

// Of one tokenizer, against its own best segmentation.
Row sampling_row(const Item& item, const Documents& texts, int rounds) {
  Row row{fmt::format("{}, {}, sampled; its best segmentation", item.title, texts.name), texts.bytes, {}, {}};
  for (int round = 0; round < rounds; ++round) {
    row.ours.push_back(our_turn(item.file, texts, How::sampled).seconds);
    row.theirs.push_back(our_turn(item.file, texts, How::one_by_one).seconds);
  }
  return row;
}

}  // namespace

void bench_tokenizer(const TokenizerBench& options) {
  const WorkFolder folder;
  const std::vector<Documents> documents = read_documents(options.data, folder.path());
  Peer peer(options.python, options.script);
  if (!options.json)
    fmt::print("{} {} {} {} {}\n", pad_to_width("tokenizer", 52), pad_to_width("ours MB/s", 10, true),
               pad_to_width("peer", 10, true), pad_to_width("ratio", 7, true),
               pad_to_width("spread", 15, true));
  for (const Item& item : items(options.data, documents, folder.path(), options.only)) {
    for (const Documents& texts : documents) {
      for (const bool batch : {false, true})
        print(against_peer(item, texts, batch, peer, options.rounds), options.json);
      if (item.library == "bytepiece") print(sampling_row(item, texts, options.rounds), options.json);
    }
  }
}

}  // namespace intarsia::cli

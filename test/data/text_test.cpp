#include "data/text.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <numeric>

#include "data/faulty_files.h"
#include "data/folder.h"

namespace intarsia {
namespace {

void write_gzip(const std::filesystem::path& path, std::string_view text) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

std::vector<std::string> chunks_of(TextSource& source) {
  std::vector<std::string> chunks;
  std::string chunk;
  while (source.next(chunk)) chunks.push_back(chunk);
  return chunks;
}
std::string all_of(TextSource& source) {
  const std::vector<std::string> chunks = chunks_of(source);
  return std::accumulate(chunks.begin(), chunks.end(), std::string());
}

std::string words(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; i++)
    text += "word" + std::to_string(i * i % 997) + (i % 11 == 10 ? ".\n" : " ");
  return text;
}

TEST(TextSource, GivesAFileInChunksThatAddUp) {
  const Folder folder;
  const std::string text = words(100000);
  write_file(folder / "a.txt", text);
  TextSource source(folder / "a.txt", {.chunk = 1000});
  const std::vector<std::string> chunks = chunks_of(source);
  EXPECT_EQ(std::accumulate(chunks.begin(), chunks.end(), std::string()), text);
  EXPECT_GT(chunks.size(), text.size() / 1000);
  for (size_t i = 0; i + 1 < chunks.size(); i++) {
    EXPECT_LE(chunks[i].size(), 1000u);
    EXPECT_GT(chunks[i].size(), 500u);
    EXPECT_NE(chunks[i].back(), ' ');
    EXPECT_EQ(chunks[i + 1].front(), ' ');  // a cut is before a space that follows a word
  }
  EXPECT_TRUE(source.document_ended());
  EXPECT_EQ(source.position(), source.bytes());
  source.rewind();
  EXPECT_EQ(chunks_of(source), chunks);
}

TEST(TextSource, NeverCutsACharacter) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 3000; i++) text += i % 3 ? "\u5510" : "\U0001F600";  // no spaces, no lines
  write_file(folder / "a", text);
  for (size_t chunk : {16, 17, 18, 19, 1000}) {
    TextSource source(folder / "a", {.chunk = chunk});
    std::string whole;
    for (const std::string& part : chunks_of(source)) {
      EXPECT_NE(part.front() & 0xC0, 0x80);
      whole += part;
    }
    EXPECT_EQ(whole, text);
  }
}

TEST(TextSource, ReadsGzipAlike) {
  const Folder folder;
  const std::string text = words(50000);
  write_gzip(folder / "a.txt.gz", text);
  TextSource source(folder / "a.txt.gz", {.chunk = 5000});
  EXPECT_EQ(all_of(source), text);
  std::string bytes = read_file(folder / "a.txt.gz");
  for (size_t length : {bytes.size() - 1, bytes.size() - 8, bytes.size() / 2}) {
    write_file(folder / "cut.gz", bytes.substr(0, length));
    EXPECT_NE(error_of([&] {
                TextSource cut(folder / "cut.gz");
                all_of(cut);
              }).find("the file ends too early"),
              std::string::npos);
  }
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 64);
  write_file(folder / "bad.gz", bytes);
  EXPECT_THROW(
      {
        TextSource bad(folder / "bad.gz");
        all_of(bad);
      },
      Error);
}

TEST(TextSource, ReadsTheTextFilesOfAFolderInOrder) {
  const Folder folder;
  make_directories(folder / "b/deep");
  make_directories(folder / ".git");
  write_file(folder / "c.txt", "three ");
  write_file(folder / "a.md", "one ");
  write_file(folder / "b/deep/x", "two ");
  write_file(folder / ".hidden", "no ");
  write_file(folder / ".git/config", "no ");
  write_file(folder / "picture", std::string("\x89PNG\0", 5));
  write_file(folder / "latin1", "caf\xe9 au lait");
  write_file(folder / "empty.txt", "");
  TextSource source(folder.path());
  EXPECT_EQ(source.files().size(), 3u);
  const std::vector<std::string> expected = {"one ", "two ", "three "};
  EXPECT_EQ(chunks_of(source), expected);
}

TEST(TextSource, ReadsAFieldOfJsonLines) {
  const Folder folder;
  write_file(folder / "a.jsonl",
             "{\"text\": \"one\", \"n\": 1}\n\n  \n{\"n\": 2, \"text\": \"t\\u00e9\\n\"}\r\n{\"text\": "
             "\"\"}\n{\"text\":\"end\"}");
  TextSource source(folder / "a.jsonl");
  std::string chunk;
  std::vector<std::string> found;
  while (source.next(chunk)) {
    EXPECT_TRUE(source.document_ended());
    found.push_back(chunk);
  }
  const std::vector<std::string> expected = {"one", "t\u00e9\n", "end"};
  EXPECT_EQ(found, expected);
  TextSource other(folder / "a.jsonl", {.field = "body"});
  EXPECT_EQ(error_of([&] { other.next(chunk); }),
            (folder / "a.jsonl").string() + ": line 1: has no text field \"body\", found \"n\", \"text\"");
}

TEST(TextSource, SaysWhichLineOfJsonIsBad) {
  const Folder folder;
  write_file(folder / "a.jsonl", "{\"text\": \"one\"}\n{\"text\": \n");
  TextSource source(folder / "a.jsonl");
  const std::string text = error_of([&] { all_of(source); });
  EXPECT_EQ(text.find((folder / "a.jsonl").string() + ": line 2: 1:"), 0u) << text;
  write_file(folder / "b.jsonl", "[1]\n");
  TextSource array(folder / "b.jsonl");
  EXPECT_NE(error_of([&] { all_of(array); }).find("line 1: is no JSON object"), std::string::npos);
}

TEST(TextSource, BoundsTheLengthOfAJsonLine) {
  const Folder folder;
  write_file(folder / "a.jsonl", "{\"text\": \"" + std::string(20 << 20, 'x') + "\"}\n");
  TextSource source(folder / "a.jsonl");
  EXPECT_NE(error_of([&] { all_of(source); }).find("line 1 is longer than"), std::string::npos);
}

TEST(TextSource, CutsLongDocumentsOfJsonLines) {
  const Folder folder;
  std::string text = words(3000);
  std::string line = "{\"text\": \"";
  for (char c : text) line += c == '\n' ? "\\n" : std::string(1, c);
  write_file(folder / "a.jsonl", line + "\"}\n" + line + "\"}\n");
  TextSource source(folder / "a.jsonl", {.chunk = 1000});
  std::string chunk, whole;
  int documents = 0;
  while (source.next(chunk)) {
    EXPECT_LE(chunk.size(), 1000u);
    whole += chunk;
    documents += source.document_ended();
  }
  EXPECT_EQ(whole, text + text);
  EXPECT_EQ(documents, 2);
}

TEST(TextSource, NamesWhatIsNoText) {
  const Folder folder;
  const auto text = [&](std::string_view name) {
    return error_of([&] { TextSource source(folder / name); });
  };
  write_file(folder / "model", std::string("GGUF\0\0", 6));
  write_file(folder / "empty", "");
  make_directories(folder / "nothing");
  EXPECT_EQ(text("model"), (folder / "model").string() + ": is not UTF-8 text");
  EXPECT_EQ(text("empty"), (folder / "empty").string() + ": the file is empty");
  EXPECT_EQ(text("none"), (folder / "none").string() + ": no such file");
  EXPECT_EQ(text("nothing"), (folder / "nothing").string() + ": the directory holds no text file");
}

// ---- TokenShards

std::vector<int32_t> letters(std::string_view text) {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::vector<int32_t> tokens_of(const TokenShards& shards) {
  std::vector<int32_t> all(static_cast<size_t>(shards.size()));
  shards.read(0, all);
  return all;
}

TEST(TokenShards, HoldTheTokensOfTheWholeText) {
  const Folder folder;
  const std::string text = words(5000);
  write_file(folder / "a.txt", text);
  for (int64_t shard : {1, 1000, 1 << 20}) {
    if (shard == 1 && text.size() > 100000) continue;
    for (int64_t vocabulary : {256, 100000}) {
      const Folder cache;
      TextSource source(folder / "a.txt", {.chunk = 700});
      TokenOptions options{.vocabulary = vocabulary, .shard = shard == 1 ? 4096 : shard};
      const TokenShards shards = TokenShards::prepare(cache.path(), source, letters, options);
      EXPECT_EQ(tokens_of(shards), letters(text));
      EXPECT_EQ(shards.train_size(), static_cast<int64_t>(static_cast<double>(text.size()) * 0.9));
      shards.verify();
      std::vector<int32_t> part(300);
      shards.read(950, part);
      EXPECT_EQ(part, letters(text.substr(950, 300)));
      EXPECT_THROW(shards.read(shards.size() - 299, part), Error);
      EXPECT_THROW(shards.read(-1, part), Error);
    }
  }
}

TEST(TokenShards, PutASeparatorAfterEachDocument) {
  const Folder folder;
  write_file(folder / "a.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"c\"}\n");
  TextSource source(folder / "a.jsonl");
  const TokenShards shards = TokenShards::prepare(folder / "cache", source, letters,
                                                  {.vocabulary = 257, .separator = 256, .validation = 0});
  EXPECT_EQ(tokens_of(shards), (std::vector<int32_t>{'a', 'b', 256, 'c', 256}));
  EXPECT_EQ(shards.train_size(), 5);
}

TEST(TokenShards, AreMadeOnceAndAgainWhenSomethingChanged) {
  const Folder folder;
  write_file(folder / "a.txt", words(100));
  int calls = 0;
  const Encode count = [&](std::string_view text) {
    calls++;
    return letters(text);
  };
  TokenOptions options{.vocabulary = 256, .tokenizer = "letters"};
  const auto prepare = [&] {
    TextSource source(folder / "a.txt");
    calls = 0;
    TokenShards::prepare(folder / "cache", source, count, options);
    return calls;
  };
  EXPECT_EQ(prepare(), 1);
  EXPECT_EQ(prepare(), 0);
  options.tokenizer = "others";
  EXPECT_EQ(prepare(), 1);
  options.shard = 100;
  EXPECT_EQ(prepare(), 1);
  const TokenShards before = TokenShards::open(folder / "cache");
  write_file(folder / "a.txt", words(101));
  options.shard = 1000;
  EXPECT_EQ(prepare(), 1);
  EXPECT_EQ(prepare(), 0);
  EXPECT_EQ(static_cast<size_t>(TokenShards::open(folder / "cache").size()), words(101).size());
  before.verify();  // still mapped, though its files are gone
  EXPECT_FALSE(std::filesystem::exists(folder / "cache/tokens-00003.bin"));
}

TEST(TokenShards, RefuseIdsOutsideTheVocabulary) {
  const Folder folder;
  write_file(folder / "a.txt", "abc");
  TextSource source(folder / "a.txt");
  EXPECT_EQ(error_of([&] { TokenShards::prepare(folder / "cache", source, letters, {.vocabulary = 98}); }),
            "tokens: the tokenizer gave id 98, expected 0 to 97");
}

TEST(TokenShards, NoticeDamage) {
  const Folder folder;
  write_file(folder / "a.txt", words(1000));
  const std::filesystem::path cache = folder / "cache", shard = cache / "tokens-00000.bin";
  const auto prepare = [&] {
    TextSource source(folder / "a.txt");
    return TokenShards::prepare(cache, source, letters, {.vocabulary = 256});
  };
  prepare();
  const std::string good = read_file(shard);
  std::string bad = good;
  bad[500] = static_cast<char>(bad[500] ^ 1);
  write_file(shard, bad);
  EXPECT_NE(error_of([&] { TokenShards::open(cache).verify(); }).find("SHA-256"), std::string::npos);
  bad[501] = 1;  // an id of 256 and more
  write_file(shard, bad);
  EXPECT_NE(error_of([&] { tokens_of(TokenShards::open(cache)); }).find("holds id"), std::string::npos);
  for (size_t length : {size_t{0}, size_t{10}, size_t{32}, good.size() - 1}) {
    write_file(shard, good.substr(0, length));
    EXPECT_THROW(TokenShards::open(cache), Error) << length;
  }
  write_file(shard, good + "x");
  EXPECT_THROW(TokenShards::open(cache), Error);
  EXPECT_EQ(tokens_of(prepare()), letters(words(1000)));  // made anew
  const std::string manifest = read_file(cache / "tokens.json");
  for (size_t length = 0; length + 1 < manifest.size(); length++) {
    std::ofstream(cache / "tokens.json") << manifest.substr(0, length);
    ASSERT_THROW(TokenShards::open(cache), Error) << length;
  }
}

TEST(TokenShards, AreNeverHalfMadeWhateverOperationFails) {
  const Folder folder;
  const std::string text = words(400);
  write_file(folder / "a.txt", text);
  TokenOptions options{.vocabulary = 256, .shard = 1000};
  for (Fault fault : {Fault::error_before, Fault::kill_before, Fault::kill_halfway, Fault::kill_after}) {
    for (int at = 0;; at++) {
      const std::filesystem::path cache = folder / "cache";
      std::filesystem::remove_all(cache);
      FaultyFiles files(at, fault, ENOSPC);
      TextSource source(folder / "a.txt");
      bool failed = false;
      try {
        TokenShards::prepare(cache, source, letters, options, files);
      } catch (const Error&) { failed = true; } catch (const Killed&) {
        failed = true;
      }
      if (files.operations() <= at) {
        ASSERT_FALSE(failed);
        ASSERT_GT(at, 20);
        break;
      }
      // What is there is either whole or refused; the next run repairs it.
      try {
        ASSERT_EQ(tokens_of(TokenShards::open(cache)), letters(text)) << at;
      } catch (const Error&) {}
      FaultyFiles sound;
      ASSERT_EQ(tokens_of(TokenShards::prepare(cache, source, letters, options, sound)), letters(text)) << at;
      for (const auto& entry : std::filesystem::directory_iterator(cache))
        ASSERT_NE(entry.path().extension(), ".tmp") << "left over after operation " << at;
    }
  }
}

TEST(TokenShards, DoNotDependOnTheNumberOfThreads) {
  const Folder folder;
  write_file(folder / "a.txt", words(20000));
  const int before = thread_count();
  std::vector<std::string> hashes;
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    TextSource source(folder / "a.txt", {.chunk = 1000});
    const auto cache = folder / ("cache" + std::to_string(threads));
    TokenShards::prepare(cache, source, letters, {.vocabulary = 256});
    hashes.push_back(sha256_file(cache / "tokens-00000.bin"));
  }
  set_thread_count(before);
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], hashes[2]);
}

TEST(TokenShards, ReportProgressAndCanBeCancelled) {
  const Folder folder;
  write_file(folder / "a.txt", words(1000));
  TextSource source(folder / "a.txt");
  uint64_t last = 0;
  TokenOptions options{.vocabulary = 256, .progress = [&](uint64_t done, uint64_t total) {
                         EXPECT_LE(done, total);
                         last = done;
                         return true;
                       }};
  TokenShards::prepare(folder / "cache", source, letters, options);
  EXPECT_EQ(last, source.bytes());
  options.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(error_of([&] { TokenShards::prepare(folder / "other", source, letters, options); }),
            "tokens: cancelled");
}

}  // namespace
}  // namespace intarsia

// Every reader of a format against every truncation and every flipped bit of small files: a result or one
// Error, no crash, bounded memory. test/fuzz goes further.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/folder.h"
#include "data/gguf.h"
#include "data/json.h"
#include "data/llama2c.h"
#include "data/npy.h"
#include "data/packed.h"
#include "data/safetensors.h"
#include "data/table/table.h"
#include "data/text.h"

namespace intarsia {
namespace {

using Bytes = std::shared_ptr<const MappedFile>;

// Reads all bytes of an array, so that a borrowed one that leads out of the file would be seen by the
// sanitizers.
unsigned touch(const Array& array) {
  unsigned sum = 0;
  const auto* bytes = static_cast<const unsigned char*>(array.raw());
  for (size_t i = 0; i < array.bytes(); i++) sum += bytes[i];
  return sum;
}
unsigned touch(const NamedArrays& arrays) {
  unsigned sum = 0;
  for (const auto& [name, array] : arrays) sum += touch(array);
  return sum;
}
unsigned touch(const Gguf& file) {
  unsigned sum = touch(file.tensors());
  for (const auto& [key, value] : file.metadata()) sum += static_cast<unsigned>(value.summary().size());
  return sum;
}

struct Format {
  const char* file;
  std::function<unsigned(const Bytes&)> read;
  bool whole;  // every byte is needed: no truncation may pass
};

const Format formats[] = {
    {"types.safetensors", [](const Bytes& b) { return touch(parse_safetensors(b).tensors); }, true},
    {"types.gguf", [](const Bytes& b) { return touch(parse_gguf(b)); },
     false},  // the last padding may be missing
    {"llama2c.bin", [](const Bytes& b) { return touch(parse_llama2c(b).tensors); }, true},
    {"f32.npy", [](const Bytes& b) { return touch(parse_npy(b)); }, true},
    {"fortran.npy", [](const Bytes& b) { return touch(parse_npy(b)); }, true},
    {"version2.npy", [](const Bytes& b) { return touch(parse_npy(b)); }, true},
    {"stored.npz", [](const Bytes& b) { return touch(parse_npz(b)); }, true},
    {"deflated.npz", [](const Bytes& b) { return touch(parse_npz(b)); }, true},
    {"sharded/model.safetensors.index.json",
     [](const Bytes& b) { return static_cast<unsigned>(parse_json(b->text(), b->name()).size()); }, true},
};

class EveryFormat : public testing::TestWithParam<Format> {};

TEST_P(EveryFormat, MeetsEveryTruncationWithOneError) {
  const std::string good = read_file(golden(GetParam().file));
  for (size_t length = 0; length < good.size(); length++) {
    bool refused = false;
    try {
      GetParam().read(MappedFile::of_memory("f", std::string_view(good).substr(0, length)));
    } catch (const Error& error) {
      refused = true;
      const std::string_view text = error.what();
      ASSERT_EQ(text.substr(0, 2), "f:") << text;
      ASSERT_EQ(text.find('\n'), std::string_view::npos) << text;
    }
    const bool padding_only = !GetParam().whole && good.size() - length < 32;
    ASSERT_TRUE(refused || padding_only) << length << " of " << good.size() << " bytes passed";
  }
}

TEST_P(EveryFormat, MeetsEveryFlippedBitWithAResultOrOneError) {
  const std::string good = read_file(golden(GetParam().file));
  const size_t before = memory_use().reserved;
  size_t refused = 0;
#ifdef __SANITIZE_THREAD__
  constexpr size_t step = 61;  // large arrays, which lying sizes ask for, take it 100 times as long to make
#else
  constexpr size_t step = 1;
#endif
  for (size_t bit = 0; bit < good.size() * 8; bit += step) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    try {
      GetParam().read(MappedFile::of_memory("f", bytes));
    } catch (const Error& error) {
      refused++;
      ASSERT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LT(memory_use().reserved - before, size_t{64} << 20);
}

TEST_P(EveryFormat, MeetsPathsThatAreNoFiles) {
  const Folder folder;
  write_file(folder / "empty", "");
  write_file(folder / "page.html", "<!DOCTYPE html><html></html>\n");
  for (const auto& path : {folder / "none", folder / "empty", folder / "page.html"})
    EXPECT_FALSE(error_of([&] { GetParam().read(MappedFile::open(path)); }).empty()) << path;
}

INSTANTIATE_TEST_SUITE_P(Hostile, EveryFormat, testing::ValuesIn(formats), [](const auto& name) {
  std::string text = name.param.file;
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return text;
});

// The most resident memory that this process has had, in bytes.
size_t peak_memory() {
  const std::string status = [] {
    std::string text;
    FILE* file = std::fopen("/proc/self/status", "r");
    char line[256];
    while (file && std::fgets(line, sizeof line, file)) text += line;
    if (file) std::fclose(file);
    return text;
  }();
  const size_t at = status.find("VmHWM:");
  return at == std::string::npos ? 0 : std::strtoul(status.c_str() + at + 6, nullptr, 10) << 10;
}
void reset_peak_of_process() {
  if (FILE* file = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", file);
    std::fclose(file);
  }
}

// What a packed text unpacks to is never in memory as a whole.
TEST(HostileMemory, APackedTableTakesWhatItHolds) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  std::string text = "a\n";
  while (text.size() < (size_t{64} << 20)) text += "                                        1,\n1,\n";
  text.replace(0, 2, "a,b\n");
  const Bytes file = MappedFile::of_memory("f", gzip(text));
  text = {};
  reset_peak_of_process();
  const size_t before = peak_memory();
  const Table table = parse_csv(file, {.limit = size_t{100} << 20});
  EXPECT_GT(table.rows, 2'000'000);
  EXPECT_LT(peak_memory() - before, static_cast<size_t>(table.rows) * 18 * 5 / 4 + (size_t{8} << 20));
}

TEST(HostileMemory, ATurnedArrayOfAnArchiveIsInMemoryOnce) {
  const Folder folder;
  const Array array = Array::zeros({3000, 500}, DType::f32);
  write_npz(folder / "a", {{"a", array}});
  std::string bytes = read_file(folder / "a");
  bytes.replace(bytes.find("False"), 5, "True ");
  const size_t start = bytes.find("\x93NUMPY"), length = 128 + array.bytes();
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + start), static_cast<uInt>(length));
  std::memcpy(bytes.data() + 14, &sum, 4);
  std::memcpy(bytes.data() + bytes.find("PK\1\2") + 16, &sum, 4);
  const Bytes file = MappedFile::of_memory("f", bytes);
  reset_peak_memory();
  const size_t before = memory_use().current;
  const NamedArrays arrays = parse_npz(file);
  EXPECT_EQ(arrays.at("a").shape(), array.shape());
  EXPECT_LE(memory_use().peak - before, array.bytes() + array.bytes() / 4 + 64);
}

// Files made to cost as much memory as they can, within the rules of their format.
TEST(HostileMemory, StaysBelow64MegabytesAndTwiceTheInput) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  std::string many_tensors = "{";
  for (int i = 0; i < 65000; i++)
    many_tensors += (i ? ",\"" : "\"") + std::to_string(i) +
                    R"(":{"dtype":"U8","shape":[],"data_offsets":[)" + std::to_string(i) + "," +
                    std::to_string(i + 1) + "]}";
  many_tensors += "}";
  const uint64_t length = many_tensors.size();
  std::string safetensors(reinterpret_cast<const char*>(&length), 8);
  safetensors += many_tensors;
  safetensors.append(65000, '\0');

  std::string arrays = "[[]", numbers = "[1", members = "{\"0\":1";
  for (int i = 1; i < 3000000; i++) arrays += ",[]";
  for (int i = 1; i < 4000000; i++) numbers += ",1";
  for (int i = 1; i < 1000000; i++) members += ",\"" + std::to_string(i) + "\":1";
  arrays += "]";
  numbers += "]";
  members += "}";

  std::string gguf("GGUF\3\0\0\0", 8);
  const uint64_t counts[] = {0, 65536};
  gguf.append(reinterpret_cast<const char*>(counts), sizeof counts);
  for (uint32_t i = 0; i < 65536; i++) {
    const uint64_t key_length = 4;
    gguf.append(reinterpret_cast<const char*>(&key_length), 8);
    gguf.append(reinterpret_cast<const char*>(&i), 4);
    gguf.append(5, '\0');  // a u8
  }

  const auto json = [](const Bytes& b) {
    return static_cast<unsigned>(parse_json(b->text(), b->name()).size());
  };
  const std::pair<std::string, std::function<unsigned(const Bytes&)>> cases[] = {
      {safetensors, [](const Bytes& b) { return touch(parse_safetensors(b).tensors); }},
      {arrays, json},
      {numbers, json},
      {members, json},
      {gguf, [](const Bytes& b) { return touch(parse_gguf(b)); }},
      {read_file(golden("bomb.npz")), [](const Bytes& b) { return touch(parse_npz(b)); }},
  };
  for (const auto& [bytes, read] : cases) {
    const Bytes file = MappedFile::of_memory("f", bytes);
    reset_peak_of_process();
    const size_t before = peak_memory();
    try {
      read(file);
    } catch (const Error&) {
      // Refusing is as good as reading.
    }
    EXPECT_LT(peak_memory() - before, (size_t{64} << 20) + 2 * bytes.size()) << bytes.substr(0, 20);
  }
}

}  // namespace
}  // namespace intarsia

// Files that test/golden/formats.py opens with the Python libraries; here they are read back.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "data/folder.h"
#include "data/gguf.h"
#include "data/npy.h"
#include "data/safetensors.h"

namespace intarsia {
namespace {

class WrittenFiles : public testing::Test {
 protected:
  std::filesystem::path place(std::string_view name) {
    const char* chosen = std::getenv("INTARSIA_FORMATS_OUT");
    if (chosen) return std::filesystem::path(chosen) / name;
    if (!folder_) folder_.emplace();
    return *folder_ / name;
  }

 private:
  std::optional<Folder> folder_;
};

TEST_F(WrittenFiles, SafetensorsComesBack) {
  std::vector<ArraySource> sources;
  for (DType type : plain_types)
    sources.emplace_back(std::string("t.") + info(type).name, pattern_array({3, 5}, type));
  sources.emplace_back("scalar", pattern_array({}, DType::f32));
  sources.emplace_back("none", pattern_array({0, 4}, DType::f32));
  write_safetensors(place("types.safetensors"), std::move(sources));
  const Safetensors file = read_safetensors(place("types.safetensors"));
  for (DType type : plain_types)
    expect_pattern(file.tensors.at(std::string("t.") + info(type).name), {3, 5}, type);
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST_F(WrittenFiles, GgufComesBack) {
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("v.i32", int32_t{-7});
  writer.set("v.u64", uint64_t{1} << 40);
  writer.set("v.bool", true);
  const std::vector<std::string> texts = {"", "a", "\u0120the"};
  writer.set("v.strings", std::span<const std::string>(texts));
  const std::vector<float> numbers = {0.5f, -1.5f};
  writer.set("v.floats", std::span<const float>(numbers));
  for (DType type : {DType::f32, DType::f16, DType::bf16})
    writer.add({std::string("t.") + info(type).name, pattern_array({3, 4}, type)});
  writer.write(place("types.gguf"));
  const Gguf file = read_gguf(place("types.gguf"));
  EXPECT_EQ(file.version, 3u);
  EXPECT_EQ(file.at("v.i32").type(), GgufType::i32);
  EXPECT_EQ(file.at("v.u64").integer(), int64_t{1} << 40);
  EXPECT_EQ(file.at("v.strings").texts().back(), "\u0120the");
  EXPECT_EQ(file.at("v.floats").numbers(), numbers);
  for (DType type : {DType::f32, DType::f16, DType::bf16})
    expect_pattern(file.tensors().at(std::string("t.") + info(type).name), {3, 4}, type);
}

TEST_F(WrittenFiles, NpyComesBack) {
  for (DType type : plain_types) {
    if (type == DType::bf16) continue;
    const std::filesystem::path path = place(std::string(info(type).name) + ".npy");
    write_npy(path, pattern_array({3, 5}, type));
    expect_pattern(read_npy(path), {3, 5}, type);
  }
  write_npy(place("vector.npy"), pattern_array({3}, DType::i64));
  expect_pattern(read_npy(place("vector.npy")), {3}, DType::i64);
  write_npy(place("scalar.npy"), pattern_array({}, DType::i64));
  expect_pattern(read_npy(place("scalar.npy")), {}, DType::i64);
}

TEST_F(WrittenFiles, NpzComesBack) {
  const NamedArrays arrays = {{"a", pattern_array({3, 5}, DType::f32)},
                              {"b.c", pattern_array({0, 2}, DType::u8)}};
  for (bool compress : {false, true}) {
    const std::filesystem::path path = place(compress ? "deflated.npz" : "stored.npz");
    write_npz(path, arrays, compress);
    const NamedArrays found = read_npz(path);
    ASSERT_EQ(found.size(), 2u);
    expect_pattern(found.at("a"), {3, 5}, DType::f32);
    expect_pattern(found.at("b.c"), {0, 2}, DType::u8);
  }
  write_npz(place("empty.npz"), {});
  EXPECT_TRUE(read_npz(place("empty.npz")).empty());
}

}  // namespace
}  // namespace intarsia

#include "data/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/folder.h"

namespace intarsia {
namespace {

TEST(Gguf, ReadsEveryKindOfMetadata) {
  for (const char* name : {"types.gguf", "version2.gguf"}) {
    const Gguf file = read_gguf(golden(name));
    EXPECT_EQ(file.version, name[0] == 't' ? 3u : 2u);
    EXPECT_EQ(file.at("general.architecture").text(), "llama");
    EXPECT_EQ(file.at("v.u8").integer(), 200);
    EXPECT_EQ(file.at("v.i8").integer(), -100);
    EXPECT_EQ(file.at("v.u16").integer(), 60000);
    EXPECT_EQ(file.at("v.i16").integer(), -30000);
    EXPECT_EQ(file.at("v.u32").integer(), 4000000000);
    EXPECT_EQ(file.at("v.i32").integer(), -2000000000);
    EXPECT_EQ(file.at("v.u64").integer(), int64_t{1} << 40);
    EXPECT_EQ(file.at("v.i64").integer(), -(int64_t{1} << 40));
    EXPECT_EQ(file.at("v.f32").number(), static_cast<double>(0.1f));
    EXPECT_EQ(file.at("v.f64").number(), 0.1);
    EXPECT_EQ(file.at("v.i8").number(), -100.0);
    EXPECT_TRUE(file.at("v.bool").boolean());
    EXPECT_EQ(file.at("v.string").text(), "caf\u00e9 \U0001F600");
    const std::vector<std::string_view> texts = {"", "a", "\u0120the", "<|end|>"};
    EXPECT_EQ(file.at("v.strings").texts(), texts);
    EXPECT_EQ(file.at("v.strings").size(), 4u);
    EXPECT_EQ(file.at("v.ints").integers(), (std::vector<int64_t>{1, -2, 3}));
    EXPECT_EQ(file.at("v.ints").numbers(), (std::vector<float>{1, -2, 3}));
    EXPECT_EQ(file.at("v.floats").numbers(), (std::vector<float>{0.5f, -1.5f}));
    EXPECT_EQ(file.at("v.bools").integers(), (std::vector<int64_t>{1, 0, 1}));
    EXPECT_EQ(file.integer("v.u8", 5), 200);
    EXPECT_EQ(file.integer("absent", 5), 5);
    EXPECT_EQ(file.number("absent", 0.5), 0.5);
    EXPECT_EQ(file.text("absent", "x"), "x");
    EXPECT_TRUE(file.boolean("absent", true));
    EXPECT_EQ(file.find("absent"), nullptr);
  }
}

TEST(Gguf, NamesKeyFoundAndExpectedTypes) {
  const Gguf file = read_gguf(golden("types.gguf"));
  const std::string name = golden("types.gguf").string();
  EXPECT_EQ(error_of([&] { file.at("absent"); }), name + ": the metadata key \"absent\" is missing");
  EXPECT_EQ(error_of([&] { file.at("v.string").integer(); }),
            name + ": \"v.string\" is string, expected an integer");
  EXPECT_EQ(error_of([&] { file.at("v.ints").texts(); }),
            name + ": \"v.ints\" is an array of i32, expected an array of strings");
  EXPECT_THROW(file.at("v.f32").integer(), Error);
  EXPECT_THROW(file.at("v.bool").number(), Error);
  EXPECT_THROW(file.at("v.u8").boolean(), Error);
  EXPECT_THROW(file.at("v.u8").text(), Error);
  EXPECT_THROW(file.at("v.floats").integers(), Error);
  EXPECT_THROW(file.at("v.strings").numbers(), Error);
}

TEST(Gguf, SummarizesValuesOnALine) {
  const Gguf file = read_gguf(golden("types.gguf"));
  EXPECT_EQ(file.at("v.ints").summary(), "3 i32: [1, -2, 3]");
  EXPECT_EQ(file.at("v.strings").summary(), "4 string: [\"\", \"a\", \"\u0120the\", \"<|end|>\"]");
  EXPECT_EQ(file.at("v.bool").summary(), "true");
  EXPECT_EQ(file.at("v.f64").summary(), "0.1");
}

TEST(Gguf, GivesTensorsWithNumPysAxes) {
  const Gguf file = read_gguf(golden("types.gguf"));
  for (DType type :
       {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i16, DType::i32, DType::i64})
    expect_pattern(file.tensors().at(std::string("t.") + info(type).name), {3, 4}, type);
  expect_pattern(file.tensors().at("t.vector"), {5}, DType::f32);
  expect_pattern(file.tensors().at("t.four"), {2, 3, 2, 4}, DType::f32);
  EXPECT_THROW(Array(file.tensors().at("t.f32")).raw_mutable(), Error);
}

TEST(Gguf, TensorsOutliveTheFileObject) {
  Array kept;
  {
    const Gguf file = read_gguf(golden("types.gguf"));
    kept = file.tensors().at("t.f32");
  }
  expect_pattern(kept, {3, 4}, DType::f32);
}

TEST(Gguf, ReadsBlockFormatsWithTheirLogicalShape) {
  const Gguf file = read_gguf(golden("quants.gguf"));
  for (auto type = DType::q4_0; type <= DType::q6_k; type = static_cast<DType>(static_cast<int>(type) + 1)) {
    const Array& array = file.tensors().at(info(type).name);
    EXPECT_EQ(array.dtype(), type);
    EXPECT_EQ(array.shape(), (Shape{2, 512}));
    EXPECT_EQ(array.bytes(), static_cast<size_t>(1024 / info(type).block * info(type).bytes));
  }
  // q8_0 is simple enough to be worked out here: a scale of 16 bits and 32 bytes; this pins the place in the
  // file.
  const auto* blocks = static_cast<const char*>(file.tensors().at("q8_0").raw());
  const float* wanted = file.tensors().at("q8_0.f32").data<float>();
  for (int64_t i = 0; i < 1024; i++) {
    f16 scale;
    std::memcpy(&scale, blocks + i / 32 * 34, 2);
    ASSERT_EQ(to_float(scale) * static_cast<float>(static_cast<int8_t>(blocks[i / 32 * 34 + 2 + i % 32])),
              wanted[i]);
  }
}

TEST(Gguf, CopiesAFileKeyByKey) {
  const Folder folder;
  for (const char* name : {"types.gguf", "quants.gguf"}) {
    const Gguf file = read_gguf(golden(name));
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.set(key, value);
    for (const auto& [key, array] : file.tensors()) writer.add({key, array});
    writer.write(folder / name);
    const Gguf copy = read_gguf(folder / name);
    ASSERT_EQ(copy.metadata().size(), file.metadata().size());
    for (size_t i = 0; i < copy.metadata().size(); i++) {
      EXPECT_EQ(copy.metadata()[i].first, file.metadata()[i].first);
      EXPECT_EQ(copy.metadata()[i].second.summary(), file.metadata()[i].second.summary());
    }
    ASSERT_EQ(copy.tensors().size(), file.tensors().size());
    for (const auto& [key, array] : file.tensors()) {
      const Array& again = copy.tensors().at(key);
      EXPECT_EQ(again.shape(), array.shape());
      EXPECT_EQ(std::memcmp(again.raw(), array.raw(), array.bytes()), 0) << key;
    }
  }
}

TEST(GgufWriter, RefusesWhatTheFormatCannotHold) {
  const Folder folder;
  GgufWriter writer;
  writer.set("a", 1);
  EXPECT_THROW(writer.set("a", 2), Error);
  const auto refused = [&](ArraySource tensor) {
    GgufWriter w;
    w.add({"x", Array::zeros({2})});
    w.add(std::move(tensor));
    return error_of([&] { w.write(folder / "f"); });
  };
  EXPECT_FALSE(refused({"x", Array::zeros({2})}).empty());
  EXPECT_FALSE(refused({"y", Array::zeros({2}, DType::u16)}).empty());
  EXPECT_FALSE(refused({"y", Array::zeros({1, 1, 1, 1, 1})}).empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// ---- hostile files, built by hand

class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view text) {
    put(uint64_t{text.size()});
    bytes_ += text;
    return *this;
  }
  Bytes& head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    bytes_ += "GGUF";
    return put(version).put(tensors).put(keys);
  }
  Bytes& tensor(std::string_view name, std::initializer_list<uint64_t> ne, uint32_t type, uint64_t offset) {
    text(name).put(static_cast<uint32_t>(ne.size()));
    for (uint64_t n : ne) put(n);
    return put(type).put(offset);
  }
  Bytes& data(size_t count) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + count);
    return *this;
  }
  std::string error() const {
    return error_of([&] { parse_gguf(MappedFile::of_memory("f", bytes_)); });
  }
  Gguf parse() const { return parse_gguf(MappedFile::of_memory("f", bytes_)); }

 private:
  std::string bytes_;
};

TEST(HostileGguf, LyingCountsAreRefusedBeforeAnythingIsAllocated) {
  EXPECT_EQ(
      Bytes().head(UINT64_MAX, 0).error(),
      "f: the header counts 18446744073709551615 tensors, expected at most 65536 in a file of 24 bytes");
  EXPECT_FALSE(Bytes().head(0, uint64_t{1} << 60).error().empty());
  EXPECT_FALSE(Bytes().head(0, 5).error().empty());
  const auto array = [](uint32_t type, uint64_t count) {
    return Bytes().head(0, 1).text("k").put(uint32_t{9}).put(type).put(count).data(64).error();
  };
  EXPECT_NE(array(0, UINT64_MAX).find("18446744073709551615 values of u8"), std::string::npos);
  EXPECT_FALSE(array(10, (uint64_t{1} << 61) + 1).empty());  // times 8 wraps around to 8
  EXPECT_FALSE(array(8, uint64_t{1} << 61).empty());
  EXPECT_NE(array(9, 1).find("array of arrays"), std::string::npos);
  EXPECT_FALSE(array(13, 1).empty());
}

TEST(HostileGguf, LyingStringsAreRefused) {
  EXPECT_FALSE(Bytes().head(0, 1).put(UINT64_MAX).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(0, 1).text("k").put(uint32_t{8}).put(UINT64_MAX - 8).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(0, 1).text("k").put(uint32_t{99}).data(64).error().empty());
}

TEST(HostileGguf, KeysAndTensorsMustBeUnique) {
  EXPECT_EQ(
      Bytes().head(0, 2).text("k").put(uint32_t{0}).put('a').text("k").put(uint32_t{0}).put('a').error(),
      "f: the metadata key \"k\" stands twice");
  EXPECT_EQ(Bytes().head(2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).data(64).error(),
            "f: tensor \"t\" stands twice");
}

TEST(HostileGguf, TensorsMustLieInTheFileWithoutOverlap) {
  EXPECT_NO_THROW(Bytes().head(1, 0).tensor("t", {2, 3}, 0, 0).data(24).parse());
  EXPECT_NE(Bytes().head(1, 0).tensor("t", {2, 3}, 0, 0).data(23).error().find("needs 24 bytes"),
            std::string::npos);
  EXPECT_NE(Bytes().head(1, 0).tensor("t", {2}, 0, 8).data(64).error().find("multiple of 32"),
            std::string::npos);
  EXPECT_NE(
      Bytes().head(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(96).error().find("overlaps"),
      std::string::npos);
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {2}, 0, UINT64_MAX - 31).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {uint64_t{1} << 62, 4}, 0, 0).data(64).error().empty());
  EXPECT_FALSE(
      Bytes().head(1, 0).tensor("t", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {UINT64_MAX}, 24, 0).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {uint64_t{1} << 62}, 0, 0).data(64).error().empty());
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {33}, 8, 0).data(64).error().empty());  // no whole block
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {}, 8, 0).data(64).error().empty());
  EXPECT_NE(Bytes().head(1, 0).tensor("t", {32}, 20, 0).data(64).error().find("GGML type 20"),
            std::string::npos);
  EXPECT_FALSE(Bytes().head(1, 0).tensor("t", {1, 1, 1, 1, 1}, 0, 0).data(64).error().empty());
}

TEST(HostileGguf, AlignmentMustBeAPowerOfTwo) {
  const auto with = [](uint32_t alignment) {
    return Bytes()
        .head(1, 1)
        .text("general.alignment")
        .put(uint32_t{4})
        .put(alignment)
        .tensor("t", {2}, 0, 0)
        .data(64);
  };
  EXPECT_NO_THROW(with(32).parse());
  EXPECT_NO_THROW(with(8).parse());
  for (uint32_t bad : {0u, 1u, 4u, 24u, 1u << 17, 1u << 31}) EXPECT_FALSE(with(bad).error().empty()) << bad;
}

TEST(HostileGguf, OtherFilesAndVersionsAreNamed) {
  EXPECT_EQ(error_of([] { parse_gguf(MappedFile::of_memory("f", "<!DOCTYPE html>")); }),
            "f: does not start with \"GGUF\"");
  EXPECT_NE(Bytes().head(0, 0, 1).error().find("GGUF version 1"), std::string::npos);
  EXPECT_NE(Bytes().head(0, 0, 0x03000000).error().find("big endian"), std::string::npos);
}

}  // namespace
}  // namespace intarsia

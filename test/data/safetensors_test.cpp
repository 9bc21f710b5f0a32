#include "data/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/folder.h"

namespace intarsia {
namespace {

// A file with this header and `data_bytes` zero bytes of data.
std::shared_ptr<const MappedFile> file_with(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += header;
  bytes.append(data_bytes, '\0');
  return MappedFile::of_memory("f", bytes);
}

std::string error_in(std::string_view header, size_t data_bytes) {
  return error_of([&] { parse_safetensors(file_with(header, data_bytes)); });
}

TEST(Safetensors, ReadsEveryTypeThatPyTorchWrites) {
  const Safetensors file = read_safetensors(golden("types.safetensors"));
  EXPECT_EQ(file.tensors.size(), std::size(plain_types) + 2);
  for (DType type : plain_types)
    expect_pattern(file.tensors.at(std::string("t.") + info(type).name), {3, 5}, type);
  expect_pattern(file.tensors.at("scalar"), {}, DType::f32);
  expect_pattern(file.tensors.at("none"), {0, 4}, DType::f32);
  EXPECT_EQ(file.metadata.at("note"), "caf\u00e9");
}

TEST(Safetensors, ReadsShardsByIndexOrFolder) {
  for (const auto& path : {golden("sharded"), golden("sharded/model.safetensors.index.json")}) {
    const Safetensors file = read_safetensors(path);
    EXPECT_EQ(file.tensors.size(), 3u);
    expect_pattern(file.tensors.at("a.weight"), {4, 6}, DType::f32);
    expect_pattern(file.tensors.at("b.weight"), {2, 3}, DType::f16);
    expect_pattern(file.tensors.at("c"), {7}, DType::i64);
  }
}

TEST(Safetensors, RefusesAnIndexThatLiesOrLeadsAway) {
  const Folder folder;
  const auto text = [&](std::string_view map) {
    write_file(folder / "model.safetensors.index.json", map);
    return error_of([&] { read_safetensors(folder.path()); });
  };
  const std::filesystem::path shard = golden("sharded/model-00001-of-00002.safetensors");
  std::filesystem::copy_file(shard, folder / "s");
  EXPECT_NE(text(R"({"weight_map": {"zzz": "s"}})").find("\"zzz\" is not in \"s\""), std::string::npos);
  EXPECT_NE(text(R"({"weight_map": {"a.weight": "../s"}})").find("expected a plain file name"),
            std::string::npos);
  EXPECT_NE(text(R"({"weight_map": {"a.weight": ".."}})").find("expected a plain file name"),
            std::string::npos);
  EXPECT_NE(text(R"({"weight_map": {"a.weight": "/etc/passwd"}})").find("plain file name"),
            std::string::npos);
  EXPECT_NE(text(R"({"weight_map": {"a.weight": "gone"}})").find("no such file"), std::string::npos);
  EXPECT_NE(text(R"({"weight_map": {"a.weight": 5}})").find("no file name"), std::string::npos);
  EXPECT_NE(text(R"({"weight_map": []})").find("no JSON object"), std::string::npos);
  EXPECT_NE(text("[]").find("no JSON object"), std::string::npos);
}

TEST(Safetensors, SaysWhatDoesNotFit) {
  EXPECT_EQ(error_in(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
            "f: \"x\": f32 [2] takes 8 bytes, but the header gives it 4");
  EXPECT_EQ(error_in(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
            "f: \"x\": lies in bytes 0 to 8, but the file holds 4 bytes of data");
  EXPECT_EQ(error_in(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
            "f: tensor \"x\" starts at data byte 1, expected 0, where the one before it ends");
  EXPECT_EQ(error_in(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3),
            "f: the tensors fill 2 bytes of data, but the file holds 3");
  EXPECT_NE(error_in(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                         "y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                     3)
                .find("starts at data byte 1, expected 2"),
            std::string::npos);
  EXPECT_NE(error_in(R"({"x":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2).find("F8_E4M3"),
            std::string::npos);
}

TEST(Safetensors, RefusesHostileHeaders) {
  const char* entries[] = {
      R"({"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
      R"({"x":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})",
      R"({"x":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}})",
      R"({"x":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})",
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})",
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0]}})",
      R"({"x":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})",
      R"({"x":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})",
      R"({"x":{"shape":[1],"data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","data_offsets":[0,1]}})",
      R"({"x":{"dtype":"U8","shape":[1]}})",
      R"({"x":5})",
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
          "x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      R"({"__metadata__":{"a":5},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      R"( {"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      R"([])",
      R"({)",
  };
  for (const char* header : entries) EXPECT_FALSE(error_in(header, 1).empty()) << header;
  EXPECT_NO_THROW(
      parse_safetensors(file_with(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}  )", 1)));
  for (uint64_t length : {uint64_t{3}, uint64_t{100000001}, UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63}) {
    std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
    EXPECT_THROW(parse_safetensors(MappedFile::of_memory("f", bytes + "{}")), Error) << length;
  }
  EXPECT_THROW(parse_safetensors(MappedFile::of_memory("f", "1234567")), Error);
}

TEST(Safetensors, WritesWhatItReadsInTheReferenceOrder) {
  const Folder folder;
  const Safetensors file = read_safetensors(golden("types.safetensors"));
  std::vector<ArraySource> sources;
  for (const auto& [name, array] : file.tensors) sources.emplace_back(name, array);
  write_safetensors(folder / "copy", std::move(sources), file.metadata);
  const Safetensors copy = read_safetensors(folder / "copy");
  EXPECT_EQ(copy.metadata, file.metadata);
  ASSERT_EQ(copy.tensors.size(), file.tensors.size());
  for (const auto& [name, array] : file.tensors) {
    const Array& again = copy.tensors.at(name);
    EXPECT_EQ(again.shape(), array.shape());
    EXPECT_EQ(again.dtype(), array.dtype());
    EXPECT_EQ(std::memcmp(again.raw(), array.raw(), array.bytes()), 0) << name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(again.raw()) % static_cast<size_t>(info(again.dtype()).bytes), 0u);
  }
}

TEST(Safetensors, AsksForOneArrayAtATime) {
  const Folder folder;
  int alive = 0, most = 0;
  const auto make = [&] {
    auto count = std::shared_ptr<const void>(&alive, [](void* n) { --*static_cast<int*>(n); });
    most = std::max(most, ++alive);
    static const float values[4] = {1, 2, 3, 4};
    return Array::borrow(values, {4}, DType::f32, count);
  };
  std::vector<ArraySource> sources;
  for (const char* name : {"c", "a", "b"}) sources.emplace_back(name, Shape{4}, DType::f32, make);
  write_safetensors(folder / "f", std::move(sources));
  EXPECT_EQ(most, 1);
  EXPECT_EQ(read_safetensors(folder / "f").tensors.at("b").data<float>()[3], 4.0f);
}

TEST(Safetensors, RefusesToWriteWhatTheFormatCannotHold) {
  const Folder folder;
  const Array x = Array::zeros({4});
  const auto write = [&](std::vector<ArraySource> sources) {
    write_safetensors(folder / "f", std::move(sources));
  };
  EXPECT_THROW(write({{"a", x}, {"a", x}}), Error);
  EXPECT_THROW(write({{"__metadata__", x}}), Error);
  EXPECT_THROW(write({{"\xff", x}}), Error);
  EXPECT_THROW(write({{"q", Array::zeros({32}, DType::q8_0)}}), Error);
  EXPECT_THROW(write({{"s", x.view({2}, {2})}}), Error);
  EXPECT_THROW(write({{"lie", Shape{5}, DType::f32, [&] { return x; }}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace intarsia

#include "data/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/folder.h"

namespace intarsia {
namespace {

TEST(Npy, ReadsWhatNumPyWrites) {
  const Array plain = read_npy(golden("f32.npy"));
  expect_pattern(plain, {3, 4}, DType::f32);
  EXPECT_THROW(Array(plain).raw_mutable(), Error);  // it is the mapped file
  expect_pattern(read_npy(golden("version2.npy")), {6}, DType::i64);
  expect_pattern(read_npy(golden("fortran.npy")), {2, 3, 4}, DType::i16);
  const Array scalar = read_npy(golden("scalar.npy"));
  EXPECT_EQ(scalar.shape(), Shape{});
  EXPECT_EQ(scalar.data<double>()[0], 2.5);
  EXPECT_NE(error_of([] { read_npy(golden("big.npy")); }).find("the element type is \">i4\""),
            std::string::npos);
}

std::string npy(std::string_view header, size_t data_bytes = 8) {
  std::string bytes("\x93NUMPY\1\0", 8);
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes.append(header).append(data_bytes, '\0');
}

TEST(Npy, ReadsTheHeaderAsPythonWouldAndNothingElse) {
  const auto shape = [](std::string_view header, size_t bytes = 8) {
    return parse_npy(MappedFile::of_memory("f", npy(header, bytes))).shape();
  };
  EXPECT_EQ(shape("{\"shape\": (2,), \"descr\": \"<f4\", \"fortran_order\": False}\n"), (Shape{2}));
  EXPECT_EQ(shape("{'descr':'<f4','fortran_order':True,'shape':(1,2,),}"), (Shape{1, 2}));
  EXPECT_EQ(shape("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }", 0), (Shape{0, 5}));
  for (const char* header : {"", "{}", "{'descr': '<f4', 'fortran_order': False}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2)",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
                             "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
                             "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
                             "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}"})
    EXPECT_THROW(parse_npy(MappedFile::of_memory("f", npy(header))), Error) << header;
}

TEST(Npy, RefusesBlockFormatsAndBf16) {
  const Folder folder;
  EXPECT_NE(error_of([&] {
              write_npy(folder / "a", Array::zeros({2}, DType::bf16));
            }).find("bf16 cannot be written"),
            std::string::npos);
  EXPECT_THROW(write_npy(folder / "a", Array::zeros({32}, DType::q4_0)), Error);
}

TEST(Npz, ReadsStoredAndDeflatedArchives) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const NamedArrays arrays = read_npz(golden(name));
    EXPECT_EQ(arrays.size(), 11u);
    for (const auto& [key, array] : arrays) expect_pattern(array, {3, 5}, dtype_named(key.substr(2)));
  }
}

TEST(Npz, RefusesBombsBeforeUnpacking) {
  const size_t before = memory_use().reserved;
  EXPECT_NE(error_of([] { read_npz(golden("bomb.npz")); }).find("would unpack to more than"),
            std::string::npos);
  EXPECT_EQ(memory_use().reserved, before);
  EXPECT_EQ(read_npz(golden("bomb.npz"), uint64_t{100} << 20).at("zeros").size(), 60000000);
}

TEST(Npz, FindsDamageByTheChecksum) {
  std::string bytes = read_file(golden("stored.npz"));
  const size_t place =
      bytes.find("t.f32.npy") + 9 + 20 + 128 + 4;  // inside the values, past the name and header
  bytes[place] = static_cast<char>(bytes[place] ^ 1);
  EXPECT_NE(error_of([&] { parse_npz(MappedFile::of_memory("f", bytes)); }).find("is damaged"),
            std::string::npos);
}

TEST(Npz, RefusesSizesThatDeflateCannotReach) {
  std::string bytes = read_file(golden("deflated.npz"));
  // The directory's record of the first entry: unpacked size, 24 bytes after its mark.
  const size_t record = bytes.find("PK\1\2");
  const uint32_t lie = 30000000;
  std::memcpy(bytes.data() + record + 24, &lie, 4);
  EXPECT_FALSE(error_of([&] { parse_npz(MappedFile::of_memory("f", bytes)); }).empty());
}

TEST(Npz, IsTheSameBytesForTheSameArrays) {
  const Folder folder;
  const NamedArrays arrays = {{"a", pattern_array({3, 5}, DType::f32)},
                              {"b", pattern_array({1000}, DType::i16)}};
  write_npz(folder / "1", arrays, true);
  write_npz(folder / "2", arrays, true);
  EXPECT_EQ(read_file(folder / "1"), read_file(folder / "2"));
  EXPECT_LT(read_file(folder / "1").size(), 900u);
  expect_pattern(read_npz(folder / "1").at("b"), {1000}, DType::i16);
}

}  // namespace
}  // namespace intarsia

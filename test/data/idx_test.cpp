#include "data/idx.h"

#include <gtest/gtest.h>

#include "data/folder.h"
#include "data/gzip.h"
#include "data/packed.h"

namespace intarsia {
namespace {

using namespace std::string_literals;

Array parse(std::string_view bytes) { return parse_idx(MappedFile::of_memory("f", bytes)); }

const std::string shorts =
    "\0\0\x0b\x02\0\0\0\x02\0\0\0\x03"
    "\0\1\xff\xff\x80\0\x7f\xff\1\0\0\0"s;

TEST(Idx, TurnsBigEndianElements) {
  for (const std::string& bytes : {shorts, gzip(shorts)}) {
    const Array array = parse(bytes);
    EXPECT_EQ(array.shape(), (Shape{2, 3}));
    const int16_t expected[] = {1, -1, -32768, 32767, 256, 0};
    for (int i = 0; i < 6; i++) EXPECT_EQ(array.data<int16_t>()[i], expected[i]);
  }
  const Array number = parse("\0\0\x0d\x01\0\0\0\1\x3f\x80\0\0"s);
  EXPECT_EQ(number.data<float>()[0], 1.0f);
  const Array scalar = parse("\0\0\x0e\0\x40\0\0\0\0\0\0\0"s);
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.data<double>()[0], 2.0);
  EXPECT_EQ(parse("\0\0\x08\x02\0\0\0\0\0\0\0\5"s).shape(), (Shape{0, 5}));
}

TEST(Idx, NamesWhatIsWrong) {
  const auto text = [](const std::string& bytes) { return error_of([&] { parse(bytes); }); };
  EXPECT_EQ(text("\0\0\x08"s),
            "f: the start of an idx file takes 4 bytes, but the file ends after 3 of them");
  EXPECT_EQ(text("PK\3\4"), "f: starts with bytes 50 4b, expected the 00 00 of an idx file");
  EXPECT_NE(text("\0\0\x0a\1\0\0\0\1x"s).find("idx type is 0x0a"), std::string::npos);
  EXPECT_EQ(text("\0\0\x08\x09"s), "f: has 9 axes, expected at most 8");
  EXPECT_NE(text("\0\0\x08\1\0\0\0\5xxx"s).find("its array takes 5 bytes"), std::string::npos);
  EXPECT_NE(text("\0\0\x08\1\0\0\0\2xxx"s).find("bytes follow the array [2]"), std::string::npos);
  // Lengths whose product does not fit, and one that only a bomb could fill.
  EXPECT_NE(text("\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff"s).find("more elements"), std::string::npos);
  EXPECT_NE(text("\0\0\x08\1\xff\xff\xff\xff"s).find("holds no more than"), std::string::npos);
  EXPECT_NE(text(gzip("\0\0\x08\1\xff\xff\xff\xff"s)).find("holds no more than"), std::string::npos);
}

// All of a text, by windows of which a quarter is used each time.
std::string unpacked(std::string_view bytes, uint64_t limit = 1 << 20) {
  TextWindow window(MappedFile::of_memory("f", bytes), limit);
  std::string text;
  do {
    const size_t part = (window.text().size() + 3) / 4;
    text += window.text().substr(0, part);
    window.consume(part);
  } while (window.more());
  return text += window.text();
}

TEST(Gzip, MembersFollowEachOther) {
  const std::string two = gzip("one ") + gzip("two") + "\0\0\0"s;
  EXPECT_EQ(unpacked(two), "one two");
  EXPECT_EQ(unpacked("plain"), "plain");
  EXPECT_EQ(unpacked(gzip("")), "");
}

TEST(Gzip, AWindowMovesOverATextOfAnySize) {
  std::string text;
  for (int i = 0; i < 100000; i++) text += std::to_string(i) + "\n";
  EXPECT_EQ(unpacked(gzip(text)), text);
  EXPECT_EQ(unpacked(text), text);
  TextWindow window(MappedFile::of_memory("f", gzip(std::string(size_t{20} << 20, 'x'))), 1 << 30);
  EXPECT_EQ(error_of([&] {
              while (window.more()) {}
            }),
            "f: a line takes more than 8388608 bytes, expected less in a packed text");
}

TEST(Gzip, RefusesDamageAndBombs) {
  std::string packed = gzip(shorts + std::string(10000, 'x'));
  const auto text = [](const std::string& bytes) { return error_of([&] { unpacked(bytes); }); };
  for (size_t length = 2; length < packed.size(); length++)
    ASSERT_EQ(text(packed.substr(0, length)), "f: cannot be unpacked: the file ends too early");
  packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);  // of the checksum
  EXPECT_EQ(text(packed), "f: cannot be unpacked: incorrect data check");
  EXPECT_NE(text(gzip(std::string(size_t{40} << 20, '\0'))).find("unpacks to more than"), std::string::npos);
}

TEST(Idx, ReadsMnist) {
  const std::filesystem::path folder = data_folder() / "mnist";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here; set INTARSIA_DATA";
  const Array images = read_idx(folder / "t10k-images-idx3-ubyte.gz");
  const Array labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(images.shape(), (Shape{10000, 28, 28}));
  EXPECT_EQ(labels.shape(), (Shape{10000}));
  const int first[] = {7, 2, 1, 0, 4, 1, 4, 9, 5, 9};
  for (int i = 0; i < 10; i++) EXPECT_EQ(labels.data<uint8_t>()[i], first[i]);
}

}  // namespace
}  // namespace intarsia

#include "data/image/image.h"

#include <gtest/gtest.h>

#include "data/folder.h"
#include "data/packed.h"

namespace intarsia {
namespace {

constexpr uint64_t limit = 1 << 20;

std::filesystem::path picture(std::string_view name) {
  return std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/images" / name;
}
Array parse(std::string_view bytes, int channels = 0, uint64_t most = limit) {
  return parse_image(MappedFile::of_memory("f", bytes), channels, most);
}

void expect_equal(const Array& found, const Array& expected) {
  ASSERT_EQ(found.shape(), expected.shape()) << found.shape().text();
  for (int64_t i = 0; i < found.size(); i++)
    ASSERT_EQ(found.data<uint8_t>()[i], expected.data<uint8_t>()[i]) << "byte " << i;
}

TEST(Image, EveryKindIsWhatPillowMakesOfIt) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(picture(""))) {
    if (entry.path().extension() == ".npy") continue;
    SCOPED_TRACE(entry.path().filename());
    std::filesystem::path expected = entry.path();
    expect_equal(read_image(entry.path()), read_npy(expected.replace_extension(".npy")));
    seen++;
  }
  EXPECT_EQ(seen, 25);
}

TEST(Image, ChannelsAreConverted) {
  const Array rgba = read_image(picture("rgba.png"));
  const Array gray = read_image(picture("rgba.png"), 1);
  EXPECT_EQ(gray.shape(), (Shape{11, 14, 1}));
  const uint8_t* p = rgba.data<uint8_t>() + 4 * 20;
  EXPECT_NEAR(gray.data<uint8_t>()[20], 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2], 0.51);
  const Array colour = read_image(picture("gray_alpha.png"), 3);
  const Array both = read_image(picture("gray_alpha.png"));
  const Array all = read_image(picture("gray8.png"), 4);
  for (int64_t i = 0; i < 11 * 14; i++) {
    for (int c = 0; c < 3; c++)
      ASSERT_EQ(colour.data<uint8_t>()[3 * i + c], both.data<uint8_t>()[2 * i]) << i;
    ASSERT_EQ(all.data<uint8_t>()[4 * i + 3], 255);
  }
  EXPECT_EQ(read_image(picture("rgba.png"), 2).data<uint8_t>()[2 * 20 + 1], p[3]);
  EXPECT_THROW(read_image(picture("rgba.png"), 5), Error);
}

TEST(Image, RefusesWhatIsCutOrDamaged) {
  for (const char* name :
       {"rgb.png", "rgb_interlaced.png", "palette.png", "full_colour.jpg", "progressive.jpg"}) {
    const std::string good = read_file(picture(name));
    for (size_t length = 1; length < good.size(); length++)
      ASSERT_THROW(parse(std::string_view(good).substr(0, length)), Error) << name << " cut to " << length;
    for (size_t bit = 0; bit < good.size() * 8; bit++) {
      std::string bytes = good;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      try {
        parse(bytes);
      } catch (const Error& error) {
        ASSERT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
      }
    }
  }
  EXPECT_EQ(error_of([] { parse("GIF89a  "); }), "f: is neither PNG nor JPEG: it starts with \"GIF89a  \"");
}

TEST(Image, RefusesPicturesThatAreLargerThanTheirLimit) {
  const std::string good = read_file(picture("rgb.png"));
  EXPECT_EQ(error_of([&] { parse(good, 0, 461); }),
            "f: a picture of 14 x 11 pixels and 3 channels, expected at most 461 bytes of pixels");
  EXPECT_NO_THROW(parse(good, 0, 462));
  EXPECT_EQ(error_of([&] { parse(good, 4, 615); }),
            "f: a picture of 14 x 11 pixels and 4 channels, expected at most 615 bytes of pixels");
  EXPECT_NE(error_of([&] { parse(black_png(1 << 18, 200, 1), 0, 0); }).find("picture of 262144 x 200"),
            std::string::npos);
  EXPECT_NE(error_of([&] { parse(black_png((1 << 18) + 1, 1, 1)); }).find("no whole PNG"), std::string::npos);
}

// libpng would take 1.3 GB for it.
TEST(Image, AChunkThatAnnouncesMoreThanTheFileHasIsRefused) {
  std::string bytes = black_png(3, 2, 6);
  bytes[bytes.find("eXIf") - 4] = 'N';
  EXPECT_EQ(error_of([&] { parse(bytes); }),
            "f: is no whole PNG: its chunk \"eXIf\" announces 1308622870 bytes, 57 are left");
}

TEST(Image, IsTurnedByAnOrientationThatFollowsThePixels) {
  for (int orientation = 1; orientation <= 8; orientation++) {
    std::string before = black_png(3, 2, orientation);
    const size_t exif = before.find("eXIf") - 4, pixels = before.find("IDAT") - 4,
                 end = before.find("IEND") - 4;
    const std::string after = before.substr(0, exif) + before.substr(pixels, end - pixels) +
                              before.substr(exif, pixels - exif) + before.substr(end);
    const Shape expected = orientation < 5 ? Shape{2, 3, 3} : Shape{3, 2, 3};
    EXPECT_EQ(parse(before).shape(), expected) << orientation;
    EXPECT_EQ(parse(after).shape(), expected) << orientation;
  }
}

// Turned, gray from colour, interlaced: in memory once, as the caller gets it.
TEST(Image, TakesNoMoreMemoryThanItsPixels) {
  const std::string bytes = black_png(2000, 1500, 6);
  const auto file = MappedFile::of_memory("f", bytes);
  for (const int channels : {0, 1, 4}) {
    reset_peak_memory();
    const size_t before = memory_use().current;
    const Array image = parse_image(file, channels);
    EXPECT_EQ(image.shape(), (Shape{2000, 1500, channels ? channels : 3}));
    EXPECT_EQ(memory_use().peak, memory_use().current);
    EXPECT_LE(memory_use().peak - before, image.bytes() + image.bytes() / 4 + 64);
  }
}

TEST(Exif, DamagedBlocksTurnNothing) {
  using namespace std::string_literals;
  const std::string good = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"s;
  EXPECT_EQ(exif_orientation(good), 6);
  for (size_t length = 0; length < good.size(); length++)
    EXPECT_EQ(exif_orientation(std::string_view(good).substr(0, length)), 1) << length;
  std::string wrong = good;
  wrong[18] = 9;
  EXPECT_EQ(exif_orientation(wrong), 1);
  wrong = good;
  wrong[4] = '\xff';
  EXPECT_EQ(exif_orientation(wrong), 1);
}

TEST(Image, ReadsPhotographs) {
  const std::filesystem::path folder = data_folder() / "photos";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here; set INTARSIA_DATA";
  EXPECT_EQ(read_image(folder / "bus.jpg").shape(), (Shape{1080, 810, 3}));
}

}  // namespace
}  // namespace intarsia

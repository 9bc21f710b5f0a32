#include "text/unicode/unicode.h"

#include <utf8proc.h>

#include <random>

#include "golden.h"
#include "text/normalize/normalizer.h"
#include "text/unicode/byte_level.h"

namespace intarsia {
namespace {

TEST(Unicode, ValidPrefixStopsAtTheFirstBrokenByte) {
  EXPECT_EQ(valid_utf8_prefix(""), 0u);
  EXPECT_EQ(valid_utf8_prefix("plain text longer than eight"), 28u);
  EXPECT_EQ(valid_utf8_prefix("日本語\xe6\x97"), 9u);
  for (const char* broken : {"\x80", "\xc0\xaf", "\xc1\x81", "\xe0\x80\x80", "\xed\xa0\x80",
                             "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    EXPECT_EQ(valid_utf8_prefix(std::string("aaaaaaaaaa") + broken), 10u);
}

TEST(Unicode, UnfinishedSuffixCountsOnlyWhatCanBecomeACharacter) {
  for (const char* whole : {"", "a", "é", "日", "😀", "a\x80", "a\x80\x80\x80", "a\xff", "\xc0", "\xed\xa0",
                            "\xe0\x80", "\xf4\x90", "\xf0\x80\x80", "\xf5\x80"})
    EXPECT_EQ(unfinished_suffix(whole), 0u) << quote(whole);
  EXPECT_EQ(unfinished_suffix("a\xc3"), 1u);
  EXPECT_EQ(unfinished_suffix("a\xe6"), 1u);
  EXPECT_EQ(unfinished_suffix("a\xe6\x97"), 2u);
  EXPECT_EQ(unfinished_suffix("a\xe0\xa0"), 2u);
  EXPECT_EQ(unfinished_suffix("a\xed\x9f"), 2u);
  EXPECT_EQ(unfinished_suffix("\xf0\x9f\x98"), 3u);
  EXPECT_EQ(unfinished_suffix("\xf4\x8f"), 2u);
}

TEST(Unicode, NfcEqualsThatOfUtf8procOnValidText) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 20; i > 0; --i) {
      const char32_t ranges[] = {0x41,   0xc0,   0x300,  0x300,  0x1100, 0x1161, 0xac00, 0x1e00,
                                 0x3040, 0xf900, 0x3030, 0x4e00, 0xd780, 0xff01, 0x2f8,  0x3099};
      append_utf8(text, ranges[random() % 16] + random() % 64);
    }
    utf8proc_uint8_t* expected = nullptr;
    const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()), &expected,
                                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    EXPECT_EQ(to_nfc(text), std::string(reinterpret_cast<char*>(expected), static_cast<size_t>(length)));
    std::free(expected);
  }
}

TEST(Unicode, NfcKeepsBrokenBytesAndComposesAroundThem) {
  EXPECT_EQ(to_nfc("e\u0301\xff"
                   "a\u0300\xe2\x82"),
            "é\xff"
            "à\xe2\x82");
  EXPECT_EQ(to_nfc(std::string("nul\0e\u0301", 7)), std::string("nul\0é", 6));
}

TEST(Normalizer, BertStripsTheMarksOfTokenizersOlderUnicode) {
  const auto stripped = bert_step({});
  EXPECT_EQ(stripped("e\u0301a\ua9bd\u1885\u1886b"), "ea\ua9bd\u1885\u1886b");
  EXPECT_EQ(stripped("a\u1734b\U0001171e"), "ab");
}

TEST(Unicode, NfcOfALongRunOfMarksIsNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 ? "\u0316" : "\u0301";
  const std::string normal = to_nfc(text);
  EXPECT_TRUE(normal.starts_with("á\u0316\u0316"));
}

TEST(Unicode, EveryByteHasACharacterOfItsOwn) {
  std::string bytes(256, '\0');
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  EXPECT_EQ(piece_to_bytes(bytes_to_piece(bytes)), bytes);
  EXPECT_EQ(bytes_to_piece(" the\n\x7f\xad"), "ĠtheĊġŃ");
  EXPECT_EQ(piece_to_bytes("a b"), std::nullopt);
  EXPECT_EQ(piece_to_bytes("中"), std::nullopt);
  EXPECT_TRUE(byte_alphabet().starts_with("!\"#"));
}

}  // namespace
}  // namespace intarsia

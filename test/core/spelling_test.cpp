#include "core/spelling.h"

#include <gtest/gtest.h>

#include <string>

namespace intarsia {
namespace {

TEST(EditDistance, CountsLettersPutInTakenOutChangedAndSwapped) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("trian", "train"), 1u);
  EXPECT_EQ(edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(edit_distance("learning_rat", "learning_rate"), 1u);
}

TEST(EditDistance, IsSymmetric) {
  const char* words[] = {"train", "tarin", "brain", "t", "generate", ""};
  for (const char* a : words)
    for (const char* b : words) EXPECT_EQ(edit_distance(a, b), edit_distance(b, a)) << a << ' ' << b;
}

TEST(EditDistance, LooksAtTheFirst64BytesOnly) {
  EXPECT_EQ(edit_distance(std::string(1 << 20, 'a'), std::string(1 << 20, 'b')), 64u);
}

}  // namespace
}  // namespace intarsia

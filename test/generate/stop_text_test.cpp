#include "generate/stop_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace intarsia {
namespace {

struct Result {
  std::string shown;
  bool found;
};

// Feeds the text in pieces of `size` bytes.
Result run(const std::vector<std::string>& stops, std::string_view text, size_t size) {
  StopText stop(stops);
  std::string shown;
  for (size_t at = 0; at < text.size() && !stop.found(); at += size)
    shown += stop.feed(text.substr(at, size));
  const bool found = stop.found();
  return {shown + stop.flush(), found};
}

TEST(StopText, WhateverThePiecesTheTextEndsBeforeTheStop) {
  for (size_t size = 1; size <= 12; size++) {
    const Result result = run({"\n\nUser:", "END"}, "Hello.\n\nUse it.\n\nUser: more END", size);
    EXPECT_EQ(result.shown, "Hello.\n\nUse it.") << size;
    EXPECT_TRUE(result.found);
  }
}

TEST(StopText, WithoutAStopNothingIsLost) {
  for (size_t size = 1; size <= 5; size++) {
    const Result result = run({"abc", ""}, "ab abab ab", size);
    EXPECT_EQ(result.shown, "ab abab ab") << size;
    EXPECT_FALSE(result.found);
  }
}

TEST(StopText, TheFirstOfSeveralStopsCounts) {
  EXPECT_EQ(run({"c", "b"}, "abcd", 4).shown, "a");
  EXPECT_EQ(run({"bcd", "c"}, "abcd", 4).shown, "a");
}

TEST(StopText, OnlyWhatMayBecomeAStopIsHeldBack) {
  const std::vector<std::string> stops = {"<end>"};
  StopText stop(stops);
  EXPECT_EQ(stop.feed("one <"), "one ");
  EXPECT_EQ(stop.feed("two"), "<two");
  EXPECT_EQ(stop.feed(" <en"), " ");
  EXPECT_EQ(stop.flush(), "<en");
}

}  // namespace
}  // namespace intarsia

// Watches a stream of text for stop strings: text is held back as long as it may be the beginning of one.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace intarsia {

class StopText {
 public:
  explicit StopText(std::span<const std::string> stops) : stops_(stops) {}
  // Takes more text; returns what may be shown. Nothing comes once a stop string was found.
  std::string feed(std::string_view text);
  std::string flush();  // what was held back, at the end of the stream
  bool found() const { return found_; }

 private:
  std::span<const std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace intarsia

#include "generate/stop_text.h"

#include <algorithm>
#include <utility>

namespace intarsia {

namespace {

// The length of the longest end of `text` that is a true beginning of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
  if (stop.empty()) return 0;
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; length--)
    if (text.ends_with(stop.substr(0, length))) return length;
  return 0;
}

}  // namespace

std::string StopText::feed(std::string_view text) {
  if (found_) return {};
  held_ += text;
  size_t end = held_.npos;
  size_t waiting = 0;
  for (const std::string& stop : stops_) {
    if (stop.empty()) continue;
    end = std::min(end, held_.find(stop));
    waiting = std::max(waiting, overlap(held_, stop));
  }
  found_ = end != held_.npos;
  std::string shown = held_.substr(0, found_ ? end : held_.size() - waiting);
  held_.erase(0, shown.size());
  if (found_) held_.clear();
  return shown;
}

std::string StopText::flush() { return std::exchange(held_, {}); }

}  // namespace intarsia

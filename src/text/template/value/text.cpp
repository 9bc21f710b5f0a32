#include "text/template/value/text.h"

namespace intarsia::jinja {

Text::Text(std::string bytes, bool foreign) : bytes_(std::move(bytes)), all_foreign_(foreign) {}

Text Text::part(size_t begin, size_t end) const {
  Text result(bytes_.substr(begin, end - begin), all_foreign_);
  if (!marks_.empty()) result.marks_ = marks_.substr(begin, end - begin);
  return result;
}

void Text::set_marks() {
  if (marks_.empty()) marks_.assign(bytes_.size(), all_foreign_ ? 1 : 0);
}

void Text::add(std::string_view bytes, bool foreign) {
  if (bytes.empty()) return;
  if (bytes_.empty()) {
    all_foreign_ = foreign;
    marks_.clear();
  } else if (!marks_.empty() || all_foreign_ != foreign) {
    set_marks();
    marks_.append(bytes.size(), foreign ? 1 : 0);
  }
  bytes_ += bytes;
}

void Text::add(const Text& other, size_t begin, size_t end) {
  const std::string_view bytes = other.view().substr(begin, end - begin);
  if (other.marks_.empty() || bytes.empty()) return add(bytes, other.all_foreign_);
  set_marks();
  marks_.append(other.marks_, begin, end - begin);
  bytes_ += bytes;
}

std::vector<std::pair<size_t, size_t>> Text::foreign_ranges() const {
  std::vector<std::pair<size_t, size_t>> ranges;
  for (size_t at = 0; at < size(); ++at) {
    if (!foreign(at)) continue;
    if (ranges.empty() || ranges.back().second != at) ranges.push_back({at, at});
    ranges.back().second = at + 1;
  }
  return ranges;
}

}  // namespace intarsia::jinja

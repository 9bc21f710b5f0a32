// Text that knows which of its bytes come from outside the template.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intarsia::jinja {

// Bytes written by the template are its own, bytes of messages and tools are foreign. Every operation on text
// hands the mark of a byte on to what it makes of that byte, so that at the end the tokenizer looks for
// special tokens only where the template itself wrote them.
class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, bool foreign = false);

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  char operator[](size_t at) const { return bytes_[at]; }
  bool foreign(size_t at) const { return marks_.empty() ? all_foreign_ : marks_[at] != 0; }
  bool any_foreign() const { return !marks_.empty() || (all_foreign_ && !bytes_.empty()); }
  // Bytes that the text takes in memory.
  size_t memory() const { return bytes_.capacity() + marks_.capacity(); }

  Text part(size_t begin, size_t end) const;
  void add(std::string_view bytes, bool foreign = false);
  void add(const Text& other) { add(other, 0, other.size()); }
  void add(const Text& other, size_t begin, size_t end);
  // The stretches of foreign bytes, [begin, end), in order.
  std::vector<std::pair<size_t, size_t>> foreign_ranges() const;

 private:
  void set_marks();
  std::string bytes_;
  std::string marks_;  // one a byte; empty if all bytes have the same
  bool all_foreign_ = false;
};

}  // namespace intarsia::jinja

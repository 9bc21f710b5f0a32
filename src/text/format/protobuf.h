// Protocol buffers' wire format, read field by field within given bytes.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/fail.h"

namespace intarsia {

class ProtobufReader {
 public:
  struct Field {
    uint32_t number = 0;
    uint64_t value = 0;      // of a varint or a fixed-width number
    std::string_view bytes;  // of text, bytes or a message
  };

  // Errors start with `name`.
  ProtobufReader(std::string_view bytes, std::string_view name)
      : rest_(bytes), size_(bytes.size()), name_(name) {}

  // The next field; false at the end.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX) refuse("has a field without a number");
    field = {static_cast<uint32_t>(tag >> 3), 0, {}};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed<uint64_t>();
        break;
      case 2: {
        const uint64_t length = varint();
        if (length > rest_.size()) refuse("has a field that is longer than what is left");
        field.bytes = rest_.substr(0, length);
        rest_.remove_prefix(length);
        break;
      }
      case 5:
        field.value = fixed<uint32_t>();
        break;
      default:
        refuse("has a field of a kind that is not known");
    }
    return true;
  }
  static float as_float(const Field& field) {
    const auto bits = static_cast<uint32_t>(field.value);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail("{}: byte {} {}", name_, size_ - rest_.size(), what);
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) refuse("ends inside a number");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 127u} << shift;
      if (byte < 128) return value;
    }
    refuse("has a number of more than 64 bits");
  }
  template <class T>
  T fixed() {
    if (rest_.size() < sizeof(T)) refuse("ends inside a number");
    T value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view rest_;
  size_t size_;
  std::string_view name_;
};

}  // namespace intarsia

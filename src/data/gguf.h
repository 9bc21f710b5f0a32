// GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): typed metadata, then aligned tensors; the
// format of llama.cpp. Versions 2 and 3, little endian.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "data/arrays.h"

namespace intarsia {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
const char* name_of(GgufType);

// One metadata value: a view into the file, which lives as long as its Gguf. A getter that does not fit the
// value's type throws an Error that names file, key, type found and type expected.
class GgufValue {
 public:
  bool is_array() const { return type_ == GgufType::array; }
  GgufType type() const { return type_; }             // array for arrays
  GgufType element_type() const { return element_; }  // of an array; else the type itself
  size_t size() const { return count_; }              // elements of an array; else 1

  int64_t integer() const;                      // any integer type that fits
  double number() const;                        // any integer or float
  bool boolean() const;                         // bool only
  std::string_view text() const;                // string only
  std::vector<std::string_view> texts() const;  // array of strings; views, no copies
  std::vector<int64_t> integers() const;        // array of integers or bools
  std::vector<float> numbers() const;           // array of integers or floats
  std::string summary() const;  // for people: the value, or the first elements of an array, on one line

 private:
  friend class GgufReader;
  friend class GgufWriter;
  [[noreturn]] void wrong(const char* expected) const;
  const MappedFile* file_ = nullptr;
  std::string_view key_;
  const char* data_ = nullptr;
  size_t count_ = 1;
  GgufType type_ = GgufType::u8, element_ = GgufType::u8;
};

class Gguf {
 public:
  uint32_t version = 3;
  // In the file's order; keys are unique.
  const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;  // null if absent
  const GgufValue& at(std::string_view key) const;    // Error that names file and key if absent
  int64_t integer(std::string_view key, int64_t otherwise) const;
  double number(std::string_view key, double otherwise) const;
  bool boolean(std::string_view key, bool otherwise) const;
  std::string_view text(std::string_view key, std::string_view otherwise) const;

  // Borrowed from the file. Axes in NumPy's order (the reverse of GGML's ne): a linear weight is [out, in].
  const NamedArrays& tensors() const { return tensors_; }
  const std::string& name() const { return file_->name(); }

 private:
  friend class GgufReader;
  std::shared_ptr<const MappedFile> file_;
  std::vector<std::pair<std::string_view, GgufValue>> metadata_;
  std::vector<uint32_t> sorted_;  // of metadata_, by key
  NamedArrays tensors_;
};

Gguf read_gguf(const std::filesystem::path& path);
Gguf parse_gguf(const std::shared_ptr<const MappedFile>& file);

// Collects metadata and tensors, then writes a version 3 file, whole or not at all. Numbers keep the type
// they are given in: set("llama.block_count", uint32_t{30}).
class GgufWriter {
 public:
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::span<const std::string> values);
  void set(std::string_view key, std::span<const std::string_view> values);
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  void set(std::string_view key, T value) {
    put(key, type_of<T>(), &value, sizeof value);
  }
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  void set(std::string_view key, std::span<const T> values) {
    put_array(key, type_of<T>(), values.data(), values.size(), sizeof(T));
  }
  void set(std::string_view key, const GgufValue& value);  // as it is in another file
  void add(ArraySource tensor);                            // shape in NumPy's order; written in this order
  void write(const std::filesystem::path& path, FileSystem& files = system_files()) const;

 private:
  template <class T>
  static constexpr GgufType type_of() {
    constexpr bool whole = std::is_integral_v<T>, positive = std::is_unsigned_v<T>;
    if constexpr (!whole) return sizeof(T) == 4 ? GgufType::f32 : GgufType::f64;
    if constexpr (sizeof(T) == 1) return positive ? GgufType::u8 : GgufType::i8;
    if constexpr (sizeof(T) == 2) return positive ? GgufType::u16 : GgufType::i16;
    if constexpr (sizeof(T) == 4) return positive ? GgufType::u32 : GgufType::i32;
    return positive ? GgufType::u64 : GgufType::i64;
  }
  void start(std::string_view key, GgufType type);
  void put(std::string_view key, GgufType type, const void* value, size_t bytes);
  void put_array(std::string_view key, GgufType type, const void* values, size_t count, size_t bytes_each);
  std::string metadata_;  // as it will stand in the file
  std::vector<std::string> keys_;
  std::vector<ArraySource> tensors_;
};

}  // namespace intarsia

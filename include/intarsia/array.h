// Arrays: shared memory with a shape, strides and an element type. No mathematics here.
//
// Ownership: copying an Array shares its memory; the last copy gives it back to the pool. Views share memory
// too. Threads: different Arrays may be used from different threads; one buffer must not be written while it
// is read.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace intarsia {

// Element types. Block formats (q4_0 ...) hold `block` elements of a row in `bytes` bytes, in GGML's layout;
// they can be multiplied and converted, but not written elementwise.
enum class DType : uint8_t {
  f32,
  f64,
  bf16,
  f16,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  boolean,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
};
struct DTypeInfo {
  const char* name;
  int block;  // elements in a block; 1 for plain types
  int bytes;  // bytes of a block
};
const DTypeInfo& info(DType);
inline bool is_quantized(DType t) { return t >= DType::q4_0; }
inline bool is_float(DType t) { return t <= DType::f16; }
DType dtype_named(std::string_view name);  // throws on an unknown name

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

template <class T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of<f16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of<int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct dtype_of<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of<int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct dtype_of<uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct dtype_of<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<uint32_t> {
  static constexpr DType value = DType::u32;
};
template <>
struct dtype_of<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of<bool> {
  static constexpr DType value = DType::boolean;
};

// Up to 8 axis lengths (or strides). Negative axes count from the end, as in NumPy.
class Shape {
 public:
  static constexpr int max_rank = 8;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);
  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis < 0 ? axis + rank_ : axis]; }
  int64_t& operator[](int axis) { return dims_[axis < 0 ? axis + rank_ : axis]; }
  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + rank_; }
  int64_t count() const;  // number of elements; throws if it does not fit into 62 bits
  void append(int64_t dim);
  bool operator==(const Shape& other) const;
  std::string text() const;  // "[2, 8, 64]"

 private:
  int64_t dims_[max_rank] = {};
  int rank_ = 0;
};

// The shape that NumPy's broadcasting gives; throws Error naming `op` if the two do not fit.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

namespace detail {
struct Buffer {
  std::atomic<int32_t> references{1};
  std::atomic<uint32_t> version{0};  // raised by each write access after the first; see Saved
  void* data = nullptr;
  size_t bytes = 0;
  bool read_only = false;
  std::shared_ptr<const void>* owner = nullptr;  // of borrowed memory
};
void release(Buffer*);
}  // namespace detail

class Array {
 public:
  Array() = default;
  Array(const Array& other) noexcept;
  Array(Array&& other) noexcept;
  Array& operator=(const Array& other) noexcept;
  Array& operator=(Array&& other) noexcept;
  ~Array() {
    if (buffer_) detail::release(buffer_);
  }

  static Array empty(const Shape& shape, DType dtype = DType::f32);  // contiguous, values undefined
  static Array zeros(const Shape& shape, DType dtype = DType::f32);
  template <class T>
  static Array of(std::initializer_list<T> values);  // one axis
  template <class T>
  static Array copy_of(std::span<const T> values, const Shape& shape);
  // Read-only memory owned by somebody else (a mapped file), kept alive through `owner`.
  static Array borrow(const void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner);

  explicit operator bool() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }  // in elements (quantized: of the logical row)
  int rank() const { return shape_.rank(); }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t size() const { return shape_.count(); }
  DType dtype() const { return dtype_; }
  size_t bytes() const;  // of the elements, as if contiguous
  bool contiguous() const;
  bool unique() const;  // no other Array shares the buffer

  const void* raw() const;
  void* raw_mutable();  // throws if the memory is read-only; raises the version
  // Typed access to a contiguous array; throws if the type or the layout differs.
  template <class T>
  const T* data() const {
    require(dtype_of<T>::value);
    return static_cast<const T*>(raw());
  }
  template <class T>
  T* mutable_data() {
    require(dtype_of<T>::value);
    return static_cast<T*>(raw_mutable());
  }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(size())};
  }

  // A view of the same memory. `offset` is in elements from this view's start. Checks nothing: ops check.
  Array view(const Shape& shape, const Shape& strides, int64_t offset = 0) const;
  // A contiguous array (or a view, where strides allow) with another shape of equal count; -1 is inferred.
  Array reshape(Shape shape) const;
  uint32_t version() const { return buffer_ ? buffer_->version.load(std::memory_order_relaxed) : 0; }

 private:
  void require(DType) const;
  detail::Buffer* buffer_ = nullptr;
  int64_t offset_ = 0;  // bytes
  Shape shape_, strides_;
  DType dtype_ = DType::f32;
};

template <class T>
Array Array::copy_of(std::span<const T> values, const Shape& shape) {
  Array a = empty(shape, dtype_of<T>::value);
  T* p = a.mutable_data<T>();
  for (int64_t i = 0, n = a.size(); i < n; i++) p[i] = values[static_cast<size_t>(i)];
  return a;
}
template <class T>
Array Array::of(std::initializer_list<T> values) {
  return copy_of(std::span<const T>(values.begin(), values.size()), {static_cast<int64_t>(values.size())});
}
Shape contiguous_strides(const Shape& shape);

// The memory pool behind all arrays: caching, size classes, 64-byte aligned.
struct MemoryUse {
  size_t current, peak, reserved;
};  // bytes in arrays now, at most, and held from the system
MemoryUse memory_use();
void reset_peak_memory();
// What the pool may hold from the system; 0: no limit. An array that would go beyond throws, after the pool
// gave back what it kept for later; every array made before stays as it is.
void set_memory_limit(size_t bytes);
size_t memory_limit();

// Threads that the library computes with (default: the processors this process may use).
int thread_count();
void set_thread_count(int count);

}  // namespace intarsia

#include "intarsia/array.h"

#include <cstring>
#include <utility>

#include "core/fail.h"
#include "core/pool.h"

namespace intarsia {

namespace {
// In the order of DType; block formats have GGML's sizes.
constexpr DTypeInfo dtype_table[] = {
    {"f32", 1, 4},      {"f64", 1, 8},      {"bf16", 1, 2},    {"f16", 1, 2},      {"i8", 1, 1},
    {"u8", 1, 1},       {"i16", 1, 2},      {"u16", 1, 2},     {"i32", 1, 4},      {"u32", 1, 4},
    {"i64", 1, 8},      {"bool", 1, 1},     {"q4_0", 32, 18},  {"q4_1", 32, 20},   {"q5_0", 32, 22},
    {"q5_1", 32, 24},   {"q8_0", 32, 34},   {"q2_k", 256, 84}, {"q3_k", 256, 110}, {"q4_k", 256, 144},
    {"q5_k", 256, 176}, {"q6_k", 256, 210},
};
static_assert(std::size(dtype_table) == static_cast<size_t>(DType::q6_k) + 1);
}  // namespace

const DTypeInfo& info(DType dtype) { return dtype_table[static_cast<size_t>(dtype)]; }

DType dtype_named(std::string_view name) {
  for (size_t i = 0; i < std::size(dtype_table); i++)
    if (name == dtype_table[i].name) return static_cast<DType>(i);
  fail("unknown element type \"{}\"", name);
}

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > max_rank) fail("a shape of {} axes; at most {} are supported", dims.size(), max_rank);
  for (int64_t d : dims) dims_[rank_++] = d;
}

void Shape::append(int64_t dim) {
  if (rank_ == max_rank) fail("a shape of {} axes; at most {} are supported", rank_ + 1, max_rank);
  dims_[rank_++] = dim;
}

int64_t Shape::count() const {
  int64_t n = 1;
  bool overflow = false;
  for (int64_t d : *this) {
    if (d < 0) fail("shape {} has a negative length", text());
    overflow |= __builtin_mul_overflow(n, d, &n) || n > (int64_t{1} << 62);
  }
  if (overflow) {
    for (int64_t d : *this)
      if (d == 0) return 0;
    fail("shape {} has more elements than can be counted", text());
  }
  return n;
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; i++)
    if (dims_[i] != other.dims_[i]) return false;
  return true;
}

std::string Shape::text() const {
  std::string s = "[";
  for (int i = 0; i < rank_; i++) s += (i ? ", " : "") + std::to_string(dims_[i]);
  return s + "]";
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  Shape longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  for (int i = 1; i <= shorter.rank(); i++) {
    const int64_t x = longer[-i], y = shorter[-i];
    if (x != y && x != 1 && y != 1) fail("{}: shapes {} and {} do not broadcast", op, a.text(), b.text());
    longer[-i] = x == 1 ? y : x;
  }
  return longer;
}

Array::Array(const Array& other) noexcept
    : buffer_(other.buffer_),
      offset_(other.offset_),
      shape_(other.shape_),
      strides_(other.strides_),
      dtype_(other.dtype_) {
  if (buffer_) buffer_->references.fetch_add(1, std::memory_order_relaxed);
}

Array::Array(Array&& other) noexcept
    : buffer_(std::exchange(other.buffer_, nullptr)),
      offset_(other.offset_),
      shape_(other.shape_),
      strides_(other.strides_),
      dtype_(other.dtype_) {}

Array& Array::operator=(const Array& other) noexcept { return *this = Array(other); }

Array& Array::operator=(Array&& other) noexcept {
  std::swap(buffer_, other.buffer_);
  offset_ = other.offset_;
  shape_ = other.shape_;
  strides_ = other.strides_;
  dtype_ = other.dtype_;
  return *this;
}

size_t Array::bytes() const {
  const DTypeInfo& type = info(dtype_);
  return static_cast<size_t>(size()) / static_cast<size_t>(type.block) * static_cast<size_t>(type.bytes);
}

Array Array::empty(const Shape& shape, DType dtype) {
  Array a;
  a.shape_ = shape;
  a.strides_ = contiguous_strides(shape);
  a.dtype_ = dtype;
  const int64_t count = shape.count();
  const int block = info(dtype).block;
  if (block > 1 && (shape.rank() == 0 || shape[-1] % block))
    fail("shape {} cannot hold {}: rows must be whole blocks of {} elements", shape.text(), info(dtype).name,
         block);
  if (count > (int64_t{1} << 44))
    fail("shape {} has more elements than this library addresses", shape.text());
  a.buffer_ = detail::allocate(a.bytes());
  return a;
}

Array Array::zeros(const Shape& shape, DType dtype) {
  Array a = empty(shape, dtype);
  std::memset(a.buffer_->data, 0, a.bytes());
  return a;
}

Array Array::borrow(const void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner) {
  Array a;
  a.shape_ = shape;
  a.strides_ = contiguous_strides(shape);
  a.dtype_ = dtype;
  a.buffer_ = detail::adopt(data, a.bytes(), std::move(owner));
  return a;
}

bool Array::contiguous() const {
  int64_t step = 1;
  for (int i = shape_.rank() - 1; i >= 0; i--) {
    if (shape_[i] != 1 && strides_[i] != step) return false;
    step *= shape_[i];
  }
  return true;
}

bool Array::unique() const { return buffer_ && buffer_->references.load(std::memory_order_acquire) == 1; }

const void* Array::raw() const {
  if (!buffer_) fail("an empty Array was read");
  return static_cast<const char*>(buffer_->data) + offset_;
}

void* Array::raw_mutable() {
  if (!buffer_) fail("an empty Array was written");
  if (buffer_->read_only) fail("read-only memory (a mapped file) cannot be written");
  buffer_->version.fetch_add(1, std::memory_order_relaxed);
  return static_cast<char*>(buffer_->data) + offset_;
}

void Array::require(DType dtype) const {
  if (dtype_ != dtype) fail("an array of {} was read as {}", info(dtype_).name, info(dtype).name);
  if (!contiguous()) fail("an array with strides {} was read as if contiguous", strides_.text());
}

Array Array::view(const Shape& shape, const Shape& strides, int64_t offset) const {
  Array a = *this;
  a.shape_ = shape;
  a.strides_ = strides;
  const DTypeInfo& type = info(dtype_);
  a.offset_ += offset / type.block * type.bytes;
  return a;
}

Array Array::reshape(Shape shape) const {
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.rank(); i++) {
    if (shape[i] == -1 && unknown < 0)
      unknown = i;
    else
      known *= shape[i];
  }
  if (unknown >= 0) shape[unknown] = known ? size() / known : 0;
  if (shape.count() != size())
    fail("reshape: {} elements of {} do not fill {}", size(), shape_.text(), shape.text());
  if (!contiguous()) fail("reshape: the array with strides {} is not contiguous", strides_.text());
  return view(shape, contiguous_strides(shape));
}

}  // namespace intarsia

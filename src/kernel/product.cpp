// kernel::matmul: finds out how the operands lie in memory, and splits a product over the threads. The split
// never shows in the result: a row's sums are formed in order of k wherever they are formed.
#include <algorithm>
#include <cstring>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr int64_t alone = 1 << 17;         // multiply-adds below which one thread is faster than two
constexpr int64_t packed_block = 1 << 20;  // words of B packed at once: 4 MB
// Words of k in one pass where c itself can hold the sums between passes, and where they need memory of their
// own.
constexpr int64_t f32_words = 1024, pair_words = 1536, words_with_own_sums = 4096;

// An operand whose matrices (the last two axes) have an axis of neighbouring elements.
struct Operand {
  Array array;
  int64_t distance = 0;     // between stored rows
  bool transposed = false;  // the last axis but one is the contiguous one
};

// How the matrices of x lie; false if no axis has neighbouring elements.
bool lies_well(const Array& x, Operand& operand) {
  const int64_t rows = x.dim(-2), columns = x.dim(-1);
  const int64_t row_stride = x.strides()[-2], column_stride = x.strides()[-1];
  if (columns <= 1 || column_stride == 1) {
    operand = {x, rows <= 1 ? columns : row_stride, false};
  } else if (rows > 1 && row_stride == 1) {
    operand = {x, column_stride, true};
  } else {
    return false;
  }
  return true;
}

Operand operand_of(const Array& x) {
  Operand operand;
  if (!lies_well(x, operand)) lies_well(contiguous(x), operand);
  return operand;
}

// A block-quantized b is usable in place if it is the transposed view of rows of whole blocks.
bool blocks_in_place(const Array& b) {
  const int block = info(b.dtype()).block;
  if (b.dim(-2) % block || b.strides()[-2] != 1 || (b.dim(-1) > 1 && b.strides()[-1] % block)) return false;
  for (int i = 0; i < b.rank() - 2; i++) {
    if (b.strides()[i] % block) return false;
  }
  return true;
}

const void* advance(const void* p, DType dtype, int64_t elements) {
  const DTypeInfo& type = info(dtype);
  return static_cast<const char*>(p) + elements / type.block * type.bytes;
}

// The batch axes of c, and how far apart a's and b's matrices are along each.
struct Batch {
  int rank = 0;
  int64_t count = 1;
  int64_t dim[Shape::max_rank], a[Shape::max_rank], b[Shape::max_rank];

  static int64_t stride(const Array& x, int axis_from_end) {
    const int axis = x.rank() - axis_from_end;
    return axis < 0 || x.dim(axis) == 1 ? 0 : x.strides()[axis];
  }
  Batch(const Shape& c, const Array& left, const Array& right) : rank(c.rank() - 2) {
    for (int i = 0; i < rank; i++) {
      dim[i] = c[i];
      count *= c[i];
      a[i] = stride(left, c.rank() - i);
      b[i] = stride(right, c.rank() - i);
    }
  }
  bool shared(const int64_t* strides) const {
    for (int i = 0; i < rank; i++) {
      if (dim[i] > 1 && strides[i] != 0) return false;
    }
    return true;
  }
  int64_t offset(const int64_t* strides, int64_t index) const {
    int64_t at = 0;
    for (int i = rank - 1; i >= 0; i--) {
      at += index % dim[i] * strides[i];
      index /= dim[i];
    }
    return at;
  }
};

// Whether x has the batch axes of c, and all rows of its batch lie `distance` apart, as one long matrix.
bool one_matrix(const Array& x, int64_t distance, const Shape& c) {
  if (x.rank() != c.rank()) return false;
  int64_t expected = distance * x.dim(-2);
  for (int i = x.rank() - 3; i >= 0; i--) {
    if (x.dim(i) != c[i]) return false;
    if (x.dim(i) == 1) continue;
    if (x.strides()[i] != expected) return false;
    expected *= x.dim(i);
  }
  return true;
}

int64_t up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }
int64_t words_of(const Product& p) {
  const int elements = elements_of(p.word);
  return (p.k + elements - 1) / elements;
}
int64_t panels_of(const Product& p, int64_t width) { return (p.n + width - 1) / width; }

// One piece of pool memory cut into equal, aligned parts for the threads.
class Scratch {
 public:
  Scratch(int parts, size_t bytes)
      : stride_(up(static_cast<int64_t>(bytes), 64)),
        memory_(Array::empty({std::max<int64_t>(64, parts * stride_)}, DType::u8)),
        data_(static_cast<char*>(memory_.raw_mutable())) {}
  void* part(int i) { return data_ + i * stride_; }

 private:
  int64_t stride_;
  Array memory_;
  char* data_;
};

// Few rows: the threads share the columns, and each packs what it multiplies.
void multiply_streamed(const Product& p, int threads) {
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p, slots.tile_columns);
  const bool by_rows = panels < threads;
  auto part_of = [&](int i) {
    ProductPart part;
    part.row = by_rows ? p.m * i / threads : 0;
    part.row_end = by_rows ? p.m * (i + 1) / threads : p.m;
    part.panel = by_rows ? 0 : panels * i / threads;
    part.panel_end = by_rows ? panels : panels * (i + 1) / threads;
    return part;
  };
  size_t bytes = 0;
  for (int i = 0; i < threads; i++) bytes = std::max(bytes, slots.streamed_scratch(p, part_of(i)));
  Scratch scratch(threads, bytes);
  parallel(threads, [&](int i) {
    const ProductPart part = part_of(i);
    if (part.row < part.row_end) slots.multiply_streamed(p, part, scratch.part(i));
  });
}

// Few rows times panels packed before: the threads share the panels.
void multiply_panels(const Product& p, const uint32_t* packed, int threads) {
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p, slots.tile_columns), words = words_of(p);
  ProductPart whole;
  whole.row_end = p.m;
  whole.word_end = words;
  whole.panel_distance = words * slots.tile_columns;
  Scratch scratch(threads, slots.packed_scratch(p, whole));
  parallel(threads, [&](int i) {
    ProductPart part = whole;
    part.panel = panels * i / threads;
    part.panel_end = panels * (i + 1) / threads;
    slots.multiply_packed(p, part, packed + part.panel * part.panel_distance, scratch.part(i));
  });
}

// Many rows: B is packed by all threads, block by block, unless `whole` holds all its panels, and then the
// threads share the rows.
void multiply_packed(const Product& p, const uint32_t* whole, int threads) {
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p, slots.tile_columns), words = words_of(p);
  const bool sums_in_c = p.c_type == DType::f32 && p.added != p.c;
  const int64_t most = !sums_in_c ? words_with_own_sums : p.word == ProductWord::f32 ? f32_words : pair_words;
  const int64_t passes = std::max<int64_t>(1, (words + most - 1) / most);
  const int64_t pass =
      passes == 1 ? words : up((words + passes - 1) / passes, 256);  // no cut through a block
  const int64_t panel_words = std::max<int64_t>(1, pass) * slots.tile_columns;
  const int64_t block = whole ? panels : std::min(panels, std::max<int64_t>(1, packed_block / panel_words));
  Array packed_memory;
  uint32_t* packed = nullptr;
  if (!whole) {
    packed_memory = Array::empty({block * panel_words}, DType::u32);
    packed = static_cast<uint32_t*>(packed_memory.raw_mutable());
  }
  Array sums_memory;
  float* sums = nullptr;
  int64_t sums_distance = 0;
  if (pass < words) {
    sums_distance = sums_in_c ? p.c_distance : panels * slots.tile_columns;
    if (!sums_in_c) sums_memory = Array::empty({p.m, sums_distance}, DType::f32);
    sums = sums_in_c ? static_cast<float*>(p.c) : static_cast<float*>(sums_memory.raw_mutable());
  }

  const int64_t rows = up((p.m + threads - 1) / threads, slots.tile_rows);
  auto part_of = [&](int i, int64_t word, int64_t panel) {
    ProductPart part;
    part.row = std::min(p.m, rows * i);
    part.row_end = std::min(p.m, rows * (i + 1));
    part.panel = panel;
    part.panel_end = std::min(panels, panel + block);
    part.word = word;
    part.word_end = std::min(words, word + pass);
    part.sums = sums;
    part.sums_distance = sums_distance;
    if (whole) part.panel_distance = words * slots.tile_columns;
    return part;
  };
  // The last pass has fewer words, and then larger blocks of rows.
  const int64_t last_pass = words > 0 ? (words - 1) / pass * pass : 0;
  Scratch scratch(threads, std::max(slots.packed_scratch(p, part_of(0, 0, 0)),
                                    slots.packed_scratch(p, part_of(0, last_pass, 0))));
  int64_t word = 0;
  do {  // once even if k is 0
    for (int64_t panel = 0; panel < panels; panel += block) {
      if (!whole)
        parallel(threads, [&](int i) {
          ProductPart part = part_of(i, word, panel);
          const int64_t first = part.panel, count = part.panel_end - first;
          part.panel = first + count * i / threads;
          part.panel_end = first + count * (i + 1) / threads;
          slots.pack(p, part,
                     packed + (part.panel - first) * (part.word_end - part.word) * slots.tile_columns);
        });
      parallel(threads, [&](int i) {
        const ProductPart part = part_of(i, word, panel);
        const uint32_t* first = whole ? whole + word * slots.tile_columns : packed;
        if (part.row < part.row_end) slots.multiply_packed(p, part, first, scratch.part(i));
      });
    }
    word += pass;
  } while (word < words);
}

void multiply_f64(const Product& p, int threads) {
  const ProductSlots& slots = table().product;
  Scratch scratch(threads, slots.f64_scratch(p));
  parallel(threads, [&](int i) {
    ProductPart part;
    part.row = p.m * i / threads;
    part.row_end = p.m * (i + 1) / threads;
    part.panel_end = panels_of(p, slots.tile_columns);
    slots.multiply_f64(p, part, scratch.part(i));
  });
}

int threads_for(double multiply_adds) {
  return multiply_adds < static_cast<double>(alone) ? 1 : thread_count();
}

double multiply_adds(const Product& p) {
  return static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
}

bool many_rows(const Product& p) { return p.m >= 16 * table().product.tile_rows; }

void multiply(const Product& p, int threads) {
  if (p.a_type == DType::f64) return multiply_f64(p, static_cast<int>(std::min<int64_t>(threads, p.m)));
  const ProductSlots& slots = table().product;
  if (many_rows(p)) return multiply_packed(p, nullptr, threads);
  const int64_t pieces = std::max(panels_of(p, slots.tile_columns), p.m / slots.tile_rows);
  multiply_streamed(p, static_cast<int>(std::clamp<int64_t>(pieces, 1, threads)));
}

// Types that the kernels take: a f32, bf16 or f16 and b one of those or a block format, or both f64.
void choose_types(Array& a, Array& b) {
  if (!is_float(a.dtype())) a = cast(a, b.dtype() == DType::bf16 ? DType::bf16 : DType::f32);
  if (!is_float(b.dtype()) && !is_quantized(b.dtype())) b = cast(b, DType::f32);
  if (a.dtype() == DType::f64 || b.dtype() == DType::f64) {
    a = cast(a, DType::f64);
    b = cast(b, DType::f64);
  }
  if (is_quantized(b.dtype()) && !blocks_in_place(b)) {
    b = cast(b, a.dtype() == DType::bf16 ? DType::bf16 : DType::f32);
  }
}

}  // namespace

void matmul(const Array& a_given, const Array& b_given, Array& c, bool accumulate, const Epilogue& epilogue) {
  if (c.size() == 0) return;
  Array a_array = a_given, b_array = b_given;
  choose_types(a_array, b_array);
  if (a_array.dtype() == DType::f64 && c.dtype() != DType::f64 && c.dtype() != DType::f32) {
    Array wide = accumulate ? cast(c, DType::f64) : Array::empty(c.shape(), DType::f64);
    matmul(a_array, b_array, wide, accumulate, epilogue);
    return copy(wide, c);
  }

  Operand a = operand_of(a_array), b = operand_of(b_array);
  Product p;
  p.m = c.dim(-2);
  p.n = c.dim(-1);
  p.k = a.array.dim(-1);
  Batch batch(c.shape(), a.array, b.array);
  if (batch.count > 1 && batch.shared(batch.b)) {
    // One b for the whole batch: the batch's rows are rows of one product.
    if (a.transposed || !one_matrix(a.array, a.distance, c.shape())) {
      Shape shape = c.shape(), strides = c.shape();
      for (int i = 0; i < batch.rank; i++) strides[i] = batch.a[i];
      shape[-1] = p.k;
      strides[-2] = a.array.strides()[-2];
      strides[-1] = a.array.strides()[-1];
      a = operand_of(contiguous(a.array.view(shape, strides)));
    }
    p.m *= batch.count;
    batch.rank = 0;
    batch.count = 1;
  }
  p.a_type = a.array.dtype();
  p.a_distance = a.distance;
  p.a_transposed = a.transposed;
  p.b_type = b.array.dtype();
  p.b_distance = b.distance;
  p.b_transposed = b.transposed;
  p.c_type = c.dtype();
  p.c_distance = p.n;
  if (p.a_type == DType::bf16 && (p.b_type == DType::bf16 || is_quantized(p.b_type)))
    p.word = ProductWord::bf16_pair;
  p.bias = epilogue.bias;
  p.activation = epilogue.activation;

  const void *a_data = a.array.raw(), *b_data = b.array.raw();
  char* c_data = static_cast<char*>(c.raw_mutable());
  const int64_t c_bytes = p.m * p.n * info(p.c_type).bytes;
  auto one = [&](int64_t i, int threads) {
    Product q = p;
    q.a = advance(a_data, p.a_type, batch.offset(batch.a, i));
    q.b = advance(b_data, p.b_type, batch.offset(batch.b, i));
    q.c = c_data + i * c_bytes;
    if (accumulate) q.added = q.c;
    multiply(q, threads);
  };
  const double work = multiply_adds(p);
  const int threads = threads_for(work * static_cast<double>(batch.count));
  // Whole matrices for each thread, if they come out even or are many.
  if (threads > 1 && batch.count > 1 && (batch.count % threads == 0 || batch.count >= 8 * threads)) {
    parallel(threads, [&](int part) {
      for (int64_t i = batch.count * part / threads; i < batch.count * (part + 1) / threads; i++) one(i, 1);
    });
  } else {
    for (int64_t i = 0; i < batch.count; i++) one(i, batch.count == 1 ? threads : threads_for(work));
  }
}

PackedMatrix pack(const Array& b_given, DType type) {
  if (type != DType::f32 && type != DType::bf16)
    fail("pack: products of packed {} are asked for, expected f32 or bf16", info(type).name);
  Array b_array = b_given;
  if (is_quantized(b_array.dtype()) ? !blocks_in_place(b_array)
                                    : type == DType::bf16 || b_array.dtype() == DType::f64)
    b_array = cast(b_array, type);
  const Operand b = operand_of(b_array);
  const ProductSlots& slots = table().product;
  Product p;
  p.k = b.array.dim(0);
  p.n = b.array.dim(1);
  p.b = b.array.raw();
  p.b_type = b.array.dtype();
  p.b_distance = b.distance;
  p.b_transposed = b.transposed;
  p.word = type == DType::bf16 ? ProductWord::bf16_pair : ProductWord::f32;
  const int64_t panels = panels_of(p, slots.tile_columns), words = words_of(p);
  PackedMatrix packed{Array::empty({panels, words, slots.tile_columns}, DType::u32), type, p.k, p.n,
                      table().name};
  auto* to = static_cast<uint32_t*>(packed.panels.raw_mutable());
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    ProductPart part;
    part.panel = begin;
    part.panel_end = end;
    part.word_end = words;
    slots.pack(p, part, to + begin * words * slots.tile_columns);
  });
  return packed;
}

Array unpack(const PackedMatrix& b) {
  const int64_t words = b.panels.dim(1), columns = b.panels.dim(2), bytes = info(b.type).bytes;
  Array rows = Array::empty({b.n, b.k}, b.type);
  const auto* from = static_cast<const char*>(b.panels.raw());
  auto* to = static_cast<char*>(rows.raw_mutable());
  const int64_t elements = 4 / bytes;
  parallel_for(b.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const char* column = from + (i / columns * words * columns + i % columns) * 4;
      for (int64_t k = 0; k < b.k; k++) {
        std::memcpy(to + (i * b.k + k) * bytes, column + k / elements * columns * 4 + k % elements * bytes,
                    static_cast<size_t>(bytes));
      }
    }
  });
  Shape shape{b.k, b.n}, strides{1, b.k};
  return rows.view(shape, strides);
}

void matmul(const Array& a_given, const PackedMatrix& b, Array& c, bool accumulate,
            const Epilogue& epilogue) {
  if (b.rung != table().name)
    fail("matmul: the matrix was packed for rung {}, {} is active", b.rung, table().name);
  if (c.size() == 0) return;
  const Array a_array =
      is_float(a_given.dtype()) && a_given.dtype() != DType::f64 ? a_given : cast(a_given, b.type);
  const Operand a = operand_of(b.type == DType::bf16 ? cast(a_array, DType::bf16) : a_array);
  Product p;
  p.m = c.dim(0);
  p.n = b.n;
  p.k = b.k;
  p.a = a.array.raw();
  p.a_type = a.array.dtype();
  p.a_distance = a.distance;
  p.a_transposed = a.transposed;
  p.b_type = b.type;
  p.c = c.raw_mutable();
  p.c_type = c.dtype();
  p.c_distance = p.n;
  p.word = b.type == DType::bf16 ? ProductWord::bf16_pair : ProductWord::f32;
  if (accumulate) p.added = p.c;
  p.bias = epilogue.bias;
  p.activation = epilogue.activation;
  const auto* packed = static_cast<const uint32_t*>(b.panels.raw());
  const int threads = threads_for(multiply_adds(p));
  if (many_rows(p)) return multiply_packed(p, packed, threads);
  const int64_t panels = panels_of(p, table().product.tile_columns);
  multiply_panels(p, packed, static_cast<int>(std::min<int64_t>(panels, threads)));
}

}  // namespace intarsia::kernel

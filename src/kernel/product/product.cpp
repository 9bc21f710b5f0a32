// kernel::matmul: finds out how the operands lie in memory, and splits a product over the threads. The split
// never shows in the result: a row's sums are formed in order of k wherever they are formed.
#include <algorithm>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/product/multiply.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr int64_t alone = 1 << 17;         // multiply-adds below which one thread is faster than two
constexpr int64_t packed_block = 1 << 20;  // words of B packed at once: 4 MB
// Words of k in one pass where c itself can hold the sums between passes, and where they need memory of their
// own.
constexpr int64_t f32_words = 1024, pair_words = 1536, words_with_own_sums = 4096;

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

// A block-quantized b is usable in place if it is the transposed view of rows of whole blocks.
bool blocks_in_place(const Array& b) {
  const int block = info(b.dtype()).block;
  if (b.dim(-2) % block || b.strides()[-2] != 1 || (b.dim(-1) > 1 && b.strides()[-1] % block)) return false;
  for (int i = 0; i < b.rank() - 2; i++) {
    if (b.strides()[i] % block) return false;
  }
  return true;
}

// The batch axes of c, and how far apart a's and b's matrices are along each.
struct Batch {
  int rank = 0;
  int64_t count = 1;
  int64_t dim[Shape::max_rank] = {}, a[Shape::max_rank] = {}, b[Shape::max_rank] = {};

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

// Whether b can be read where it lies as well as from panels: f32, neighbouring columns, whole tiles, and so
// small that the second-level cache holds it.
bool panels_in_place(const Product& p) {
  constexpr int64_t held = 1 << 17;  // words, 512 KB
  return p.word == ProductWord::f32 && p.b_type == DType::f32 && !p.b_transposed &&
         p.n % table().product.tile_columns == 0 && p.k * p.n <= held;
}

int64_t up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

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
  const int64_t panels = panels_of(p);
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
  for (int i = 0; i < threads; i++) bytes = std::max(bytes, slots.of(p).streamed_scratch(p, part_of(i)));
  Scratch scratch(threads, bytes);
  parallel(threads, [&](int i) {
    const ProductPart part = part_of(i);
    if (part.row < part.row_end) slots.of(p).multiply_streamed(p, part, scratch.part(i));
  });
}

// Few rows times panels packed before: the threads share the panels.
void multiply_panels(const Product& p, const uint32_t* packed, int threads) {
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p), words = words_of(p);
  ProductPart whole;
  whole.row_end = p.m;
  whole.word_end = words;
  whole.panel_distance = words * slots.tile_columns;
  Scratch scratch(threads, slots.of(p).packed_scratch(p, whole));
  parallel(threads, [&](int i) {
    ProductPart part = whole;
    part.panel = panels * i / threads;
    part.panel_end = panels * (i + 1) / threads;
    slots.of(p).multiply_packed(p, part, packed + part.panel * part.panel_distance, scratch.part(i));
  });
}

// Many rows: B is packed by all threads, block by block, unless `whole` holds all its panels, and then the
// threads share the rows.
void multiply_packed(const Product& p, const uint32_t* whole, int threads) {
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p), words = words_of(p);
  const bool sums_in_c = p.c_type == DType::f32 && p.added != p.c;
  const int64_t most = !sums_in_c ? words_with_own_sums : p.word == ProductWord::f32 ? f32_words : pair_words;
  const int64_t passes = std::max<int64_t>(1, (words + most - 1) / most);
  const int64_t pass =
      passes == 1 ? words : up((words + passes - 1) / passes, 256);  // no cut through a block
  const int64_t panel_words = std::max<int64_t>(1, pass) * slots.tile_columns;
  const bool in_place = !whole && panels_in_place(p);
  const int64_t block =
      whole || in_place ? panels : std::min(panels, std::max<int64_t>(1, packed_block / panel_words));
  Array packed_memory;
  uint32_t* packed = nullptr;
  if (!whole && !in_place) {
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
    if (in_place) part.panel_distance = slots.tile_columns, part.word_distance = p.b_distance;
    return part;
  };
  // Where the first panel of the part's words lies.
  auto first_of = [&](int64_t at_word) -> const uint32_t* {
    if (in_place) return static_cast<const uint32_t*>(p.b) + at_word * p.b_distance;
    return whole ? whole + at_word * slots.tile_columns : packed;
  };
  // The last pass has fewer words, and then larger blocks of rows.
  const int64_t last_pass = words > 0 ? (words - 1) / pass * pass : 0;
  Scratch scratch(threads, std::max(slots.of(p).packed_scratch(p, part_of(0, 0, 0)),
                                    slots.of(p).packed_scratch(p, part_of(0, last_pass, 0))));
  int64_t word = 0;
  do {  // once even if k is 0
    for (int64_t panel = 0; panel < panels; panel += block) {
      if (packed)
        parallel(threads, [&](int i) {
          ProductPart part = part_of(i, word, panel);
          const int64_t first = part.panel, count = part.panel_end - first;
          part.panel = first + count * i / threads;
          part.panel_end = first + count * (i + 1) / threads;
          slots.of(p).pack(p, part,
                           packed + (part.panel - first) * (part.word_end - part.word) * slots.tile_columns);
        });
      parallel(threads, [&](int i) {
        const ProductPart part = part_of(i, word, panel);
        if (part.row < part.row_end) slots.of(p).multiply_packed(p, part, first_of(word), scratch.part(i));
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
    part.panel_end = panels_of(p);
    slots.multiply_f64(p, part, scratch.part(i));
  });
}

}  // namespace

Operand operand_of(const Array& x) {
  Operand operand;
  if (!lies_well(x, operand)) lies_well(contiguous(x), operand);
  return operand;
}

void set_left(Product& p, const Operand& a) {
  p.k = a.array.dim(-1);
  p.a = a.array.raw();
  p.a_type = a.array.dtype();
  p.a_distance = a.distance;
  p.a_transposed = a.transposed;
}

void set_right(Product& p, const Operand& b) {
  p.b = b.array.raw();
  p.b_type = b.array.dtype();
  p.b_distance = b.distance;
  p.b_transposed = b.transposed;
}

void set_result(Product& p, Array& c, bool accumulate, const Epilogue& epilogue) {
  p.c = c.raw_mutable();
  p.c_type = c.dtype();
  p.c_distance = p.n;
  p.added = accumulate ? p.c : epilogue.residual ? epilogue.residual->raw() : nullptr;
  p.bias = epilogue.bias;
  p.activation = epilogue.activation;
  p.gate = epilogue.gate ? epilogue.gate->raw() : nullptr;
  p.gate_activation = epilogue.gate_activation;
}

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

ProductWord word_of(DType a, DType b) {
  if (a == DType::i8) return ProductWord::int8_quad;
  if (a == DType::bf16 && (b == DType::bf16 || is_quantized(b))) return ProductWord::bf16_pair;
  return ProductWord::f32;
}

const void* advance(const void* p, DType dtype, int64_t elements) {
  const DTypeInfo& type = info(dtype);
  return static_cast<const char*>(p) + elements / type.block * type.bytes;
}

int64_t words_of(const Product& p) {
  const int elements = elements_of(p.word);
  return (p.k + elements - 1) / elements;
}
int64_t panels_of(const Product& p) {
  const int64_t width = table().product.tile_columns;
  return (p.n + width - 1) / width;
}

int threads_for(double multiply_adds) {
  return multiply_adds < static_cast<double>(alone) ? 1 : thread_count();
}

double multiply_adds(const Product& p) {
  return static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
}

void multiply(const Product& p, const uint32_t* packed, int threads) {
  const ProductSlots& slots = table().product;
  if (p.a_type == DType::f64) return multiply_f64(p, static_cast<int>(std::min<int64_t>(threads, p.m)));
  if (p.m >= int64_t{16} * slots.tile_rows) return multiply_packed(p, packed, threads);
  const int64_t panels = panels_of(p);
  if (packed) return multiply_panels(p, packed, static_cast<int>(std::clamp<int64_t>(panels, 1, threads)));
  const int64_t pieces = std::max(panels, p.m / slots.tile_rows);
  multiply_streamed(p, static_cast<int>(std::clamp<int64_t>(pieces, 1, threads)));
}

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
  set_left(p, a);
  set_right(p, b);
  p.word = word_of(p.a_type, p.b_type);
  set_result(p, c, accumulate, epilogue);

  const void *a_data = p.a, *b_data = p.b;
  char* c_data = static_cast<char*>(p.c);
  const int64_t c_bytes = p.m * p.n * info(p.c_type).bytes;
  auto one = [&](int64_t i, int threads) {
    Product q = p;
    q.a = advance(a_data, p.a_type, batch.offset(batch.a, i));
    q.b = advance(b_data, p.b_type, batch.offset(batch.b, i));
    q.c = c_data + i * c_bytes;
    if (accumulate) q.added = q.c;
    multiply(q, nullptr, threads);
  };
  const double work = multiply_adds(p);
  const int threads = threads_for(work * static_cast<double>(batch.count));
  // Whole matrices for each thread, if they come out even or are many.
  if (threads > 1 && batch.count > 1 && (batch.count % threads == 0 || batch.count >= int64_t{8} * threads)) {
    parallel(threads, [&](int part) {
      for (int64_t i = batch.count * part / threads; i < batch.count * (part + 1) / threads; i++) one(i, 1);
    });
  } else {
    for (int64_t i = 0; i < batch.count; i++) one(i, batch.count == 1 ? threads : threads_for(work));
  }
}

}  // namespace intarsia::kernel

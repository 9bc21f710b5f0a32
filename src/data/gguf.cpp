#include "data/gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numeric>
#include <unordered_set>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr char magic[] = {'G', 'G', 'U', 'F'};
constexpr size_t most_keys = 1 << 16, most_tensors = 1 << 16, most_ranks = 4;
constexpr uint32_t default_alignment = 32, largest_alignment = 1 << 16;

struct TypeInfo {
  const char* name;
  size_t bytes;  // 0: of varying length
};
// In the order of GgufType.
constexpr TypeInfo value_types[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

struct TensorType {
  uint32_t id;  // ggml_type
  DType dtype;
};
constexpr TensorType tensor_types[] = {
    {0, DType::f32},   {1, DType::f16},   {2, DType::q4_0},  {3, DType::q4_1},  {6, DType::q5_0},
    {7, DType::q5_1},  {8, DType::q8_0},  {10, DType::q2_k}, {11, DType::q3_k}, {12, DType::q4_k},
    {13, DType::q5_k}, {14, DType::q6_k}, {24, DType::i8},   {25, DType::i16},  {26, DType::i32},
    {27, DType::i64},  {28, DType::f64},  {30, DType::bf16},
};

const TypeInfo& info_of(GgufType type) { return value_types[static_cast<size_t>(type)]; }

template <class T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && info_of(type).bytes > 0 &&
         type != GgufType::boolean;
}

// u64 values above the largest i64 come out negative; callers that care look at the type.
int64_t load_integer(GgufType type, const char* from) {
  switch (type) {
    case GgufType::u8:
      return load<uint8_t>(from);
    case GgufType::i8:
      return load<int8_t>(from);
    case GgufType::u16:
      return load<uint16_t>(from);
    case GgufType::i16:
      return load<int16_t>(from);
    case GgufType::u32:
      return load<uint32_t>(from);
    case GgufType::i32:
      return load<int32_t>(from);
    case GgufType::boolean:
      return load<uint8_t>(from);
    default:
      return load<int64_t>(from);
  }
}

double load_number(GgufType type, const char* from) {
  if (type == GgufType::f32) return load<float>(from);
  if (type == GgufType::f64) return load<double>(from);
  if (type == GgufType::u64) return static_cast<double>(load<uint64_t>(from));
  return static_cast<double>(load_integer(type, from));
}

std::string_view load_text(const char* from) { return {from + 8, load<uint64_t>(from)}; }

uint64_t round_up(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

void append(std::string& out, const void* bytes, size_t count) {
  out.append(static_cast<const char*>(bytes), count);
}
template <class T>
void append_number(std::string& out, T value) {
  append(out, &value, sizeof value);
}
void append_text(std::string& out, std::string_view text) {
  append_number(out, uint64_t{text.size()});
  out += text;
}

}  // namespace

const char* name_of(GgufType type) { return info_of(type).name; }

// ---- values

void GgufValue::wrong(const char* expected) const {
  const std::string found = is_array() ? fmt::format("an array of {}", name_of(element_)) : name_of(type_);
  fail("{}: {} is {}, expected {}", file_->name(), quote(key_), found, expected);
}

int64_t GgufValue::integer() const {
  if (!is_integer(type_)) wrong("an integer");
  const int64_t value = load_integer(type_, data_);
  if (type_ == GgufType::u64 && value < 0) wrong("an integer below 2^63");
  return value;
}

double GgufValue::number() const {
  if (info_of(type_).bytes == 0 || type_ == GgufType::boolean) wrong("a number");
  return load_number(type_, data_);
}

bool GgufValue::boolean() const {
  if (type_ != GgufType::boolean) wrong("a bool");
  return *data_ != 0;
}

std::string_view GgufValue::text() const {
  if (type_ != GgufType::string) wrong("a string");
  return load_text(data_);
}

std::vector<std::string_view> GgufValue::texts() const {
  if (!is_array() || element_ != GgufType::string) wrong("an array of strings");
  std::vector<std::string_view> result;
  result.reserve(count_);
  const char* at = data_;
  for (size_t i = 0; i < count_; i++) {
    result.push_back(load_text(at));
    at += 8 + result.back().size();
  }
  return result;
}

std::vector<int64_t> GgufValue::integers() const {
  if (!is_array() || (!is_integer(element_) && element_ != GgufType::boolean)) wrong("an array of integers");
  std::vector<int64_t> result(count_);
  for (size_t i = 0; i < count_; i++) {
    result[i] = load_integer(element_, data_ + i * info_of(element_).bytes);
    if (element_ == GgufType::u64 && result[i] < 0) wrong("integers below 2^63");
  }
  return result;
}

std::vector<float> GgufValue::numbers() const {
  if (!is_array() || info_of(element_).bytes == 0 || element_ == GgufType::boolean)
    wrong("an array of numbers");
  std::vector<float> result(count_);
  for (size_t i = 0; i < count_; i++)
    result[i] = static_cast<float>(load_number(element_, data_ + i * info_of(element_).bytes));
  return result;
}

std::string GgufValue::summary() const {
  constexpr size_t shown = 5;
  const auto one = [](GgufType type, const char* at) -> std::string {
    if (type == GgufType::string) return quote(load_text(at));
    if (type == GgufType::boolean) return *at ? "true" : "false";
    if (type == GgufType::u64) return fmt::format("{}", load<uint64_t>(at));
    if (is_integer(type)) return fmt::format("{}", load_integer(type, at));
    return fmt::format("{}", load_number(type, at));
  };
  if (!is_array()) return one(type_, data_);
  std::string text = fmt::format("{} {}: [", count_, name_of(element_));
  const char* at = data_;
  for (size_t i = 0; i < std::min(count_, shown); i++) {
    text += (i ? ", " : "") + one(element_, at);
    at += element_ == GgufType::string ? 8 + load_text(at).size() : info_of(element_).bytes;
  }
  return text + (count_ > shown ? ", ...]" : "]");
}

// ---- reading

const GgufValue* Gguf::find(std::string_view key) const {
  const auto place =
      std::lower_bound(sorted_.begin(), sorted_.end(), key,
                       [&](uint32_t index, std::string_view k) { return metadata_[index].first < k; });
  return place != sorted_.end() && metadata_[*place].first == key ? &metadata_[*place].second : nullptr;
}

const GgufValue& Gguf::at(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) fail("{}: the metadata key {} is missing", name(), quote(key));
  return *value;
}

int64_t Gguf::integer(std::string_view key, int64_t otherwise) const {
  const GgufValue* value = find(key);
  return value ? value->integer() : otherwise;
}
double Gguf::number(std::string_view key, double otherwise) const {
  const GgufValue* value = find(key);
  return value ? value->number() : otherwise;
}
bool Gguf::boolean(std::string_view key, bool otherwise) const {
  const GgufValue* value = find(key);
  return value ? value->boolean() : otherwise;
}
std::string_view Gguf::text(std::string_view key, std::string_view otherwise) const {
  const GgufValue* value = find(key);
  return value ? value->text() : otherwise;
}

// Walks the file once, front to back; every length is compared with the bytes that are left before it is
// used.
class GgufReader {
 public:
  explicit GgufReader(const std::shared_ptr<const MappedFile>& file) : file_(file) { gguf_.file_ = file; }

  Gguf read() {
    if (file_->size() < 4 || std::memcmp(file_->data(), magic, sizeof magic) != 0)
      fail("{}: does not start with \"GGUF\"", file_->name());
    at_ = sizeof magic;
    gguf_.version = number<uint32_t>("the version");
    if (gguf_.version != 2 && gguf_.version != 3) {
      const bool big_endian = __builtin_bswap32(gguf_.version) < 100;
      fail("{}: GGUF version {}{}, expected 2 or 3", file_->name(), gguf_.version,
           big_endian ? " (big endian)" : "");
    }
    const uint64_t tensors = count("tensors", most_tensors, 8 + 4 + 4 + 8);
    const uint64_t keys = count("metadata keys", most_keys, 8 + 4 + 1);
    for (uint64_t i = 0; i < keys; i++) read_pair();
    sort_keys();
    read_tensors(tensors);
    return std::move(gguf_);
  }

 private:
  struct Entry {
    std::string_view name;
    Shape shape;
    DType dtype;
    uint64_t offset, bytes;
  };

  uint64_t left() const { return file_->size() - at_; }

  const char* take(uint64_t bytes, const char* what) {
    if (bytes > left())
      fail("{}: {} at byte {} takes {} bytes, but {} are left in the file", file_->name(), what, at_, bytes,
           left());
    const char* start = file_->data() + at_;
    at_ += bytes;
    return start;
  }
  template <class T>
  T number(const char* what) {
    return load<T>(take(sizeof(T), what));
  }
  std::string_view text(const char* what) {
    const auto length = number<uint64_t>(what);
    return {take(length, what), length};
  }
  uint64_t count(const char* what, uint64_t most, uint64_t bytes_each) {
    const auto found = number<uint64_t>(what);
    if (found > most || found > left() / bytes_each)
      fail("{}: the header counts {} {}, expected at most {} in a file of {} bytes", file_->name(), found,
           what, most, file_->size());
    return found;
  }
  GgufType type(std::string_view key) {
    const auto id = number<uint32_t>("a value's type");
    if (id >= std::size(value_types))
      fail("{}: {} has value type {}, expected 0 to {}", file_->name(), quote(key), id,
           std::size(value_types) - 1);
    return static_cast<GgufType>(id);
  }

  void read_pair() {
    const std::string_view key = text("a key");
    GgufValue value;
    value.file_ = file_.get();
    value.key_ = key;
    value.type_ = value.element_ = type(key);
    if (value.is_array()) {
      value.element_ = type(key);
      if (value.element_ == GgufType::array) fail("{}: {} is an array of arrays", file_->name(), quote(key));
      value.count_ = number<uint64_t>("an array's length");
    }
    const size_t each = info_of(value.element_).bytes;
    // Division: the product could wrap around. A string takes at least the 8 bytes of its length.
    if (value.count_ > left() / (each ? each : 8))
      fail("{}: {} has {} values of {}, but {} bytes are left in the file", file_->name(), quote(key),
           value.count_, name_of(value.element_), left());
    value.data_ = file_->data() + at_;
    if (each)
      take(each * value.count_, "a value");
    else
      for (size_t i = 0; i < value.count_; i++) text("a string");
    gguf_.metadata_.emplace_back(key, value);
  }

  void sort_keys() {
    std::vector<uint32_t>& sorted = gguf_.sorted_;
    sorted.resize(gguf_.metadata_.size());
    std::iota(sorted.begin(), sorted.end(), 0u);
    const auto key = [&](uint32_t index) { return gguf_.metadata_[index].first; };
    std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) { return key(a) < key(b); });
    for (size_t i = 1; i < sorted.size(); i++)
      if (key(sorted[i - 1]) == key(sorted[i]))
        fail("{}: the metadata key {} stands twice", file_->name(), quote(key(sorted[i])));
  }

  Entry read_entry() {
    Entry entry;
    entry.name = text("a tensor's name");
    const auto rank = number<uint32_t>("a tensor's rank");
    if (rank > most_ranks)
      fail("{}: tensor {} has {} axes, expected at most 4", file_->name(), quote(entry.name), rank);
    uint64_t lengths[most_ranks];
    for (uint32_t i = 0; i < rank; i++) lengths[i] = number<uint64_t>("a tensor's shape");
    for (uint32_t i = rank; i-- > 0;) {
      if (lengths[i] > uint64_t{1} << 62)
        fail("{}: tensor {} has an axis of length {}", file_->name(), quote(entry.name), lengths[i]);
      entry.shape.append(static_cast<int64_t>(lengths[i]));
    }
    const auto id = number<uint32_t>("a tensor's type");
    const auto found = std::find_if(std::begin(tensor_types), std::end(tensor_types),
                                    [&](const TensorType& known) { return known.id == id; });
    if (found == std::end(tensor_types))
      fail_hint("quantize it as q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k or q6_k",
                "{}: tensor {} has GGML type {}, which is not supported", file_->name(), quote(entry.name),
                id);
    entry.dtype = found->dtype;
    entry.offset = number<uint64_t>("a tensor's offset");
    const std::string where = fmt::format("{}: tensor {}", file_->name(), quote(entry.name));
    entry.bytes = checked_bytes(entry.shape, entry.dtype, where);
    return entry;
  }

  void read_tensors(uint64_t tensor_count) {
    const int64_t alignment = gguf_.integer("general.alignment", default_alignment);
    if (alignment < 8 || alignment > largest_alignment || (alignment & (alignment - 1)))
      fail("{}: general.alignment is {}, expected a power of two from 8 to {}", file_->name(), alignment,
           largest_alignment);
    std::vector<Entry> entries;
    for (uint64_t i = 0; i < tensor_count; i++) entries.push_back(read_entry());
    const auto step = static_cast<uint64_t>(alignment);
    const uint64_t start = round_up(at_, step);
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
      const std::string where = fmt::format("tensor {}", quote(entry.name));
      if (entry.offset % step)
        fail("{}: {} is at offset {}, expected a multiple of {}", file_->name(), where, entry.offset, step);
      if (entry.offset < covered) fail("{}: {} overlaps the tensor before it", file_->name(), where);
      if (entry.offset > file_->size() || start + entry.offset > file_->size() ||
          entry.bytes > file_->size() - start - entry.offset)
        fail("{}: {} {} needs {} bytes at byte {}, but the file ends at byte {}", file_->name(), where,
             entry.shape.text(), entry.bytes, start + entry.offset, file_->size());
      covered = entry.offset + entry.bytes;
      Array array = array_in(file_, start + entry.offset, entry.shape, entry.dtype, where);
      if (!gguf_.tensors_.emplace(std::string(entry.name), std::move(array)).second)
        fail("{}: {} stands twice", file_->name(), where);
    }
  }

  std::shared_ptr<const MappedFile> file_;
  uint64_t at_ = 0;
  Gguf gguf_;
};

Gguf parse_gguf(const std::shared_ptr<const MappedFile>& file) { return GgufReader(file).read(); }
Gguf read_gguf(const std::filesystem::path& path) { return read_mapped(path, parse_gguf); }

// ---- writing

void GgufWriter::start(std::string_view key, GgufType type) {
  if (std::find(keys_.begin(), keys_.end(), key) != keys_.end())
    fail("gguf: the key {} is set twice", quote(key));
  keys_.emplace_back(key);
  append_text(metadata_, key);
  append_number(metadata_, static_cast<uint32_t>(type));
}

void GgufWriter::put(std::string_view key, GgufType type, const void* value, size_t bytes) {
  start(key, type);
  append(metadata_, value, bytes);
}

void GgufWriter::put_array(std::string_view key, GgufType type, const void* values, size_t count,
                           size_t bytes_each) {
  start(key, GgufType::array);
  append_number(metadata_, static_cast<uint32_t>(type));
  append_number(metadata_, uint64_t{count});
  append(metadata_, values, count * bytes_each);
}

void GgufWriter::set(std::string_view key, std::string_view value) {
  start(key, GgufType::string);
  append_text(metadata_, value);
}

void GgufWriter::set(std::string_view key, bool value) {
  start(key, GgufType::boolean);
  append_number(metadata_, static_cast<uint8_t>(value));
}

void GgufWriter::set(std::string_view key, std::span<const std::string_view> values) {
  put_array(key, GgufType::string, nullptr, values.size(), 0);
  for (std::string_view value : values) append_text(metadata_, value);
}

void GgufWriter::set(std::string_view key, std::span<const std::string> values) {
  put_array(key, GgufType::string, nullptr, values.size(), 0);
  for (const std::string& value : values) append_text(metadata_, value);
}

void GgufWriter::set(std::string_view key, const GgufValue& value) {
  if (value.type() == GgufType::string) return set(key, value.text());
  if (value.element_type() == GgufType::string) {
    const std::vector<std::string_view> texts = value.texts();
    return set(key, std::span<const std::string_view>(texts));
  }
  const size_t bytes = info_of(value.element_type()).bytes;
  if (value.is_array())
    put_array(key, value.element_type(), value.data_, value.size(), bytes);
  else
    put(key, value.type(), value.data_, bytes);
}

void GgufWriter::add(ArraySource tensor) { tensors_.push_back(std::move(tensor)); }

void GgufWriter::write(const std::filesystem::path& path, FileSystem& files) const {
  if (std::find(keys_.begin(), keys_.end(), "general.alignment") != keys_.end())
    fail("{}: general.alignment is the writer's own", path.string());
  std::string header(magic, sizeof magic);
  append_number(header, uint32_t{3});
  append_number(header, uint64_t{tensors_.size()});
  append_number(header, uint64_t{keys_.size()});
  header += metadata_;
  uint64_t offset = 0;
  std::unordered_set<std::string_view> names;
  for (const ArraySource& tensor : tensors_) {
    const std::string where = fmt::format("{}: tensor {}", path.string(), quote(tensor.name));
    if (!names.insert(tensor.name).second) fail("{} is added twice", where);
    const auto type = std::find_if(std::begin(tensor_types), std::end(tensor_types),
                                   [&](const TensorType& known) { return known.dtype == tensor.dtype; });
    if (type == std::end(tensor_types))
      fail("{}: {} cannot be written to GGUF", where, info(tensor.dtype).name);
    if (tensor.shape.rank() > static_cast<int>(most_ranks))
      fail("{}: shape {} has more than 4 axes", where, tensor.shape.text());
    append_text(header, tensor.name);
    append_number(header, static_cast<uint32_t>(tensor.shape.rank()));
    for (int axis = tensor.shape.rank() - 1; axis >= 0; axis--)
      append_number(header, static_cast<uint64_t>(tensor.shape[axis]));
    append_number(header, type->id);
    append_number(header, offset);
    offset += round_up(checked_bytes(tensor.shape, tensor.dtype, where), default_alignment);
  }
  FileWriter out(path, files);
  out.write(header);
  const auto align = [&] { out.pad(round_up(out.position(), default_alignment) - out.position()); };
  align();
  for (const ArraySource& tensor : tensors_) {
    write_values(out, tensor);
    align();
  }
  out.commit();
}

}  // namespace intarsia

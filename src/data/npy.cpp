#include "data/npy.h"

#include <zip.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include "core/fail.h"
#include "data/gzip.h"

namespace intarsia {

namespace {

constexpr char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
constexpr size_t longest_header = 1 << 16, alignment = 64, most_entries = 1 << 16, smallest_zip = 22;

struct TypeName {
  const char* name;
  DType dtype;
};
constexpr TypeName types[] = {
    {"<f4", DType::f32}, {"<f8", DType::f64}, {"<f2", DType::f16},     {"|i1", DType::i8},
    {"|u1", DType::u8},  {"<i2", DType::i16}, {"<u2", DType::u16},     {"<i4", DType::i32},
    {"<u4", DType::u32}, {"<i8", DType::i64}, {"|b1", DType::boolean},
};

struct Header {
  DType dtype = DType::f32;
  bool fortran = false;
  Shape shape;
  size_t data = 0;  // where the values start
};

// The header is the text of a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderText {
 public:
  HeaderText(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void read(Header& header) {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      bool& seen = key == "descr" ? descr : key == "fortran_order" ? order : shape;
      if (seen || (key != "descr" && key != "fortran_order" && key != "shape")) refuse();
      seen = true;
      if (key == "descr")
        header.dtype = dtype();
      else if (key == "fortran_order")
        header.fortran = boolean();
      else
        header.shape = tuple();
      if (!accept(',') && peek() != '}') refuse();
    }
    skip_space();
    if (!descr || !order || !shape || at_ != text_.size()) refuse();
  }

 private:
  [[noreturn]] void refuse() {
    fail("{}: the npy header {} is no {{'descr', 'fortran_order', 'shape'}} (see character {})", file_,
         quote(text_, 160), at_);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) at_++;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    at_++;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) refuse();
  }
  bool accept_word(std::string_view word) {
    skip_space();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  std::string_view string() {
    const char mark = peek();
    if (mark != '\'' && mark != '"') refuse();
    const size_t end = text_.find(mark, at_ + 1);
    if (end == std::string_view::npos) refuse();
    const std::string_view found = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return found;
  }
  DType dtype() {
    if (peek() == '[') fail("{}: holds records, expected an array of numbers", file_);
    const std::string_view name = string();
    for (const TypeName& type : types)
      if (name == type.name) return type.dtype;
    fail("{}: the element type is {}, expected one of <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 <u4 |b1", file_,
         quote(name));
  }
  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    refuse();
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t length = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), length);
      if (error != std::errc() || length < 0) refuse();
      at_ = static_cast<size_t>(end - text_.data());
      shape.append(length);
      if (!accept(',') && peek() != ')') refuse();
    }
    return shape;
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
};

// `bytes` is the file or its beginning; a header of at most 64 KB must be whole in it.
Header parse_header(std::string_view bytes, const std::string& file) {
  if (bytes.size() < 10 || std::memcmp(bytes.data(), magic, sizeof magic) != 0)
    fail("{}: does not start with the mark of an npy file", file);
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) fail("{}: npy version {}, expected 1, 2 or 3", file, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  if (bytes.size() < 8 + length_bytes) fail("{}: ends inside the npy header", file);
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  Header header;
  header.data = 8 + length_bytes + length;
  if (length > longest_header || header.data > bytes.size())
    fail("{}: the npy header's length is {}, expected at most {}", file, length,
         std::min(longest_header, bytes.size() - 8 - length_bytes));
  HeaderText(bytes.substr(8 + length_bytes, length), file).read(header);
  return header;
}

// Puts values that come in Fortran's order (the first axis fastest) where C's order has them.
class FortranOrder {
 public:
  explicit FortranOrder(Array& array)
      : shape_(array.shape()),
        strides_(contiguous_strides(array.shape())),
        index_(array.shape()),
        width_(static_cast<size_t>(info(array.dtype()).bytes)),
        to_(static_cast<char*>(array.raw_mutable())) {
    for (int axis = 0; axis < index_.rank(); axis++) index_[axis] = 0;
  }
  // The next values, whole ones.
  void put(std::string_view bytes) {
    switch (width_) {
      case 1:
        return put_values<1>(bytes);
      case 2:
        return put_values<2>(bytes);
      case 4:
        return put_values<4>(bytes);
      default:
        return put_values<8>(bytes);
    }
  }

 private:
  template <size_t width>
  void put_values(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(width)) {
      std::memcpy(to_ + static_cast<size_t>(place_) * width, bytes.data(), width);
      for (int axis = 0; axis < shape_.rank(); axis++) {
        place_ += strides_[axis];
        if (++index_[axis] < shape_[axis]) break;
        place_ -= strides_[axis] * shape_[axis];
        index_[axis] = 0;
      }
    }
  }

  Shape shape_, strides_, index_;
  size_t width_;
  char* to_;
  int64_t place_ = 0;  // of the next value
};

Array from_fortran(const Array& stored) {
  Array array = Array::empty(stored.shape(), stored.dtype());
  if (array.size() > 0) FortranOrder(array).put({static_cast<const char*>(stored.raw()), stored.bytes()});
  return array;
}

void check_size(const Header& header, uint64_t data_bytes, const std::string& file) {
  const uint64_t wanted = checked_bytes(header.shape, header.dtype, file);
  if (wanted != data_bytes)
    fail("{}: {} {} takes {} bytes, but {} follow the header", file, info(header.dtype).name,
         header.shape.text(), wanted, data_bytes);
}

std::string header_text(const Array& array, const std::string& where) {
  const auto type = std::find_if(std::begin(types), std::end(types),
                                 [&](const TypeName& known) { return known.dtype == array.dtype(); });
  if (type == std::end(types)) fail("{}: {} cannot be written to npy", where, info(array.dtype()).name);
  if (!array.contiguous()) fail("{}: only contiguous arrays can be written", where);
  std::string shape;
  for (int64_t length : array.shape()) shape += fmt::format("{}, ", length);
  if (array.rank() > 1)
    shape.resize(shape.size() - 2);  // Python writes (3,) but (3, 4)
  else if (array.rank() == 1)
    shape.resize(shape.size() - 1);
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type->name, shape);
  const size_t before = sizeof magic + 4;
  text.append(alignment - 1 - (before + text.size()) % alignment, ' ');
  text += '\n';
  std::string header(magic, sizeof magic);
  header += {'\1', '\0'};
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

// ---- zip

struct ZipClose {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
template <class T>
using ZipOwner = std::unique_ptr<T, ZipClose>;

std::string text_of(zip_error_t& error) {
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

// libzip takes some hundred bytes for each entry that a directory announces. Without the 64-bit extension
// there can be 65,535; with it the count must be looked at before the directory is read.
void check_entry_count(const MappedFile& file) {
  const std::string_view text = file.text();
  constexpr size_t tail = 22 + 65535 + 20;  // the end record, its comment, the locator of the 64-bit record
  for (size_t at = text.size() > tail ? text.size() - tail : 0; at + 20 <= text.size(); at++) {
    at = text.find("PK\6\7", at);
    if (at == std::string_view::npos || at + 20 > text.size()) return;
    uint64_t record = 0, count = 0;
    std::memcpy(&record, text.data() + at + 8, 8);
    if (record > text.size() || text.size() - record < 40) continue;
    std::memcpy(&count, text.data() + record + 32, 8);
    if (count > most_entries)
      fail("{}: announces {} entries, expected at most {}", file.name(), count, most_entries);
  }
}

struct Entry {
  zip_uint64_t index;
  std::string name;  // without .npy
  uint64_t size;
};

std::vector<Entry> list_entries(zip_t* archive, const std::string& file, uint64_t limit) {
  std::vector<Entry> entries;
  uint64_t total = 0;
  const zip_int64_t count = zip_get_num_entries(archive, 0);
  for (zip_int64_t i = 0; i < count; i++) {
    zip_stat_t stat;
    if (zip_stat_index(archive, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW, &stat) != 0)
      fail("{}: entry {} cannot be read: {}", file, i, zip_strerror(archive));
    std::string name = stat.name;
    if (!name.ends_with(".npy")) continue;
    const std::string where = fmt::format("{}: {}", file, quote(name));
    constexpr zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((stat.valid & needed) != needed || stat.encryption_method != ZIP_EM_NONE)
      fail("{}: is encrypted or has no size", where);
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
      fail("{}: compression method {}, expected stored or deflated", where, stat.comp_method);
    // A byte of deflated data unpacks to at most 1032 bytes.
    const uint64_t most = stat.comp_method == ZIP_CM_STORE ? stat.comp_size : stat.comp_size * 1032 + 1032;
    if (stat.comp_size > (uint64_t{1} << 48) || stat.size > most)
      fail("{}: {} bytes cannot unpack to {}", where, stat.comp_size, stat.size);
    if (stat.size > limit - total)
      fail("{}: would unpack to more than {} bytes, the limit for this file", file, limit);
    total += stat.size;
    name.resize(name.size() - 4);
    entries.push_back({stat.index, std::move(name), stat.size});
  }
  return entries;
}

void read_exactly(zip_file_t* file, char* to, uint64_t count, const std::string& where) {
  while (count > 0) {
    const zip_int64_t got = zip_fread(file, to, count);
    if (got < 0) fail("{}: cannot be unpacked: {}", where, zip_error_strerror(zip_file_get_error(file)));
    if (got == 0) fail("{}: ends {} bytes too early", where, count);
    to += got;
    count -= static_cast<uint64_t>(got);
  }
}

Array read_entry(zip_t* archive, const Entry& entry, const std::string& where) {
  const ZipOwner<zip_file_t> file(zip_fopen_index(archive, entry.index, 0));
  if (!file) fail("{}: cannot be opened: {}", where, zip_strerror(archive));
  std::string start(std::min<uint64_t>(entry.size, 12), '\0');
  read_exactly(file.get(), start.data(), start.size(), where);
  if (start.size() < 12) fail("{}: does not start with the mark of an npy file", where);
  uint32_t length = 0;
  std::memcpy(&length, start.data() + 8, start[6] == 1 ? 2 : 4);
  const uint64_t rest = (start[6] == 1 ? 10 : 12) + uint64_t{length};
  if (length > longest_header || rest > entry.size || rest < start.size())
    fail("{}: the npy header's length is {}, which does not fit", where, length);
  start.resize(rest);
  read_exactly(file.get(), start.data() + 12, rest - 12, where);
  const Header header = parse_header(start, where);
  check_size(header, entry.size - header.data, where);
  Array array = Array::empty(header.shape, header.dtype);
  auto* values = static_cast<char*>(array.raw_mutable());
  if (header.fortran && array.rank() > 1) {
    std::string piece(size_t{1} << 16, '\0');  // a multiple of every type's size
    FortranOrder order(array);
    for (size_t left = array.bytes(); left > 0; left -= piece.size()) {
      piece.resize(std::min(left, piece.size()));
      read_exactly(file.get(), piece.data(), piece.size(), where);
      order.put(piece);
    }
  } else {
    read_exactly(file.get(), values, array.bytes(), where);
  }
  char more;
  // Reading on to the end makes libzip compare the checksum.
  if (zip_fread(file.get(), &more, 1) != 0)
    fail("{}: is damaged: {}", where, zip_error_strerror(zip_file_get_error(file.get())));
  if (header.dtype == DType::boolean)
    for (size_t i = 0; i < array.bytes(); i++)
      if (values[i] & ~1) fail("{}: holds a byte that is neither 0 nor 1, expected bool", where);
  return array;
}

}  // namespace

Array parse_npy(const std::shared_ptr<const MappedFile>& file) {
  const Header header = parse_header(file->text(), file->name());
  check_size(header, file->size() - header.data, file->name());
  const Array array = array_in(file, header.data, header.shape, header.dtype, "the array");
  return header.fortran && array.rank() > 1 ? from_fortran(array) : array;
}

Array read_npy(const std::filesystem::path& path) { return read_mapped(path, parse_npy); }

void write_npy(const std::filesystem::path& path, const Array& array, FileSystem& files) {
  const std::string header = header_text(array, path.string());
  FileWriter out(path, files);
  out.write(header);
  if (array.bytes() > 0) out.write(array.raw(), array.bytes());
  out.commit();
}

NamedArrays parse_npz(const std::shared_ptr<const MappedFile>& file, uint64_t limit) {
  const std::string& name = file->name();
  limit = unpacked_limit(file->size(), limit);
  if (file->size() < smallest_zip) fail("{}: has {} bytes, too few for a zip file", name, file->size());
  check_entry_count(*file);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(file->data(), file->size(), 0, &error);
  if (!source) fail("{}: {}", name, text_of(error));
  const ZipOwner<zip_t> archive(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error));
  if (!archive) {
    zip_source_free(source);
    fail("{}: is no zip file that can be read: {}", name, text_of(error));
  }
  NamedArrays arrays;
  for (const Entry& entry : list_entries(archive.get(), name, limit)) {
    const std::string where = fmt::format("{}: {}", name, quote(entry.name));
    if (arrays.contains(entry.name)) fail("{}: stands twice", where);
    arrays.emplace(entry.name, read_entry(archive.get(), entry, where));
  }
  return arrays;
}

NamedArrays read_npz(const std::filesystem::path& path, uint64_t limit) {
  return read_mapped(path, [&](const auto& file) { return parse_npz(file, limit); });
}

void write_npz(const std::filesystem::path& path, const NamedArrays& arrays, bool compress,
               FileSystem& files) {
  // libzip makes no file at all of an empty archive: it is an end record and nothing else.
  if (arrays.empty()) return write_file(path, "PK\5\6" + std::string(18, '\0'), files);
  zip_error_t error;
  zip_error_init(&error);
  // The archive is put together in memory, so that the file itself is written like every other.
  const ZipOwner<zip_source_t> whole(zip_source_buffer_create(nullptr, 0, 0, &error));
  if (!whole) fail("{}: {}", path.string(), text_of(error));
  ZipOwner<zip_t> archive(zip_open_from_source(whole.get(), ZIP_TRUNCATE, &error));
  if (!archive) fail("{}: {}", path.string(), text_of(error));
  zip_source_keep(whole.get());
  std::vector<std::string> headers;  // libzip reads them at the end
  headers.reserve(arrays.size());
  const auto check = [&](bool good) {
    if (!good) fail("{}: {}", path.string(), zip_strerror(archive.get()));
  };
  for (const auto& [name, array] : arrays) {
    headers.push_back(header_text(array, fmt::format("{}: {}", path.string(), quote(name))));
    auto* header = reinterpret_cast<zip_uint8_t*>(headers.back().data());
    auto* values = array.bytes() ? static_cast<zip_uint8_t*>(const_cast<void*>(array.raw())) : nullptr;
    const zip_buffer_fragment_t parts[] = {{header, headers.back().size()}, {values, array.bytes()}};
    zip_source_t* source = zip_source_buffer_fragment(archive.get(), parts, array.bytes() ? 2 : 1, 0);
    check(source != nullptr);
    const zip_int64_t index = zip_file_add(archive.get(), (name + ".npy").c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) zip_source_free(source);
    check(index >= 0);
    const auto entry = static_cast<zip_uint64_t>(index);
    check(zip_set_file_compression(archive.get(), entry, compress ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) == 0);
    // One fixed date, the earliest that zip knows: the same arrays give the same bytes.
    check(zip_file_set_dostime(archive.get(), entry, 0, 0x21, 0) == 0);
  }
  check(zip_close(archive.get()) == 0);
  static_cast<void>(archive.release());

  FileWriter out(path, files);
  const auto check_source = [&](bool good) {
    if (!good) fail("{}: {}", path.string(), zip_error_strerror(zip_source_error(whole.get())));
  };
  check_source(zip_source_open(whole.get()) == 0);
  std::string buffer(size_t{1} << 18, '\0');
  while (true) {
    const zip_int64_t got = zip_source_read(whole.get(), buffer.data(), buffer.size());
    check_source(got >= 0);
    if (got <= 0) break;
    out.write(buffer.data(), static_cast<size_t>(got));
  }
  zip_source_close(whole.get());
  out.commit();
}

}  // namespace intarsia

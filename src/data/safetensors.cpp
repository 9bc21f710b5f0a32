#include "data/safetensors.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "core/fail.h"
#include "data/json.h"

namespace intarsia {

namespace {

constexpr uint64_t largest_header = 100'000'000;  // the reference implementation's bound
constexpr size_t most_tensors = 1 << 16, most_shards = 4096;

struct TypeName {
  const char* name;
  DType dtype;
};
constexpr TypeName types[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"F16", DType::f16}, {"BF16", DType::bf16},
    {"I8", DType::i8},   {"U8", DType::u8},   {"I16", DType::i16}, {"U16", DType::u16},
    {"I32", DType::i32}, {"U32", DType::u32}, {"I64", DType::i64}, {"BOOL", DType::boolean},
};

DType dtype_of_name(const std::string& name, const std::string& where) {
  for (const TypeName& type : types)
    if (name == type.name) return type.dtype;
  fail("{}: dtype is {}, expected one of F32 F64 F16 BF16 I8 U8 I16 U16 I32 U32 I64 BOOL", where,
       quote(name));
}

const char* name_of_dtype(DType dtype, const std::string& where) {
  for (const TypeName& type : types)
    if (dtype == type.dtype) return type.name;
  fail("{}: {} cannot be written to safetensors", where, info(dtype).name);
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) fail("{}: \"{}\" is missing", where, key);
  return *found;
}

// A header number: a whole number from 0 to 2^62.
uint64_t whole(const Json& value, const char* what, const std::string& where) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > (uint64_t{1} << 62))
    fail("{}: {} holds {}, expected whole numbers below 2^62", where, what,
         quote(value.dump(-1, ' ', true), 40));
  return value.get<uint64_t>();
}

Shape shape_of(const Json& entry, const std::string& where) {
  const Json& lengths = member(entry, "shape", where);
  if (!lengths.is_array() || lengths.size() > Shape::max_rank)
    fail("{}: \"shape\" is no list of at most {} lengths", where, int{Shape::max_rank});
  Shape shape;
  for (const Json& length : lengths) shape.append(static_cast<int64_t>(whole(length, "\"shape\"", where)));
  return shape;
}

struct Place {
  uint64_t begin, end;
  std::string name;
  Shape shape;
  DType dtype;
};

// The format allows neither holes nor overlaps: sorted, each tensor starts where the one before it ends.
void check_cover(std::vector<Place>& places, uint64_t size, const std::string& file) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Place& place : places) {
    if (place.begin != covered)
      fail("{}: tensor {} starts at data byte {}, expected {}, where the one before it ends", file,
           quote(place.name), place.begin, covered);
    covered = place.end;
  }
  if (covered != size)
    fail("{}: the tensors fill {} bytes of data, but the file holds {}", file, covered, size);
}

Safetensors read_sharded(const std::filesystem::path& index_path) {
  const Json index = read_json(index_path);
  const std::string name = index_path.string();
  if (!index.is_object()) fail("{}: is no JSON object", name);
  const Json& map = member(index, "weight_map", name);
  if (!map.is_object()) fail("{}: \"weight_map\" is no JSON object", name);
  std::map<std::string, NamedArrays> shards;
  Safetensors result;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) fail("{}: {} has no file name", name, quote(tensor));
    const auto& shard = file.get_ref<const std::string&>();
    // A name that leads out of the directory would read files that nobody meant to open.
    if (shard.empty() || shard == "." || shard == ".." || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos)
      fail("{}: {} is in file {}, expected a plain file name", name, quote(tensor), quote(shard));
    if (!shards.contains(shard)) {
      if (shards.size() == most_shards) fail("{}: names more than {} files", name, most_shards);
      Safetensors part = read_safetensors(index_path.parent_path() / shard);
      result.metadata.merge(part.metadata);
      shards.emplace(shard, std::move(part.tensors));
    }
    const NamedArrays& arrays = shards.at(shard);
    const auto found = arrays.find(tensor);
    if (found == arrays.end())
      fail("{}: {} is not in {}, where the index says", name, quote(tensor), quote(shard));
    result.tensors.emplace(tensor, found->second);
  }
  return result;
}

}  // namespace

Safetensors parse_safetensors(const std::shared_ptr<const MappedFile>& file) {
  const std::string& name = file->name();
  if (file->size() < 8)
    fail("{}: has {} bytes, expected at least 8 for the header's length", name, file->size());
  uint64_t length;
  std::memcpy(&length, file->data(), sizeof length);
  if (length > largest_header || length > file->size() - 8)
    fail("{}: the header's length is {}, expected at most {} bytes that follow it", name, length,
         std::min<uint64_t>(largest_header, file->size() - 8));
  const std::string_view header = file->text().substr(8, length);
  if (header.empty() || header[0] != '{') fail("{}: the header does not start with '{{'", name);
  const Json root = parse_json(header, name + " header");
  const uint64_t data_start = 8 + length, data_size = file->size() - data_start;
  if (root.size() > most_tensors)
    fail("{}: has {} tensors, expected at most {}", name, root.size(), most_tensors);

  Safetensors result;
  std::vector<Place> places;
  for (const auto& [key, entry] : root.items()) {
    const std::string where = fmt::format("{}: {}", name, quote(key));
    if (!entry.is_object()) fail("{} is no JSON object", where);
    if (key == "__metadata__") {
      for (const auto& [field, value] : entry.items()) {
        if (!value.is_string()) fail("{}: {} is no string", where, quote(field));
        result.metadata.emplace(field, value.get<std::string>());
      }
      continue;
    }
    const Json& type = member(entry, "dtype", where);
    if (!type.is_string()) fail("{}: \"dtype\" is no string", where);
    const DType dtype = dtype_of_name(type.get_ref<const std::string&>(), where);
    const Shape shape = shape_of(entry, where);
    const Json& offsets = member(entry, "data_offsets", where);
    if (!offsets.is_array() || offsets.size() != 2) fail("{}: \"data_offsets\" is no pair of numbers", where);
    const uint64_t begin = whole(offsets[0], "\"data_offsets\"", where);
    const uint64_t end = whole(offsets[1], "\"data_offsets\"", where);
    if (begin > end || end > data_size)
      fail("{}: lies in bytes {} to {}, but the file holds {} bytes of data", where, begin, end, data_size);
    const uint64_t bytes = checked_bytes(shape, dtype, where);
    if (bytes != end - begin)
      fail("{}: {} {} takes {} bytes, but the header gives it {}", where, info(dtype).name, shape.text(),
           bytes, end - begin);
    places.push_back({begin, end, key, shape, dtype});
  }
  check_cover(places, data_size, name);
  for (const Place& place : places)
    result.tensors.emplace(
        place.name, array_in(file, data_start + place.begin, place.shape, place.dtype, quote(place.name)));
  return result;
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    const std::filesystem::path single = path / "model.safetensors",
                                index = path / "model.safetensors.index.json";
    if (std::filesystem::exists(single, ignored)) return read_safetensors(single);
    if (std::filesystem::exists(index, ignored)) return read_sharded(index);
    fail("{}: holds neither model.safetensors nor model.safetensors.index.json", path.string());
  }
  if (path.extension() == ".json") return read_sharded(path);
  return read_mapped(path, parse_safetensors);
}

void write_safetensors(const std::filesystem::path& path, std::vector<ArraySource> tensors,
                       const std::map<std::string, std::string>& metadata, FileSystem& files) {
  // The header takes a multiple of 8 bytes, so wider types first keeps every tensor aligned for its type.
  std::sort(tensors.begin(), tensors.end(), [](const ArraySource& a, const ArraySource& b) {
    const int wide_a = info(a.dtype).bytes, wide_b = info(b.dtype).bytes;
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const ArraySource& tensor : tensors) {
    const std::string where = fmt::format("{}: {}", path.string(), quote(tensor.name));
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second)
      fail("{}: is not a free name for a tensor", where);
    const uint64_t end = offset + checked_bytes(tensor.shape, tensor.dtype, where);
    nlohmann::ordered_json entry;
    entry["dtype"] = name_of_dtype(tensor.dtype, where);
    entry["shape"] = std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end());
    entry["data_offsets"] = {offset, end};
    header[tensor.name] = std::move(entry);
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::type_error&) {
    fail("{}: a tensor's name or the metadata is not UTF-8", path.string());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();

  FileWriter out(path, files);
  out.write(&length, sizeof length);
  out.write(text);
  for (const ArraySource& tensor : tensors) write_values(out, tensor);
  out.commit();
}

}  // namespace intarsia

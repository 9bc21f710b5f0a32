// A file, or an index in a folder that holds one small shard: whichever the bytes look like.
#include "data/safetensors.h"

#include "folder.h"
#include "written.h"

namespace {

using namespace intarsia;

NamedArrays from_index(std::string_view index) {
  static const fuzz::Folder folder;
  static const bool has_shard = [] {
    write_safetensors(folder.path() / "a",
                      {{"x", Array::zeros({2}, DType::f32)}, {"y", Array::zeros({3}, DType::u8)}});
    return true;
  }();
  fuzz::require(has_shard, "no shard");
  folder.put("model.safetensors.index.json", index);
  return read_safetensors(folder.path()).tensors;
}

unsigned use(const std::shared_ptr<const MappedFile>& file) {
  if (file->text().starts_with("{")) return fuzz::touch(from_index(file->text()));
  const Safetensors found = parse_safetensors(file);
  std::vector<ArraySource> sources;
  for (const auto& [name, array] : found.tensors) sources.emplace_back(name, array);
  fuzz::WrittenFiles files;
  write_safetensors("f", std::move(sources), found.metadata, files);
  const Safetensors again = parse_safetensors(files.file());
  fuzz::require(fuzz::same(found.tensors, again.tensors) && found.metadata == again.metadata,
                "a file that changes when it is written and read");
  return fuzz::touch(found.tensors);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::run(data, size, use);
  return 0;
}

// A file, or an index in a folder that holds one small shard: whichever the bytes look like.
#include "data/safetensors.h"

#include <unistd.h>

#include "written.h"

namespace {

using namespace intarsia;
namespace fs = std::filesystem;

class Folder {
 public:
  // In memory where the system has such a place: a disk would take most of the time.
  Folder()
      : path_((fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
              ("intarsia-fuzz-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
    write_safetensors(path_ / "a",
                      {{"x", Array::zeros({2}, DType::f32)}, {"y", Array::zeros({3}, DType::u8)}});
  }
  ~Folder() { fs::remove_all(path_); }
  Safetensors read(std::string_view index) const {
    const fs::path file = path_ / "model.safetensors.index.json";
    if (FILE* out = std::fopen(file.c_str(), "wb")) {
      std::fwrite(index.data(), 1, index.size(), out);
      std::fclose(out);
    }
    return read_safetensors(path_);
  }

 private:
  fs::path path_;
};

unsigned use(const std::shared_ptr<const MappedFile>& file) {
  static const Folder folder;
  if (file->text().starts_with("{")) return fuzz::touch(folder.read(file->text()).tensors);
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

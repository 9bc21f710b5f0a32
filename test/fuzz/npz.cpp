// Archives and single arrays: whichever the bytes look like.
#include "data/npy.h"
#include "written.h"

namespace {

using namespace intarsia;

unsigned read_array(const std::shared_ptr<const MappedFile>& file) {
  const Array array = parse_npy(file);
  fuzz::WrittenFiles files;
  write_npy("f", array, files);
  fuzz::require(fuzz::same(parse_npy(files.file()), array),
                "an array that changes when it is written and read");
  return fuzz::touch(array);
}

unsigned read_archive(const std::shared_ptr<const MappedFile>& file) {
  const NamedArrays arrays = parse_npz(file);
  if (file->size() % 4 == 0) {  // packing takes time
    fuzz::WrittenFiles files;
    write_npz("f", arrays, file->size() % 8 == 0, files);
    fuzz::require(fuzz::same(parse_npz(files.file(), uint64_t{1} << 30), arrays),
                  "an archive that changes when it is written and read");
  }
  return fuzz::touch(arrays);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::run(data, size, [](const auto& file) {
    return file->text().starts_with("PK") ? read_archive(file) : read_array(file);
  });
  return 0;
}

// safetensors (https://github.com/huggingface/safetensors): a JSON header, then the bytes of all tensors.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/arrays.h"

namespace intarsia {

struct Safetensors {
  NamedArrays tensors;  // borrowed from the mapped files
  std::map<std::string, std::string> metadata;
};

// PATH: a .safetensors file, an index (model.safetensors.index.json) with its shards beside it, or a
// directory that holds either. Errors name the file, the tensor, what was found and what was expected.
Safetensors read_safetensors(const std::filesystem::path& path);
Safetensors parse_safetensors(const std::shared_ptr<const MappedFile>& file);

// Writes one file, whole or not at all, wider types first and then by name. One array's values are held at a
// time.
void write_safetensors(const std::filesystem::path& path, std::vector<ArraySource> tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                       FileSystem& files = system_files());

}  // namespace intarsia

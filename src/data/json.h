// JSON from outside: nlohmann's parser within bounds. Include <nlohmann/json.hpp> in the .cpp file that looks
// inside.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace intarsia {

using Json = nlohmann::json;

struct JsonLimits {
  size_t bytes = size_t{256} << 20;  // of the text
  int depth = 64;                    // of nested arrays and objects
  size_t memory = size_t{24} << 20;  // estimated, of the parsed values, beyond three times the text
};

// Parses one JSON value that fills `text`. Refused: duplicate keys, invalid UTF-8, anything above the limits.
// Error: "NAME: LINE:COLUMN: what".
Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits = {});
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

}  // namespace intarsia

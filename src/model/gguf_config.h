// A model's config as GGUF metadata says it, and back: the tables of its Architecture, and what all
// architectures with rotary positions share.
#pragma once
#include "data/gguf.h"
#include "model/architecture.h"

namespace intarsia {

const Architecture* find_gguf_architecture(std::string_view name);  // null if unknown
// The config.json of a GGUF file.
Json config_from_gguf(const Gguf& file);
// The metadata (and the table of rotary factors) of a config.json.
void config_to_gguf(const Architecture& architecture, const Json& config, GgufWriter& out);

}  // namespace intarsia

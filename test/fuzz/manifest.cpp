// A checkpoint's manifest.json and state.json.
#include "train/run/manifest.h"

#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    const Hashes hashes = parse_manifest(file->text(), "f");
    fuzz::require(parse_manifest(manifest_text(hashes), "f") == hashes, "a manifest that changes");
    return static_cast<unsigned>(hashes.size());
  });
  fuzz::run(data, size, [](const auto& file) {
    const std::string text = state_text(parse_state(file->text(), "f"));
    fuzz::require(state_text(parse_state(text, "f")) == text,
                  "a state that changes when it is written and read");
    return static_cast<unsigned>(text.size());
  });
  return 0;
}

#include "data/gguf.h"

#include "written.h"

namespace {

using namespace intarsia;

unsigned touch(const Gguf& gguf, std::string_view key, const GgufValue& value) {
  fuzz::require(gguf.find(key) == &value && &gguf.at(key) == &value, "a metadata key that is not found");
  auto sum = static_cast<unsigned>(value.summary().size());
  fuzz::attempt([&] { sum += static_cast<unsigned>(gguf.integer(key, 0)); });
  fuzz::attempt([&] { sum += gguf.number(key, 0) > 0; });
  fuzz::attempt([&] { sum += gguf.boolean(key, false); });
  fuzz::attempt([&] { sum += static_cast<unsigned>(gguf.text(key, "").size()); });
  fuzz::attempt([&] { sum += static_cast<unsigned>(value.integers().size()); });
  fuzz::attempt([&] { sum += static_cast<unsigned>(value.numbers().size()); });
  fuzz::attempt([&] {
    for (const std::string_view text : value.texts()) sum += static_cast<unsigned>(quote(text).size());
  });
  return sum;
}

unsigned use(const std::shared_ptr<const MappedFile>& file) {
  const Gguf gguf = parse_gguf(file);
  unsigned sum = fuzz::touch(gguf.tensors());
  GgufWriter writer;
  for (const auto& [key, value] : gguf.metadata()) {
    sum += touch(gguf, key, value);
    if (key != "general.alignment") writer.set(key, value);
  }
  for (const auto& [name, array] : gguf.tensors()) writer.add({name, array});
  fuzz::WrittenFiles files;
  writer.write("f", files);
  const Gguf again = parse_gguf(files.file());
  fuzz::require(fuzz::same(gguf.tensors(), again.tensors()),
                "tensors that change when they are written and read");
  for (const auto& [key, value] : again.metadata())
    fuzz::require(gguf.at(key).summary() == value.summary(),
                  "a value that changes when it is written and read");
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::run(data, size, use);
  return 0;
}

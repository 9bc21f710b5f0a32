#include "intarsia/train.h"
#include "written.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    // The first line is an assignment of a command line, too.
    fuzz::attempt([&] {
      Recipe recipe;
      override_recipe(recipe, file->text().substr(0, file->text().find('\n')));
    });
    const Recipe recipe = parse_recipe(file->text(), "f");
    const std::string text = to_toml(recipe);
    fuzz::require(to_toml(parse_recipe(text, "f")) == text,
                  "a recipe that changes when it is written and read");
    check_recipe(recipe);
    return static_cast<unsigned>(text.size() + default_keys(recipe).size());
  });
  return 0;
}

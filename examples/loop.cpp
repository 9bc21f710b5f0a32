// Trains a model on a text from inside a program, which watches the loss and stops when it likes what it
// sees.
#include <intarsia/intarsia.h>

#include <cstdio>
#include <filesystem>

using namespace intarsia;

int main(int count, char** arguments) try {
  Recipe recipe;
  recipe.data.path = count > 1 ? arguments[1] : __FILE__;  // its own source, if no text is given
  recipe.tokenizer.kind = "characters";
  recipe.model.layers = recipe.model.heads = 2;
  recipe.model.width = 64;
  recipe.model.context = 32;
  recipe.training.steps = 300;
  recipe.training.out = (std::filesystem::temp_directory_path() / "intarsia-loop").string();
  recipe.schedule.warm_up = 20;
  std::filesystem::remove_all(recipe.training.out);

  double loss = 0;
  TrainCallbacks callbacks;
  callbacks.progress = [&](const TrainProgress& now) {
    loss = now.loss;
    std::printf("step %3d  loss %.3f  %.0f tokens/s\n", static_cast<int>(now.step), now.loss,
                now.tokens_per_second);
  };
  callbacks.cancel = [&] { return loss > 0 && loss < 1.5; };
  const TrainResult result = train(recipe, callbacks);
  std::printf("%s after %d steps; the run is in %s\n", result.cancelled ? "stopped" : "done",
              static_cast<int>(result.step), result.run.c_str());
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}

// One process that trains for a long time, with evaluation, samples and checkpoints; after each checkpoint it
// also opens what it saved, generates, and lets go of it. Prints a line a minute: what it holds of the
// system. Fails where memory still grows in the last two thirds, or descriptors or threads do.
//   soak [MINUTES]    default: 30
#include <intarsia/intarsia.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace intarsia;

namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

size_t entries(const char* folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) count++;
  return count;
}

struct Held {
  double minutes = 0, resident = 0, reserved = 0;  // MiB: of the process, of the pool
  size_t descriptors = 0, threads = 0;
};

double mebibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

Held held(double minutes) {
  Held now;
  now.minutes = minutes;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) now.resident = std::strtod(line.c_str() + 6, nullptr) / 1024;
  now.reserved = mebibytes(memory_use().reserved);
  now.descriptors = entries("/proc/self/fd");
  now.threads = entries("/proc/self/task");
  return now;
}

void write_book(const fs::path& path) {
  constexpr const char* words[] = {"the", "cat", "sat", "on", "a", "mat", "and", "saw", "two", "birds"};
  Random random(3);
  std::ofstream book(path);
  for (int i = 0; i < 100'000; i++) book << words[random.below(10)] << (random.below(8) == 0 ? ".\n" : " ");
}

Recipe long_recipe(const fs::path& folder) {
  Recipe recipe;
  recipe.data.path = (folder / "book.txt").string();
  recipe.tokenizer.kind = "characters";
  recipe.model.layers = 2;
  recipe.model.heads = 2;
  recipe.model.width = 64;
  recipe.model.context = 64;
  recipe.training.batch = 8;
  recipe.training.steps = 100'000'000;
  recipe.training.log_every = 50;
  recipe.training.out = (folder / "run").string();
  recipe.schedule.kind = "constant";
  recipe.evaluation.every = 200;
  recipe.evaluation.batches = 8;
  recipe.samples.every = 200;
  recipe.samples.tokens = 40;
  recipe.checkpoints.every = 200;
  return recipe;
}

// Every value of the last two thirds against the first of them: 8 MiB is what the log's report and the list
// of losses may take.
int verdict(const std::vector<Held>& all) {
  if (all.size() < 3) {
    std::fprintf(stderr, "error: soak: too short to tell\n");
    return 1;
  }
  const Held& warm = all[all.size() / 3];
  Held most = warm;
  for (size_t i = all.size() / 3; i < all.size(); i++) {
    most.resident = std::max(most.resident, all[i].resident);
    most.reserved = std::max(most.reserved, all[i].reserved);
    most.descriptors = std::max(most.descriptors, all[i].descriptors);
    most.threads = std::max(most.threads, all[i].threads);
  }
  const bool flat = most.resident <= warm.resident + 8 && most.reserved <= warm.reserved &&
                    most.descriptors == warm.descriptors && most.threads == warm.threads;
  std::printf("%s: memory %+.1f MiB, pool %+.1f MiB, descriptors %+d, threads %+d since minute %.0f\n",
              flat ? "flat" : "not flat", most.resident - warm.resident, most.reserved - warm.reserved,
              static_cast<int>(most.descriptors) - static_cast<int>(warm.descriptors),
              static_cast<int>(most.threads) - static_cast<int>(warm.threads), warm.minutes);
  return flat ? 0 : 1;
}

int soak(double minutes, const fs::path& folder) {
  write_book(folder / "book.txt");
  const auto begin = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count() / 60; };
  std::vector<Held> all;
  int64_t steps = 0, checkpoints = 0, samples = 0, texts = 0;
  const double each = minutes / 30;  // a line a minute
  std::printf("%8s %10s %12s %10s %12s %8s %12s %6s\n", "minutes", "steps", "checkpoints", "memory", "pool",
              "files", "threads", "texts");
  TrainCallbacks callbacks;
  callbacks.sample = [&](const TrainSample&) { samples++; };
  callbacks.checkpoint = [&](const TrainCheckpoint& checkpoint) {
    checkpoints++;
    steps = checkpoint.step;
    Generator generator(load(checkpoint.path));
    GenerateOptions options;
    options.max_tokens = 64;
    options.sampling.seed = static_cast<uint64_t>(checkpoint.step);
    texts += !generator.generate("the cat ", options).text.empty();
    if (passed() < each * static_cast<double>(all.size() + 1)) return;
    all.push_back(held(passed()));
    const Held& now = all.back();
    std::printf("%8.1f %10lld %12lld %6.1f MiB %8.1f MiB %8zu %12zu %6lld\n", now.minutes,
                static_cast<long long>(steps), static_cast<long long>(checkpoints), now.resident,
                now.reserved, now.descriptors, now.threads, static_cast<long long>(texts));
    std::fflush(stdout);
  };
  callbacks.cancel = [&] { return passed() >= minutes; };
  train(long_recipe(folder), callbacks);
  std::printf("%lld steps, %lld checkpoints, %lld samples, %lld models loaded and let go\n",
              static_cast<long long>(steps), static_cast<long long>(checkpoints),
              static_cast<long long>(samples), static_cast<long long>(texts));
  return verdict(all);
}

}  // namespace

int main(int count, char** arguments) try {
  const double minutes = count > 1 ? std::strtod(arguments[1], nullptr) : 30;
  const fs::path folder = fs::temp_directory_path() / "intarsia-soak";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const int status = soak(minutes, folder);
  fs::remove_all(folder);
  return status;
} catch (const Error& error) {
  std::fprintf(stderr, "error: soak: %s\n", error.what());
  return 1;
}

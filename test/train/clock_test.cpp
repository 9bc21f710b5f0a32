// A wall clock that jumps while a run goes on: nothing that is measured, chosen or ordered may follow it.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <ctime>

#include "train/report/log.h"
#include "train/small_run.h"

namespace {

// What the wall clock is ahead: in seconds, and another at each reading.
std::atomic<bool> jumping{false};
std::atomic<int> readings{0};

time_t jump() {
  constexpr time_t hours[] = {0, 5, -30, 24 * 400, -24 * 4000};
  return jumping ? 3600 * hours[readings++ % 5] : 0;
}

}  // namespace

// In place of the C library's, for this program: the monotonic clock stays, the wall clock jumps.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto status = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME) time->tv_sec += jump();
  return status;
}
extern "C" time_t time(time_t* place) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}

namespace intarsia::test {
namespace {

class Jumps {
 public:
  Jumps() { jumping = true; }
  ~Jumps() { jumping = false; }
};

TEST(ClockJumps, ARunDoesNotFollowTheWallClock) {
  const Scratch scratch;
  Recipe recipe = small_recipe(scratch, "steady");
  recipe.training.steps = 8;
  train(recipe);
  const std::string expected = last_state(recipe.training.out);

  const Jumps jumps;
  recipe.training.out = (scratch / "jumping").string();
  TrainCallbacks callbacks;
  int reports = 0, steps = 0;
  callbacks.progress = [&](const TrainProgress& p) {
    reports++;
    EXPECT_TRUE(p.seconds >= 0 && p.seconds < 100) << p.seconds;
    EXPECT_TRUE(p.seconds_left >= 0 && p.seconds_left < 100) << p.seconds_left;
    EXPECT_TRUE(p.tokens_per_second > 0 && std::isfinite(p.tokens_per_second)) << p.tokens_per_second;
  };
  callbacks.cancel = [&] { return ++steps == 5; };  // an interrupt, so that the run is resumed
  const TrainResult cut = train(recipe, callbacks);
  ASSERT_TRUE(cut.cancelled);
  callbacks.cancel = {};
  const TrainResult result = resume(recipe.training.out, callbacks);
  EXPECT_GT(readings, 5);
  EXPECT_GE(reports, 4);
  EXPECT_TRUE(result.seconds >= 0 && result.seconds < 100) << result.seconds;
  EXPECT_TRUE(result.save_seconds >= 0 && result.save_seconds < 100) << result.save_seconds;
  EXPECT_TRUE(last_state(recipe.training.out) == expected);

  const RunHistory history = read_log(fs::path(recipe.training.out) / "log.jsonl");
  ASSERT_TRUE(history.end);
  EXPECT_EQ(history.end->step, 8);
  EXPECT_EQ(history.resumes.size(), 1u);
  EXPECT_NE(read_all(fs::path(recipe.training.out) / "report.html").find("</html>"), std::string::npos);
}

TEST(ClockJumps, AChoiceForSomeMinutesMeasuresByTheSteadyClock) {
  const Scratch scratch;
  const fs::path text = scratch / "text.txt";
  write_all(text, small_text(40000));
  const Jumps jumps;
  const Choice choice = choose_recipe(text, 0.05);
  EXPECT_GE(choice.recipe.training.steps, 1);
  EXPECT_LT(choice.recipe.training.steps, 1'000'000);
}

// TensorBoard reads the files of a run in the order of their names, which hold the time.
TEST(ClockJumps, EventFilesStayInTheOrderOfTheirMaking) {
  const Scratch scratch;
  Recipe recipe = small_recipe(scratch, "run");
  const fs::path events = fs::path(recipe.training.out) / "events";
  std::vector<std::string> made;
  const Jumps jumps;
  for (int part = 0; part < 3; part++) {
    TrainCallbacks callbacks;
    int asked = 0;
    callbacks.cancel = [&] { return ++asked == 2; };
    part == 0 ? train(recipe, callbacks) : resume(recipe.training.out, callbacks);
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(events))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    ASSERT_EQ(names.size(), static_cast<size_t>(part + 1));
    EXPECT_TRUE(std::equal(made.begin(), made.end(), names.begin())) << "a new file is not the last";
    made = names;
  }
}

}  // namespace
}  // namespace intarsia::test

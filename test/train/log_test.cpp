#include "train/report/log.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>
#include <fstream>
#include <limits>

#include "core/format.h"
#include "data/json.h"

#include <nlohmann/json.hpp>

namespace intarsia {
namespace {

namespace fs = std::filesystem;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~LogTest() override { fs::remove_all(directory_); }
  std::string text() const { return read_file(path_); }
  void append(std::string_view text) const { std::ofstream(path_, std::ios::app | std::ios::binary) << text; }

  fs::path directory_ =
      fs::temp_directory_path() / ("intarsia-log-" + std::to_string(getpid()) +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path path_ = directory_ / "log.jsonl";
};

StepRecord step(int64_t number, double loss) {
  StepRecord r;
  r.step = number;
  r.loss = loss;
  r.learning_rate = 3e-4;
  r.gradient_norm = 0.5;
  r.tokens = number * 8192;
  r.tokens_per_second = 21900.25;
  r.peak_share = 0.61;
  r.memory = 200 << 20;
  r.memory_peak = int64_t{9} << 30;
  r.seconds = 0.1 * static_cast<double>(number);
  return r;
}

TEST_F(LogTest, EveryKindOfRecordComesBack) {
  StartRecord start;
  start.time = 1800000000.125;
  start.version = "0.1.0";
  start.command = "intarsia train \"a b\".txt";
  start.rung = "avx512bf16";
  start.cpu = "a processor";
  start.threads = 2;
  start.memory_bytes = int64_t{16} << 30;
  start.peak_flops = 6.1e11;
  start.parameters = 3412224;
  start.steps = 450;
  start.train_tokens = 1003854;
  start.validation_tokens = 111539;
  start.tokenizer = "byte-level BPE, 4,096";
  start.data = "bible.txt";
  start.model = "llama";
  start.compute = "bf16";
  start.defaults = {"optimizer.beta1", "optimizer.beta2"};
  {
    RunLog log(path_);
    log.write(start);
    log.write(step(10, 1.404f));
    log.write(ValidationRecord{10, 1.5, 0.25});
    log.write(SampleRecord{10, "In the", " beginning\n\"quoted\" \xff"});
    log.write(CheckpointRecord{10, "checkpoints/step-000010", 1234, 0.5, true, 1800000001});
    log.write(EventRecord{10, "interrupted by Ctrl-C"});
    log.write(TimeRecord{1, 2, 3, 4, 5, 6});
    log.write(EndRecord{10, 1800000002, 12.5, 1.404, 1.5});
  }
  const RunHistory history = read_log(path_);
  EXPECT_EQ(history.damaged_lines, 0);
  ASSERT_TRUE(history.start);
  EXPECT_EQ(history.start->time, start.time);
  EXPECT_EQ(history.start->command, start.command);
  EXPECT_EQ(history.start->rung, start.rung);
  EXPECT_EQ(history.start->cpu, start.cpu);
  EXPECT_EQ(history.start->threads, 2);
  EXPECT_EQ(history.start->memory_bytes, start.memory_bytes);
  EXPECT_EQ(history.start->peak_flops, start.peak_flops);
  EXPECT_EQ(history.start->parameters, start.parameters);
  EXPECT_EQ(history.start->steps, 450);
  EXPECT_EQ(history.start->train_tokens, start.train_tokens);
  EXPECT_EQ(history.start->validation_tokens, start.validation_tokens);
  EXPECT_EQ(history.start->tokenizer, start.tokenizer);
  EXPECT_EQ(history.start->data, start.data);
  EXPECT_EQ(history.start->model, start.model);
  EXPECT_EQ(history.start->compute, start.compute);
  EXPECT_EQ(history.start->version, start.version);
  EXPECT_EQ(history.start->defaults, start.defaults);
  ASSERT_EQ(history.steps.size(), 1u);
  EXPECT_EQ(static_cast<float>(history.steps[0].loss), 1.404f) << "nine digits tell all f32 numbers apart";
  EXPECT_EQ(history.steps[0].learning_rate, 3e-4);
  EXPECT_EQ(history.steps[0].gradient_norm, 0.5);
  EXPECT_EQ(history.steps[0].tokens, 81920);
  EXPECT_EQ(history.steps[0].tokens_per_second, 21900.25);
  EXPECT_EQ(history.steps[0].peak_share, 0.61);
  EXPECT_EQ(history.steps[0].memory, 200 << 20);
  EXPECT_EQ(history.steps[0].memory_peak, int64_t{9} << 30);
  EXPECT_EQ(history.steps[0].seconds, 1.0);
  ASSERT_EQ(history.validations.size(), 1u);
  EXPECT_EQ(history.validations[0].loss, 1.5);
  EXPECT_EQ(history.validations[0].seconds, 0.25);
  ASSERT_EQ(history.samples.size(), 1u);
  EXPECT_EQ(history.samples[0].prompt, "In the");
  EXPECT_EQ(history.samples[0].text, " beginning\n\"quoted\" \ufffd");
  ASSERT_EQ(history.checkpoints.size(), 1u);
  EXPECT_EQ(history.checkpoints[0].path, "checkpoints/step-000010");
  EXPECT_EQ(history.checkpoints[0].bytes, 1234);
  EXPECT_TRUE(history.checkpoints[0].best);
  EXPECT_EQ(history.checkpoints[0].time, 1800000001);
  ASSERT_EQ(history.events.size(), 1u);
  EXPECT_EQ(history.events[0].text, "interrupted by Ctrl-C");
  ASSERT_TRUE(history.time);
  EXPECT_EQ(history.time->forward, 1);
  EXPECT_EQ(history.time->checkpoint, 6);
  ASSERT_TRUE(history.end);
  EXPECT_EQ(history.end->seconds, 12.5);
  EXPECT_EQ(history.end->validation, 1.5);
}

TEST_F(LogTest, EveryLineIsOneJsonObjectWithItsKind) {
  RunLog log(path_);
  log.write(step(10, 2));
  log.write(SampleRecord{10, "a\nb", std::string("nul \0 and \x1b", 11)});
  std::ifstream file(path_);
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    const Json object = parse_json(line, "log.jsonl");
    EXPECT_TRUE(object.is_object() && object.contains("kind") && object.contains("step")) << line;
    lines++;
  }
  EXPECT_EQ(lines, 2);
}

TEST_F(LogTest, ATornLastLineIsSkippedAndTheNextRecordStartsANewLine) {
  RunLog(path_).write(step(10, 2));
  append("{\"kind\":\"step\",\"step\":20,\"lo");
  RunHistory history = read_log(path_);
  ASSERT_EQ(history.steps.size(), 1u);
  EXPECT_EQ(history.damaged_lines, 1);
  {
    RunLog log(path_);
    log.write(ResumeRecord{10, 1800000000});
    log.write(step(20, 1.5));
  }
  history = read_log(path_);
  ASSERT_EQ(history.steps.size(), 2u);
  EXPECT_EQ(history.steps[1].loss, 1.5);
  EXPECT_EQ(history.resumes.size(), 1u);
  EXPECT_EQ(history.damaged_lines, 1);
}

TEST_F(LogTest, EveryPrefixOfALogIsRead) {
  {
    RunLog log(path_);
    log.write(step(10, 2));
    log.write(SampleRecord{10, "創世記", "text"});
    log.write(EndRecord{10, 1, 2, 3, {}});
  }
  const std::string whole = text();
  for (size_t size = 0; size <= whole.size(); size++) {
    const RunHistory history = parse_log(std::string_view(whole).substr(0, size));
    EXPECT_LE(history.damaged_lines, 1) << size;
    EXPECT_LE(history.steps.size(), 1u);
  }
}

TEST_F(LogTest, AResumeMakesLaterRecordsVoid) {
  RunLog log(path_);
  for (int64_t n : {10, 20, 30}) log.write(step(n, 3 - 0.01 * static_cast<double>(n)));
  log.write(ValidationRecord{20, 2.5, 1});
  log.write(ValidationRecord{30, 2.4, 1});
  log.write(SampleRecord{30, "a", "b"});
  log.write(CheckpointRecord{30, "checkpoints/step-000030", 1, 1, false});
  log.write(EndRecord{30, 1, 2, 3, {}});
  log.write(ResumeRecord{20, 1800000000});
  log.write(step(30, 9));
  const RunHistory history = read_log(path_);
  ASSERT_EQ(history.steps.size(), 3u);
  EXPECT_EQ(history.steps[2].loss, 9);
  EXPECT_EQ(history.validations.size(), 1u);
  EXPECT_TRUE(history.samples.empty());
  EXPECT_TRUE(history.checkpoints.empty());
  EXPECT_FALSE(history.end) << "the run went on";
}

TEST_F(LogTest, StepsNeverGoBackEvenIfTheResumeRecordWasLost) {
  RunLog log(path_);
  for (int64_t n : {10, 20, 30, 20}) log.write(step(n, static_cast<double>(n)));
  const RunHistory history = read_log(path_);
  ASSERT_EQ(history.steps.size(), 2u);
  EXPECT_EQ(history.steps[1].step, 20);
}

TEST_F(LogTest, ALossThatIsNoNumberIsNullAndSaidOnce) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinite = std::numeric_limits<double>::infinity();
  RunLog log(path_);
  log.write(step(10, 2));
  log.write(step(20, nan));
  log.write(step(30, nan));
  log.write(step(40, 1));
  log.write(step(50, infinite));
  EXPECT_NE(text().find("\"step\":20,\"loss\":null"), std::string::npos);
  const RunHistory history = read_log(path_);
  ASSERT_EQ(history.steps.size(), 5u);
  EXPECT_TRUE(std::isnan(history.steps[1].loss));
  ASSERT_EQ(history.events.size(), 2u);
  EXPECT_EQ(history.events[0].step, 20);
  EXPECT_EQ(history.events[0].text, "loss is NaN");
  EXPECT_EQ(history.events[1].text, "loss is infinite");
}

TEST(ParseLog, HostileLinesAreCountedAndDoNoHarm) {
  std::string log =
      "[]\nnull\n{}\n{\"kind\":7}\n{\"kind\":\"unknown\"}\n\xff\xfe\n" + std::string(100000, '[') + "\n";
  log += "{\"kind\":\"step\",\"step\":\"ten\",\"loss\":[1],\"tokens\":1e300}\n\n  \n";
  const RunHistory history = parse_log(log);
  EXPECT_EQ(history.damaged_lines, 7);
  ASSERT_EQ(history.steps.size(), 1u);
  EXPECT_EQ(history.steps[0].step, 0);
  EXPECT_TRUE(std::isnan(history.steps[0].loss));
  EXPECT_EQ(history.steps[0].tokens, 0);
}

TEST(ReadLog, AMissingFileIsAnErrorThatNamesIt) {
  try {
    read_log("/nonexistent/log.jsonl");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/log.jsonl"), std::string::npos);
  }
}

// Lets a write put down a few bytes and then fail with a full disk, once.
class FullDisk : public FileSystem {
 public:
  bool full = false;
  ssize_t write(int file, const void* bytes, size_t count) override {
    if (!full) return FileSystem::write(file, bytes, count);
    full = half_;
    half_ = !half_;
    return half_ ? -ENOSPC : FileSystem::write(file, bytes, count / 2);
  }

 private:
  bool half_ = true;
};

TEST_F(LogTest, AFullDiskIsAnErrorAndTheNextRecordIsWholeAgain) {
  FullDisk disk;
  RunLog log(path_, disk);
  log.write(step(10, 2));
  disk.full = true;
  try {
    log.write(step(20, 2));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos);
    EXPECT_FALSE(error.hint().empty());
  }
  log.write(step(30, 2));
  const RunHistory history = read_log(path_);
  EXPECT_EQ(history.damaged_lines, 1);
  ASSERT_EQ(history.steps.size(), 2u);
  EXPECT_EQ(history.steps[1].step, 30);
}

}  // namespace
}  // namespace intarsia

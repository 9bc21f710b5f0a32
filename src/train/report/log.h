// The log of a run: log.jsonl, one JSON object a line, appended while it runs and after a resume.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "train/run/append.h"

namespace intarsia {

// A number that was not measured is NaN here and null in the file.
inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

struct StartRecord {
  double time = not_measured;  // unix seconds
  std::string version, command, rung, cpu;
  int64_t threads = 0, memory_bytes = 0;
  double peak_flops = not_measured;  // measured, of the compute type
  int64_t parameters = 0, steps = 0, train_tokens = 0, validation_tokens = 0;
  std::string tokenizer, data, model, compute;  // "byte-level BPE, 4,096", "bible.txt", "llama", "bf16"
  std::vector<std::string> defaults;            // recipe keys that have their default value
};
struct StepRecord {
  int64_t step = 0;
  double loss = not_measured, learning_rate = not_measured, gradient_norm = not_measured;
  int64_t tokens = 0;  // so far
  double tokens_per_second = not_measured, peak_share = not_measured;
  int64_t memory = 0, memory_peak = 0;  // bytes
  double seconds = not_measured;        // of training, sums over resumes
};
struct ValidationRecord {
  int64_t step = 0;
  double loss = not_measured, seconds = not_measured;  // seconds: that this evaluation took
};
struct SampleRecord {
  int64_t step = 0;
  std::string prompt, text;
};
struct CheckpointRecord {
  int64_t step = 0;
  std::string path;  // "checkpoints/step-000400"
  int64_t bytes = 0;
  double seconds = not_measured;
  bool best = false;
  double time = not_measured;  // unix seconds
};
struct ResumeRecord {
  int64_t step = 0;
  double time = not_measured;
};
// A warning or an interrupt. The report takes a last event that begins with "interrupted" or "failed" as the
// state.
struct EventRecord {
  int64_t step = 0;
  std::string text;
};
// Seconds so far, all calls together.
struct TimeRecord {
  double forward = 0, backward = 0, optimizer = 0, data = 0, evaluation = 0, checkpoint = 0;
};
struct EndRecord {
  int64_t step = 0;
  double time = not_measured, seconds = not_measured, loss = not_measured;
  std::optional<double> validation;
};

// Appends to RUN/log.jsonl. A line goes to the system whole when write() returns; if the file ends in a torn
// line (killed while writing), the next one starts a new line. Numbers that are not finite are written as
// null; the first time a step's value is not, an event says so. Text is repaired to valid UTF-8. Fails with
// an Error on a full disk.
class RunLog {
 public:
  explicit RunLog(const std::filesystem::path& path, FileSystem& files = system_files());
  void write(const StartRecord& record);
  void write(const StepRecord& record);
  void write(const ValidationRecord& record);
  void write(const SampleRecord& record);
  void write(const CheckpointRecord& record);
  void write(const ResumeRecord& record);
  void write(const EventRecord& record);
  void write(const TimeRecord& record);
  void write(const EndRecord& record);

 private:
  void line(std::string text);
  void watch(int64_t step, const char* name, double value, bool& reported);
  AppendFile file_;
  bool torn_ = false;  // the file does not end with a line's end
  bool loss_reported_ = false, norm_reported_ = false, validation_reported_ = false;
};

// A log as read: in the order of the file, without what a resume made void (records of steps behind the one
// that the run went on from).
struct RunHistory {
  std::optional<StartRecord> start;
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
  std::vector<SampleRecord> samples;
  std::vector<CheckpointRecord> checkpoints;
  std::vector<ResumeRecord> resumes;
  std::vector<EventRecord> events;
  std::optional<TimeRecord> time;
  std::optional<EndRecord> end;  // absent if the run went on after it
  int64_t damaged_lines = 0;     // that were no JSON object of a known kind
};
// A torn or damaged line is counted and skipped. Errors: no such file.
RunHistory read_log(const std::filesystem::path& path);
RunHistory parse_log(std::string_view text);

}  // namespace intarsia

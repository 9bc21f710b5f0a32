#include "train/report/log.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "core/format.h"
#include "data/json.h"

namespace intarsia {

namespace {

using Line = nlohmann::ordered_json;

double now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// A number for the file: null unless finite, and 9 digits, which tell all f32 numbers apart.
Line number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.9g}", value).c_str(), nullptr);
}

// Unix seconds to the millisecond; now, if the caller left it open.
Line moment(double time) { return std::round((std::isfinite(time) ? time : now()) * 1000) / 1000; }

std::string dump(const Line& line) { return line.dump(-1, ' ', false, Line::error_handler_t::replace); }

bool ends_torn(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() <= 0) return false;
  file.seekg(-1, std::ios::end);
  return file.get() != '\n';
}

}  // namespace

RunLog::RunLog(const std::filesystem::path& path, FileSystem& files)
    : file_(path, files), torn_(ends_torn(path)) {}

void RunLog::line(std::string text) {
  text += '\n';
  if (torn_) text.insert(text.begin(), '\n');
  torn_ = true;  // unless all of it arrives
  file_.append(text);
  torn_ = false;
}

void RunLog::watch(int64_t step, const char* name, double value, bool& reported) {
  const bool finite = std::isfinite(value);
  if (!finite && !reported) write(EventRecord{step, fmt::format("{} is {}", name, format_number(value))});
  reported = !finite;
}

void RunLog::write(const StartRecord& r) {
  line(dump({{"kind", "start"},
             {"time", moment(r.time)},
             {"version", r.version},
             {"command", r.command},
             {"rung", r.rung},
             {"cpu", r.cpu},
             {"threads", r.threads},
             {"memory_bytes", r.memory_bytes},
             {"peak_flops", number(r.peak_flops)},
             {"parameters", r.parameters},
             {"steps", r.steps},
             {"train_tokens", r.train_tokens},
             {"validation_tokens", r.validation_tokens},
             {"tokenizer", r.tokenizer},
             {"data", r.data},
             {"model", r.model},
             {"compute", r.compute},
             {"defaults", r.defaults}}));
}

void RunLog::write(const StepRecord& r) {
  line(dump({{"kind", "step"},
             {"step", r.step},
             {"loss", number(r.loss)},
             {"learning_rate", number(r.learning_rate)},
             {"gradient_norm", number(r.gradient_norm)},
             {"tokens", r.tokens},
             {"tokens_per_second", number(r.tokens_per_second)},
             {"peak_share", number(r.peak_share)},
             {"memory", r.memory},
             {"memory_peak", r.memory_peak},
             {"seconds", number(r.seconds)}}));
  watch(r.step, "loss", r.loss, loss_reported_);
  watch(r.step, "gradient norm", r.gradient_norm, norm_reported_);
}

void RunLog::write(const ValidationRecord& r) {
  line(dump(
      {{"kind", "validation"}, {"step", r.step}, {"loss", number(r.loss)}, {"seconds", number(r.seconds)}}));
  watch(r.step, "validation loss", r.loss, validation_reported_);
}

void RunLog::write(const SampleRecord& r) {
  line(dump({{"kind", "sample"},
             {"step", r.step},
             {"prompt", repair_utf8(r.prompt)},
             {"text", repair_utf8(r.text)}}));
}

void RunLog::write(const CheckpointRecord& r) {
  line(dump({{"kind", "checkpoint"},
             {"step", r.step},
             {"path", repair_utf8(r.path)},
             {"bytes", r.bytes},
             {"seconds", number(r.seconds)},
             {"best", r.best},
             {"time", moment(r.time)}}));
}

void RunLog::write(const ResumeRecord& r) {
  line(dump({{"kind", "resume"}, {"step", r.step}, {"time", moment(r.time)}}));
}

void RunLog::write(const EventRecord& r) {
  line(dump({{"kind", "event"}, {"step", r.step}, {"text", repair_utf8(r.text)}}));
}

void RunLog::write(const TimeRecord& r) {
  line(dump({{"kind", "time"},
             {"forward", number(r.forward)},
             {"backward", number(r.backward)},
             {"optimizer", number(r.optimizer)},
             {"data", number(r.data)},
             {"evaluation", number(r.evaluation)},
             {"checkpoint", number(r.checkpoint)}}));
}

void RunLog::write(const EndRecord& r) {
  line(dump({{"kind", "end"},
             {"step", r.step},
             {"time", moment(r.time)},
             {"seconds", number(r.seconds)},
             {"loss", number(r.loss)},
             {"validation", r.validation ? number(*r.validation) : Line(nullptr)}}));
}

// ---- reading

namespace {

// The members of one line, whatever their types turn out to be: what is missing or has another type keeps the
// default.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}
  double number(const char* key, double otherwise = not_measured) const {
    const auto member = object_.find(key);
    return member != object_.end() && member->is_number() ? member->get<double>() : otherwise;
  }
  int64_t integer(const char* key) const {
    const double value = number(key, 0);
    return std::abs(value) < 0x1p62 ? static_cast<int64_t>(value) : 0;
  }
  std::string text(const char* key) const {
    const auto member = object_.find(key);
    return member != object_.end() && member->is_string() ? member->get<std::string>() : std::string();
  }
  bool flag(const char* key) const {
    const auto member = object_.find(key);
    return member != object_.end() && member->is_boolean() && member->get<bool>();
  }
  std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> out;
    const auto member = object_.find(key);
    if (member == object_.end() || !member->is_array()) return out;
    for (const Json& item : *member)
      if (item.is_string()) out.push_back(item.get<std::string>());
    return out;
  }

 private:
  const Json& object_;
};

StartRecord start_record(const Members& m) {
  StartRecord r;
  r.time = m.number("time");
  r.version = m.text("version");
  r.command = m.text("command");
  r.rung = m.text("rung");
  r.cpu = m.text("cpu");
  r.threads = m.integer("threads");
  r.memory_bytes = m.integer("memory_bytes");
  r.peak_flops = m.number("peak_flops");
  r.parameters = m.integer("parameters");
  r.steps = m.integer("steps");
  r.train_tokens = m.integer("train_tokens");
  r.validation_tokens = m.integer("validation_tokens");
  r.tokenizer = m.text("tokenizer");
  r.data = m.text("data");
  r.model = m.text("model");
  r.compute = m.text("compute");
  r.defaults = m.texts("defaults");
  return r;
}

StepRecord step_record(const Members& m) {
  StepRecord r;
  r.step = m.integer("step");
  r.loss = m.number("loss");
  r.learning_rate = m.number("learning_rate");
  r.gradient_norm = m.number("gradient_norm");
  r.tokens = m.integer("tokens");
  r.tokens_per_second = m.number("tokens_per_second");
  r.peak_share = m.number("peak_share");
  r.memory = m.integer("memory");
  r.memory_peak = m.integer("memory_peak");
  r.seconds = m.number("seconds");
  return r;
}

CheckpointRecord checkpoint_record(const Members& m) {
  CheckpointRecord r;
  r.step = m.integer("step");
  r.path = m.text("path");
  r.bytes = m.integer("bytes");
  r.seconds = m.number("seconds");
  r.best = m.flag("best");
  r.time = m.number("time");
  return r;
}

TimeRecord time_record(const Members& m) {
  return {m.number("forward", 0), m.number("backward", 0),   m.number("optimizer", 0),
          m.number("data", 0),    m.number("evaluation", 0), m.number("checkpoint", 0)};
}

EndRecord end_record(const Members& m) {
  EndRecord r;
  r.step = m.integer("step");
  r.time = m.number("time");
  r.seconds = m.number("seconds");
  r.loss = m.number("loss");
  if (const double validation = m.number("validation"); std::isfinite(validation)) r.validation = validation;
  return r;
}

// Steps never go back but by a resume, so what stands behind `step` was made void by a kill that left no
// record.
template <class Record>
void forget_after(std::vector<Record>& records, int64_t step) {
  while (!records.empty() && records.back().step > step) records.pop_back();
}

template <class Record>
void append(std::vector<Record>& records, Record record) {
  forget_after(records, record.step - 1);
  records.push_back(std::move(record));
}

void resume_at(RunHistory& history, const ResumeRecord& resume) {
  forget_after(history.steps, resume.step);
  forget_after(history.validations, resume.step);
  forget_after(history.samples, resume.step);
  forget_after(history.checkpoints, resume.step);
  history.end.reset();
  history.resumes.push_back(resume);
}

bool add_record(RunHistory& history, const Json& object) {
  const Members m(object);
  const std::string kind = m.text("kind");
  if (kind == "start") {
    // A resume writes another one, for another machine perhaps; the run began with the first.
    const double began = history.start ? history.start->time : not_measured;
    history.start = start_record(m);
    if (std::isfinite(began)) history.start->time = began;
  } else if (kind == "step") {
    append(history.steps, step_record(m));
  } else if (kind == "validation") {
    append(history.validations, ValidationRecord{m.integer("step"), m.number("loss"), m.number("seconds")});
  } else if (kind == "sample") {
    // Several prompts may be sampled at one step.
    forget_after(history.samples, m.integer("step"));
    history.samples.push_back({m.integer("step"), m.text("prompt"), m.text("text")});
  } else if (kind == "checkpoint") {
    append(history.checkpoints, checkpoint_record(m));
  } else if (kind == "resume") {
    resume_at(history, {m.integer("step"), m.number("time")});
  } else if (kind == "event") {
    history.events.push_back({m.integer("step"), m.text("text")});
  } else if (kind == "time") {
    history.time = time_record(m);
  } else if (kind == "end") {
    history.end = end_record(m);
  } else {
    return false;
  }
  return true;
}

constexpr size_t longest_line = size_t{1} << 22;

bool add_line(RunHistory& history, std::string_view line) {
  try {
    const Json object = parse_json(line, "log.jsonl", {.bytes = longest_line, .depth = 8});
    return object.is_object() && add_record(history, object);
  } catch (const Error&) { return false; }
}

}  // namespace

RunHistory parse_log(std::string_view text) {
  RunHistory history;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (!add_line(history, line)) history.damaged_lines++;
  }
  return history;
}

RunHistory read_log(const std::filesystem::path& path) { return parse_log(read_file(path)); }

}  // namespace intarsia

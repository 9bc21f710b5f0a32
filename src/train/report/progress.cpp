#include "train/report/progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/format.h"

namespace intarsia {

namespace {

constexpr int sparkline_blocks = 8;
constexpr auto shortest_pause = std::chrono::milliseconds(100);
constexpr double gib = 1024.0 * 1024 * 1024;

// A piece of the line: as it is measured and as it is printed.
struct Part {
  std::string text, styled;
};

Part speed_part(const TrainProgress& p, const Terminal& t, bool share) {
  const std::string number = format_short(p.tokens_per_second);
  Part part{number + " tok/s", t.bold(number) + t.dim(" tok/s")};
  if (!share || !(p.peak_share > 0)) return part;
  const std::string percent = format_share(p.peak_share);
  part.text += " " + percent + " peak";
  part.styled += " " + percent + t.dim(" peak");
  return part;
}

Part labelled(std::string_view label, const std::string& number, const Terminal& t) {
  return {fmt::format("{} {}", label, number), t.dim(label) + " " + t.bold(number)};
}

std::string steps_text(const TrainProgress& p) {
  return p.steps > 0 ? fmt::format("{}/{}", format_count(p.step), format_count(p.steps))
                     : format_count(p.step);
}

Part time_part(const TrainProgress& p, const Terminal& t) {
  if (p.steps > 0 && p.step >= p.steps) {
    const std::string time = format_duration(p.seconds);
    return {"done in " + time, t.green("done") + t.dim(" in ") + t.bold(time)};
  }
  if (!std::isfinite(p.seconds_left) || p.seconds_left <= 0) return {};
  const std::string time = format_duration(p.seconds_left);
  return {time + " left", time + t.dim(" left")};
}

// What may be left out, the first to go first.
enum Drop {
  validation = 1,
  memory = 2,
  share = 3,
  spark = 4,
  speed = 5,
  time_left = 6,
  percent = 7,
  total = 8
};

std::vector<Part> parts_of(const TrainProgress& p, std::span<const double> trend, const Terminal& t,
                           int dropped) {
  std::vector<Part> parts;
  const bool with_percent = dropped < Drop::percent && p.steps > 0;
  std::string steps = dropped < Drop::total ? steps_text(p) : format_count(p.step);
  if (with_percent)
    steps += fmt::format(" {:.0f} %", 100 * static_cast<double>(p.step) / static_cast<double>(p.steps));
  parts.push_back({steps, steps});
  Part loss = labelled("loss", format_fixed(p.loss, 3), t);
  if (!std::isfinite(p.loss)) loss.styled = t.dim("loss") + " " + t.red(format_fixed(p.loss, 3));
  if (dropped < Drop::spark && trend.size() > 1) {
    const std::string line = " " + sparkline(trend, t.utf8);
    loss.text += line;
    loss.styled += line;
  }
  parts.push_back(loss);
  if (dropped < Drop::validation && p.validation)
    parts.push_back(labelled("val", format_fixed(*p.validation, 3), t));
  if (dropped < Drop::speed && p.tokens_per_second > 0)
    parts.push_back(speed_part(p, t, dropped < Drop::share));
  if (dropped < Drop::memory && p.memory_peak > 0) {
    const std::string bytes = format_bytes(static_cast<double>(p.memory_peak), 2);
    parts.push_back({bytes, bytes});
  }
  if (dropped < Drop::time_left) parts.push_back(time_part(p, t));
  std::erase_if(parts, [](const Part& part) { return part.text.empty(); });
  return parts;
}

// One line of text from several: runs of white space become one space.
std::string on_one_line(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    const bool space = c == ' ' || c == '\n' || c == '\t';
    if (!space)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  return out;
}

}  // namespace

std::string progress_line(const TrainProgress& progress, std::span<const double> trend,
                          const Terminal& terminal) {
  // The last column stays free: some terminals wrap as soon as it is written.
  const int columns = terminal.columns - 1;
  std::string text, styled;
  for (int dropped = terminal.columns < 40 ? Drop::time_left : 0; dropped <= Drop::total; dropped++) {
    text.clear();
    styled.clear();
    for (const Part& part : parts_of(progress, trend, terminal, dropped)) {
      const char* gap = text.empty() ? "" : "  ";
      text += gap + part.text;
      styled += gap + part.styled;
    }
    if (display_width(text) <= columns) return styled;
  }
  return std::string(cut_to_width(text, columns));
}

std::string plain_progress_line(const TrainProgress& p) {
  std::string line = fmt::format("step {} loss {:.3f}", p.step, p.loss);
  if (p.validation) line += fmt::format(" val {:.3f}", *p.validation);
  line += fmt::format(" tok/s {:.0f}", p.tokens_per_second);
  if (p.peak_share > 0) line += fmt::format(" peak {:.2f}", p.peak_share);
  line += fmt::format(" mem_gib {:.3g}", static_cast<double>(p.memory_peak) / gib);
  if (std::isfinite(p.seconds_left)) line += fmt::format(" left_s {:.0f}", std::max(0.0, p.seconds_left));
  return line;
}

Progress::Progress(std::FILE* stream)
    : stream_(stream), terminal_(Terminal::of(stream)), clock_(std::chrono::steady_clock::now) {
  write_ = [stream](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
  };
}

Progress::Progress(Write write, const Terminal& terminal, Clock clock)
    : write_(std::move(write)), terminal_(terminal), clock_(std::move(clock)) {}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // a test's writer may throw; a destructor must not
  }
}

// The last losses, `each` of them to a mean.
std::vector<double> Progress::means(size_t buckets, size_t each) const {
  const size_t count = std::min(buckets, losses_.size() / each);
  std::vector<double> out(count);
  for (size_t i = 0; i < count; i++) {
    const auto begin = losses_.end() - static_cast<std::ptrdiff_t>((count - i) * each);
    out[i] =
        std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(each), 0.0) / static_cast<double>(each);
  }
  return out;
}

std::vector<double> Progress::loss_trend(int buckets) const {
  const size_t wanted = static_cast<size_t>(buckets);
  return means(wanted, std::max<size_t>(1, losses_.size() / wanted));
}

std::vector<double> Progress::recent_trend(int buckets) const {
  const size_t wanted = static_cast<size_t>(buckets);
  return means(wanted, std::max<size_t>(1, losses_.size() / (2 * wanted)));
}

void Progress::update(const TrainProgress& progress) {
  losses_.push_back(progress.loss);
  last_ = progress;
  if (!terminal_.interactive) return write_(plain_progress_line(progress) + "\n");
  stale_ = true;
  if (seen_ && clock_() - drawn_ < shortest_pause) return;
  draw();
}

void Progress::draw() {
  if (stream_) terminal_.measure(stream_);
  write_("\r" + progress_line(last_, recent_trend(sparkline_blocks), terminal_) + "\x1b[K");
  drawn_ = clock_();
  seen_ = shown_ = true;
  stale_ = false;
}

void Progress::clear() {
  if (shown_) write_("\r\x1b[K");
  shown_ = false;
}

void Progress::sample(const TrainSample& sample) {
  if (!terminal_.interactive)
    return write_(fmt::format("sample {} {}\n", sample.step, on_one_line(sample.prompt + sample.text)));
  clear();
  const std::string step = fmt::format("step {}  ", format_count(sample.step));
  std::string text = printable(sample.text);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  write_(terminal_.dim(step) + terminal_.dim(printable(sample.prompt)) + text + "\n");
  if (last_.step > 0) draw();
}

void Progress::note(std::string_view text) {
  if (terminal_.interactive) clear();
  write_(printable(text) + "\n");
  if (terminal_.interactive && last_.step > 0) draw();
}

void Progress::finish() {
  if (!terminal_.interactive || !(shown_ || stale_)) return;
  if (stale_ || !shown_) draw();
  write_("\n");
  shown_ = stale_ = false;
  last_ = {};
}

}  // namespace intarsia

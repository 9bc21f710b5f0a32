#include "train/report/report.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "core/format.h"
#include "data/json.h"
#include "page/chart.h"
#include "page/page.h"
#include "train/report/summary.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr const char* hostile =
    "</script><script>alert(1)</script> \"'&<b> \xff\xfe \x1b[31m \u202e 創世記 ]]> <!-- ${x}";

// A run of `steps` steps of which `done` are done, logged every `every`.
RunHistory history_of(int64_t steps, int64_t done, int64_t every = 10) {
  RunHistory h;
  StartRecord start;
  start.time = 1800000000;
  start.version = "0.1.0";
  start.command = "intarsia train bible.txt";
  start.rung = "avx512bf16";
  start.cpu = "a processor";
  start.threads = 2;
  start.memory_bytes = int64_t{16} << 30;
  start.peak_flops = 6.1e11;
  start.parameters = 3412224;
  start.steps = steps;
  start.train_tokens = 1003854;
  start.validation_tokens = 111539;
  start.tokenizer = "byte-level BPE, 4,096";
  start.data = "bible.txt";
  start.model = "llama";
  start.compute = "bf16";
  h.start = start;
  for (int64_t n = every; n <= done; n += every) {
    const double share = static_cast<double>(n) / static_cast<double>(steps);
    StepRecord r;
    r.step = n;
    r.loss = 1.4 + 7 * std::exp(-60 * share) + 1.5 * std::exp(-4 * share) +
             0.01 * std::sin(static_cast<double>(n));
    r.learning_rate = 6e-4 * (1 - share);
    r.gradient_norm = 0.4 + 2 * std::exp(-60 * share) + 0.02 * std::cos(static_cast<double>(n));
    r.tokens = n * 8192;
    r.tokens_per_second = 21900 + 100 * std::sin(static_cast<double>(3 * n));
    r.peak_share = r.tokens_per_second / 35900;
    r.memory = int64_t{2} << 30;
    r.memory_peak = int64_t{9} << 30;
    r.seconds = 0.4 * static_cast<double>(n);
    h.steps.push_back(r);
    if (n % (5 * every) == 0) h.validations.push_back({n, r.loss + 0.02, 1.0});
    if (n % (20 * every) == 0) {
      h.samples.push_back({n, "In the beginning", " God created the heaven and the earth."});
      h.checkpoints.push_back({n, fmt::format("checkpoints/step-{:06}", n), 40 << 20, 0.8, true, 1800000100});
    }
  }
  h.time = TimeRecord{30, 60, 5, 0.1, 2, 1};
  return h;
}

ReportContext context() {
  ReportContext c;
  c.name = "bible";
  c.run_path = "runs/bible";
  c.recipe = "[training]\nsteps = 450\n[optimizer]\nlearning_rate = 6e-4\n";
  c.now = 1800000200;
  return c;
}

size_t count_of(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string_view::npos; at += what.size()) count++;
  return count;
}
bool holds(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

struct Tag {
  std::string name, attributes;
  bool closing, empty;
};
// The tags of a page; what stands in <style> and <script> is passed over.
std::vector<Tag> tags_of(std::string_view html) {
  static const std::set<std::string> empty = {"meta", "link", "input", "!doctype"};
  std::vector<Tag> tags;
  for (size_t at = 0; (at = html.find('<', at)) != std::string_view::npos;) {
    size_t end = at;
    for (char quote = 0; end < html.size() && (quote || html[end] != '>'); end++)
      if (html[end] == '"') quote = quote ? 0 : '"';
    std::string inside(html.substr(at + 1, end - at - 1));
    Tag tag{};
    tag.closing = inside.starts_with('/');
    if (tag.closing) inside.erase(0, 1);
    const bool slash = inside.ends_with('/');
    const size_t space = inside.find_first_of(" /");
    tag.name = inside.substr(0, space);
    if (space != std::string::npos) tag.attributes = inside.substr(space);
    tag.empty = slash || empty.contains(tag.name);
    tags.push_back(tag);
    at = end;
    if (!tag.closing && (tag.name == "script" || tag.name == "style")) at = html.find("</" + tag.name, at);
  }
  return tags;
}

void expect_whole(std::string_view html) {
  std::vector<std::string> open;
  int headings = 0, level = 0;
  std::set<std::string> ids;
  for (const Tag& tag : tags_of(html)) {
    if (tag.closing) {
      ASSERT_FALSE(open.empty()) << "</" << tag.name << ">";
      ASSERT_EQ(open.back(), tag.name);
      open.pop_back();
      continue;
    }
    if (!tag.empty) open.push_back(tag.name);
    if (tag.name == "html") { EXPECT_TRUE(holds(tag.attributes, "lang=\"en\"")); }
    if (tag.name == "th") { EXPECT_TRUE(holds(tag.attributes, "scope=")) << tag.attributes; }
    if (tag.name == "output") { EXPECT_TRUE(holds(tag.attributes, "aria-live=\"polite\"")); }
    if (tag.name == "svg" && holds(tag.attributes, "role=\"img\"")) {
      EXPECT_TRUE(holds(tag.attributes, "aria-label=\"") && holds(tag.attributes, "tabindex=\"0\""))
          << tag.attributes;
    }
    std::smatch id;
    if (std::regex_search(tag.attributes, id, std::regex(" id=\"([^\"]*)\""))) {
      EXPECT_TRUE(ids.insert(id[1]).second) << "id " << id[1] << " stands twice";
    }
    if (tag.name.size() == 2 && tag.name[0] == 'h' && tag.name[1] >= '1' && tag.name[1] <= '6') {
      const int now = tag.name[1] - '0';
      EXPECT_LE(now, level + 1) << "a heading's level is skipped";
      level = now;
      headings += now == 1;
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(headings, 1);
  EXPECT_EQ(count_of(html, "<table"), count_of(html, "<caption"));
  std::smatch link;
  std::string rest(html);
  while (std::regex_search(rest, link, std::regex("href=\"#([^\"]*)\""))) {
    EXPECT_TRUE(ids.contains(link[1])) << "no place called " << link[1];
    rest = link.suffix();
  }
  EXPECT_EQ(repair_utf8(html), html);
}

void expect_no_network(std::string page) {
  for (const char* name_space : {"http://www.w3.org/2000/svg"})
    for (size_t at; (at = page.find(name_space)) != std::string::npos;)
      page.erase(at, std::strlen(name_space));
  for (const char* reach :
       {"http:", "https:", "//cdn", "@import", "url(", " src=", "fetch(", "XMLHttpRequest", "WebSocket"})
    EXPECT_FALSE(holds(page, reach)) << reach;
}

std::string data_of(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const size_t at = page.find(begin) + begin.size();
  return page.substr(at, page.find("</script>", at) - at);
}

TEST(Report, APageOfARunningRunIsWholeAndReachesForNothing) {
  const std::string page = report_page(history_of(20000, 12400), context());
  expect_whole(page);
  expect_no_network(page);
  EXPECT_TRUE(holds(page, "<span class=\"state\">running</span>"));
  EXPECT_TRUE(holds(page, "id=\"reload\""));
  EXPECT_TRUE(holds(page, "<title>bible, step 12,400 · intarsia run</title>"));
  EXPECT_TRUE(holds(page, "Validation loss 1.5"));
  EXPECT_TRUE(holds(page, "<progress value=\"12400\" max=\"20000\" aria-label=\"step 12,400 of 20,000\">"));
  EXPECT_TRUE(holds(page, "intarsia train --resume runs/bible</code>"));
  for (const char* chart : {"loss", "rate", "norm", "speed", "memory"})
    EXPECT_TRUE(holds(page, fmt::format("data-chart=\"{}\"", chart))) << chart;
  EXPECT_TRUE(holds(page, "● training.steps")) << "differs from the default";
  EXPECT_FALSE(holds(page, "● optimizer.beta1"));
  EXPECT_TRUE(holds(page, "<dt>optimizer.beta1</dt>"));
}

TEST(Report, StatesAreToldApartByWordsToo) {
  RunHistory h = history_of(450, 450);
  h.end = EndRecord{450, 1800000190, 118, 1.4, 1.42};
  std::string page = report_page(h, context());
  EXPECT_TRUE(holds(page, "<span class=\"state\">done</span>"));
  EXPECT_TRUE(holds(page, "after 450 steps"));
  EXPECT_TRUE(holds(page, "Training took 1 min 58 s"));
  EXPECT_TRUE(holds(page, "intarsia chat runs/bible</code>"));
  EXPECT_FALSE(holds(page, "id=\"reload\""));
  expect_whole(page);

  h = history_of(450, 200);
  h.events.push_back({200, "interrupted by Ctrl-C"});
  page = report_page(h, context());
  EXPECT_TRUE(holds(page, "<span class=\"state warning\">interrupted</span>"));
  EXPECT_TRUE(holds(page, "Interrupted by Ctrl-C."));
  expect_whole(page);
  h.resumes.push_back({200, 1800000150});
  h.steps.push_back(h.steps.back());
  h.steps.back().step = 210;
  EXPECT_TRUE(holds(report_page(h, context()), "<span class=\"state\">running</span>"));

  h.events.push_back({210, "failed: disk full"});
  EXPECT_TRUE(holds(report_page(h, context()), "<span class=\"state failed\">failed</span>"));
}

TEST(Report, ARunWithoutAStepSaysSo) {
  RunHistory h = history_of(450, 0);
  h.time.reset();
  const std::string page = report_page(h, context());
  expect_whole(page);
  EXPECT_TRUE(holds(page, "no step is logged yet"));
  EXPECT_FALSE(holds(page, "<figure"));
  EXPECT_EQ(parse_json(data_of(page), "data")["charts"].size(), 0u);
  expect_whole(report_page(RunHistory(), ReportContext{}));
}

TEST(Report, NumbersThatAreNoneMakeNoBrokenPage) {
  RunHistory h = history_of(450, 300);
  for (size_t i = 5; i < h.steps.size(); i++) h.steps[i].loss = nan;
  h.steps[8].gradient_norm = nan;
  h.steps[9].tokens_per_second = nan;
  h.steps[10].learning_rate = std::numeric_limits<double>::infinity();
  h.validations.back().loss = nan;
  std::string page = report_page(h, context());
  expect_whole(page);
  EXPECT_FALSE(holds(data_of(page), "nan"));
  EXPECT_NO_THROW(parse_json(data_of(page), "data"));
  EXPECT_TRUE(holds(page, "the loss is not a number"));

  for (StepRecord& step : h.steps) {
    step = StepRecord{};
    step.step = &step - h.steps.data() + 1;
  }
  page = report_page(h, context());
  expect_whole(page);
  EXPECT_NO_THROW(parse_json(data_of(page), "data"));
  h.steps.resize(1);
  h.steps[0].loss = 0;
  h.validations.clear();
  expect_whole(report_page(h, context()));
}

TEST(Report, TextFromAModelCannotLeaveItsPlace) {
  RunHistory h = history_of(450, 200);
  h.samples = {{200, hostile, hostile}};
  h.events.push_back({200, hostile});
  StartRecord& s = *h.start;
  s.version = s.command = s.rung = s.cpu = s.tokenizer = s.data = s.model = s.compute = hostile;
  s.defaults = {hostile};
  ReportContext c = context();
  c.name = c.run_path = hostile;
  c.recipe = hostile;
  const std::string page = report_page(h, c);
  expect_whole(page);
  EXPECT_EQ(count_of(page, "<script"), 3u);
  EXPECT_FALSE(holds(page, "<b> "));
  EXPECT_FALSE(holds(page, "\x1b"));
  EXPECT_FALSE(holds(page, "\u202e")) << "marks that turn the direction of text round";
  EXPECT_TRUE(holds(page, "創世記"));
}

TEST(Report, ALongSampleIsCutAndManySamplesAreChosenFrom) {
  RunHistory h = history_of(20000, 20000);
  h.samples.clear();
  for (int64_t n = 1; n <= 200; n++)
    h.samples.push_back({100 * n, "p", n == 200 ? std::string(100000, 'x') : "t"});
  const std::string page = report_page(h, context());
  EXPECT_TRUE(holds(page, "of 200 samples"));
  const size_t begin = page.find("id=\"samples\""), end = page.find("id=\"time\"");
  const std::string samples = page.substr(begin, end - begin);
  EXPECT_LT(samples.size(), 10000u);
  EXPECT_LE(count_of(samples, "<td role=\"cell\" class=\"wide"), 12u);
  EXPECT_TRUE(holds(samples, ">20,000</th>")) << "the newest";
  EXPECT_TRUE(holds(samples, ">100</th>")) << "the first";
}

TEST(Report, PathsAreQuotedForAShell) {
  ReportContext c = context();
  c.run_path = "runs/it's a run";
  EXPECT_TRUE(holds(report_page(history_of(450, 100), c),
                    "intarsia train --resume &#39;runs/it&#39;\\&#39;&#39;s a run&#39;"));
}

TEST(Report, PagesStaySmall) {
  EXPECT_LE(report_page(history_of(450, 0), context()).size(), 60'000u);
  RunHistory h = history_of(1'000'000, 1'000'000);
  h.samples.clear();
  h.checkpoints.clear();
  for (int64_t n = 1; n <= 100; n++) h.samples.push_back({100 * n, "prompt", std::string(3000, 'x')});
  EXPECT_LE(report_page(h, context()).size(), 400'000u);
  EXPECT_LE(page_style().size(), 15'000u);
  EXPECT_LE(std::count(page_script().begin(), page_script().end(), '\n'), 150);
}

TEST(Report, TheScriptsDataIsTheLogsData) {
  const RunHistory h = history_of(450, 200);
  const Json data = parse_json(data_of(report_page(h, context())), "data");
  EXPECT_EQ(data["last"], 200);
  const Json& speed = data["charts"]["speed"]["series"][0];
  const Json& steps = data["x"][speed["x"].get<size_t>()];
  ASSERT_EQ(steps.size(), h.steps.size());
  ASSERT_EQ(speed["y"].size(), h.steps.size());
  for (size_t i = 0; i < h.steps.size(); i++) {
    EXPECT_EQ(steps[i], h.steps[i].step);
    EXPECT_NEAR(speed["y"][i].get<double>(), h.steps[i].tokens_per_second, 1);
  }
  EXPECT_EQ(data["charts"]["loss"]["series"].size(), 2u)
      << "train and validation; single steps are drawn only";
}

TEST(Report, IsWrittenBesideTheLogAndListsWhatIsOnTheDisk) {
  const fs::path run = fs::temp_directory_path() / ("intarsia-report-" + std::to_string(getpid()));
  fs::create_directories(run / "checkpoints/step-000200");
  {
    RunLog log(run / "log.jsonl");
    const RunHistory h = history_of(450, 400);
    log.write(*h.start);
    for (const StepRecord& step : h.steps) log.write(step);
    for (const CheckpointRecord& checkpoint : h.checkpoints) log.write(checkpoint);
  }
  std::ofstream(run / "recipe.toml") << "[training]\nsteps = 450\n";
  write_report(run / "");
  const std::string page = read_file(run / "report.html");
  expect_whole(page);
  EXPECT_TRUE(holds(page, "<h1>" + run.filename().string() + "</h1>"));
  const size_t begin = page.find("id=\"checkpoints\""), end = page.find("id=\"configuration\"");
  EXPECT_TRUE(holds(page.substr(begin, end - begin), ">200</th>"));
  EXPECT_FALSE(holds(page.substr(begin, end - begin), ">400</th>")) << "that directory is gone";
  fs::remove(run / "log.jsonl");
  EXPECT_THROW(write_report(run), Error);
  fs::remove_all(run);
}

// ---- the palette

double luminance(const std::string& hex) {
  double sum = 0;
  const double weights[] = {0.2126, 0.7152, 0.0722};
  for (size_t i = 0; i < 3; i++) {
    const double c = std::stoi(hex.substr(2 * i, 2), nullptr, 16) / 255.0;
    sum += weights[i] * (c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
  }
  return sum;
}
double contrast(const std::string& a, const std::string& b) {
  const double la = luminance(a), lb = luminance(b);
  return (std::max(la, lb) + 0.05) / (std::min(la, lb) + 0.05);
}

TEST(Palette, TextAndEdgesCanBeSeenInBothThemes) {
  const std::string style(page_style());
  std::map<std::string, std::pair<std::string, std::string>> palette;
  const std::regex colour("--([a-z0-9-]+): light-dark\\(#([0-9a-f]{6}), #([0-9a-f]{6})\\)");
  for (auto i = std::sregex_iterator(style.begin(), style.end(), colour); i != std::sregex_iterator(); ++i)
    palette[(*i)[1]] = {(*i)[2], (*i)[3]};
  const auto check = [&](const std::string& front, const std::string& back, double least) {
    ASSERT_TRUE(palette.contains(front) && palette.contains(back)) << front << " " << back;
    EXPECT_GE(contrast(palette[front].first, palette[back].first), least)
        << front << " on " << back << ", light";
    EXPECT_GE(contrast(palette[front].second, palette[back].second), least)
        << front << " on " << back << ", dark";
  };
  for (const char* text : {"ink", "muted", "accent", "good", "warning", "bad"}) check(text, "ground", 4.5);
  for (const char* series : {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"})
    check(series, "ground", 4.5);
  check("ink", "sunk", 4.5);
  check("muted", "sunk", 4.5);
  check("edge", "ground", 3);
}

// ---- charts

TEST(Chart, ThinningKeepsTheGreatestTheLeastAndTheLast) {
  ChartLine line;
  for (int i = 0; i < 100'000; i++) {
    line.x.push_back(i);
    line.y.push_back(std::sin(i * 0.001));
  }
  line.y[12345] = 50;
  line.y[54321] = -50;
  line.y[777] = nan;
  const ChartLine thin = thinned(line);
  EXPECT_LE(thin.x.size(), 300u);
  EXPECT_EQ(thin.x.size(), thin.y.size());
  EXPECT_TRUE(std::is_sorted(thin.x.begin(), thin.x.end()));
  EXPECT_EQ(std::count(thin.y.begin(), thin.y.end(), 50), 1);
  EXPECT_EQ(std::count(thin.y.begin(), thin.y.end(), -50), 1);
  EXPECT_EQ(thin.x.back(), 99'999);
  line.x.resize(300);
  line.y.resize(300);
  EXPECT_EQ(thinned(line).x.size(), 300u) << "what is short stays as it is";
}

TEST(Chart, SmoothingIsAMeanOfNeighboursWithoutGaps) {
  const std::vector<double> values = {9, 1, 2, 3, nan, 5};
  const std::vector<double> means = smoothed(values, 3);
  EXPECT_EQ(means[0], 9) << "nothing before it";
  EXPECT_EQ(means[1], 4);
  EXPECT_EQ(means[2], 2);
  EXPECT_EQ(means[3], 2.5);
  EXPECT_EQ(means[4], 4);
  EXPECT_EQ(means[5], 5);
  EXPECT_EQ(smoothed(values, 1)[3], 3);
}

TEST(Chart, AxesHaveRoundMarksWithEqualDecimals) {
  using Labels = std::vector<std::string>;
  EXPECT_EQ(axis_ticks(0, 12400, 7).labels, (Labels{"0", "2k", "4k", "6k", "8k", "10k", "12k"}));
  EXPECT_EQ(axis_ticks(0, 0.77, 3).labels, (Labels{"0", "0.2", "0.4", "0.6"}));
  EXPECT_EQ(axis_ticks(2.85, 4.4, 5).labels, (Labels{"3.0", "3.5", "4.0"}));
  EXPECT_EQ(axis_ticks(0, 6.5e-4, 3).labels, (Labels{"0", "2e−4", "4e−4", "6e−4"}));
  EXPECT_EQ(axis_ticks(0, 1.08e-3, 3).labels, (Labels{"0", "5e−4", "1e−3"}));
  EXPECT_EQ(axis_ticks(0.2, 10, 4, true).labels, (Labels{"0.2", "0.5", "1", "2", "5", "10"}));
  EXPECT_EQ(axis_ticks(1, 1e4, 4, true).labels, (Labels{"1", "10", "100", "1k", "10k"}));
  EXPECT_EQ(axis_ticks(1.36, 3.2, 5, true).labels, (Labels{"1.5", "2.0", "2.5", "3.0"}))
      << "below a factor of four: linear";
  EXPECT_TRUE(axis_ticks(1, 1, 5).values.empty());
  EXPECT_TRUE(axis_ticks(nan, 1, 5).values.empty());
  EXPECT_LE(axis_ticks(1e-30, 1e30, 4, true).values.size(), 8u);
}

TEST(Chart, LabelsLeaveRoomForThePlotOnANarrowPhone) {
  const std::string page = report_page(history_of(20000, 12400), context());
  std::smatch room;
  ASSERT_TRUE(std::regex_search(page, room, std::regex("--left:([0-9]+)px;--right:([0-9]+)px")));
  EXPECT_LE(std::stoi(room[2]), 126) << "42 % of what a window of 320 px leaves";
  EXPECT_LE(std::stoi(room[1]), 60);
}

// ---- words

TEST(Summary, SaysWhereTheLossGoes) {
  RunSummary falling = summarize(history_of(20000, 8000));
  EXPECT_LT(falling.change, 0);
  EXPECT_FALSE(falling.change_is_noise);
  EXPECT_TRUE(
      holds(answer(falling),
            "the lowest so far. It still falls by about 0.08 per 1,000 steps; nothing needs attention."))
      << answer(falling);
  RunHistory flat = history_of(20000, 8000);
  for (size_t i = 0; i < flat.validations.size(); i++) flat.validations[i].loss = 2 + (i % 2 ? 0.01 : -0.01);
  EXPECT_TRUE(holds(answer(summarize(flat)), "It has stopped falling")) << answer(summarize(flat));
  RunHistory rising = history_of(20000, 8000);
  for (size_t i = 0; i < rising.validations.size(); i++)
    rising.validations[i].loss = 3 + 0.01 * static_cast<double>(i);
  EXPECT_TRUE(holds(answer(summarize(rising)),
                    "; the lowest was 3.000 at step 50. It rises by about 0.2 per 1,000 steps"))
      << answer(summarize(rising));
  EXPECT_TRUE(holds(answer(summarize(rising)), "learn the text by heart"));
}

TEST(Summary, NoticesThatThroughputFell) {
  RunHistory h = history_of(20000, 8000);
  for (size_t i = h.steps.size() - 30; i < h.steps.size(); i++) h.steps[i].tokens_per_second = 10000;
  EXPECT_TRUE(holds(answer(summarize(h)), "throughput is 54 % below its median")) << answer(summarize(h));
}

TEST(Summary, TimeLeftGoesByTheRecentSteps) {
  RunHistory h = history_of(20000, 12400);
  for (size_t i = 1; i < h.steps.size(); i++)
    h.steps[i].seconds = h.steps[i - 1].seconds + (i < 600 ? 50 : 1);
  EXPECT_NEAR(summarize(h).seconds_left, 760, 1);
}

TEST(Summary, FindsGradientsThatStandOut) {
  RunHistory h = history_of(20000, 8000);
  h.steps[300].gradient_norm = 6;
  h.steps[20].gradient_norm = 60;  // in the first steps nothing is usual yet
  const std::vector<StepRecord> spikes = gradient_spikes(h);
  ASSERT_EQ(spikes.size(), 1u);
  EXPECT_EQ(spikes[0].step, h.steps[300].step);
}

}  // namespace
}  // namespace intarsia

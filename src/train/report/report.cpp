#include "train/report/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>

#include "core/fail.h"
#include "core/format.h"
#include "page/page.h"
#include "page/parts.h"
#include "train/recipe.h"
#include "train/report/curves.h"
#include "train/report/summary.h"

namespace intarsia {

namespace {

constexpr size_t most_samples = 12, most_events = 20, longest_sample = 2000;
constexpr double mib = 1024.0 * 1024;

// The longest start of `text` of at most `bytes` bytes that does not end inside a character.
std::string cut_text(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) bytes--;
  return std::string(text.substr(0, bytes)) + " …";
}

struct Recipes {
  std::optional<Recipe> recipe;
  std::string error;  // why there is none
};

Recipes read_context(const ReportContext& context) {
  if (context.recipe.empty()) return {std::nullopt, "recipe.toml was not found."};
  try {
    return {parse_recipe(context.recipe, "recipe.toml"), {}};
  } catch (const Error& error) { return {std::nullopt, error.what()}; }
}

// ---- the parts of the page, in reading order

std::string state_html(const RunSummary& s) {
  const char* kind = s.state == RunState::interrupted ? " warning"
                     : s.state == RunState::failed    ? " failed"
                                                      : "";
  std::string html = fmt::format("<span class=\"state{}\">{}</span>", kind, state_word(s.state));
  if (s.state == RunState::running)
    html +=
        "<label class=\"unit screen\" data-script hidden><input type=\"checkbox\" id=\"reload\"> "
        "<span>reload<span class=\"long\"> every 30 s</span></span></label>";
  return html;
}

std::string keys_html(const RunSummary& s, const RunHistory& history) {
  const bool done = s.state == RunState::done;
  const double share = s.steps > 0 ? static_cast<double>(s.step) / static_cast<double>(s.steps) : 0;
  const std::string of_steps = fmt::format("step {} of {}", format_count(s.step), format_count(s.steps));
  std::string html =
      fmt::format("<progress value=\"{}\" max=\"{}\" aria-label=\"{}\"></progress>\n<dl class=\"keys\">\n",
                  s.step, std::max<int64_t>(s.steps, 1), of_steps);
  const double loss = s.validation ? s.validation->loss : s.loss;
  html += key_html(s.validation ? "Validation loss" : "Training loss",
                   std::isfinite(loss) ? format_fixed(loss, 3) : "not measured",
                   std::isfinite(loss) ? fmt::format("perplexity {}", format_number(std::exp(loss), 3)) : "");
  html += key_html("Progress", with_small_unit(format_share(share)), of_steps);
  html += done ? key_html("Time", format_duration(s.seconds), "of training")
               : key_html("Time left", s.step > 0 ? format_duration(s.seconds_left) : "not measured",
                          std::isfinite(s.seconds) ? format_duration(s.seconds) + " so far" : "");
  html += key_html("Throughput",
                   std::isfinite(s.tokens_per_second)
                       ? fmt::format("{} <small>tokens/s</small>", format_short(s.tokens_per_second))
                       : "not measured",
                   s.peak_share > 0 ? format_share(s.peak_share) + " of measured peak" : "");
  const int64_t memory = history.start ? history.start->memory_bytes : 0;
  html += key_html(
      "Memory, peak",
      s.memory_peak > 0 ? with_small_unit(format_bytes(static_cast<double>(s.memory_peak))) : "not measured",
      memory > 0 ? fmt::format("of {} in this machine", format_bytes(static_cast<double>(memory), 2)) : "");
  return html + "</dl>\n";
}

struct HappenedEvent {
  int64_t step;
  std::string text;
};

std::vector<HappenedEvent> events_of(const RunHistory& history, double clip, double now) {
  std::vector<HappenedEvent> events;
  if (history.start) {
    const StartRecord& start = *history.start;
    events.push_back({0, fmt::format("Started {}: rung {}, {} compute, {} threads.",
                                     local_time(start.time, now), start.rung, start.compute, start.threads)});
  }
  for (const EventRecord& event : history.events) {
    std::string text = event.text;
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
    if (!text.empty() && std::string_view(".:;").find(text.back()) == std::string_view::npos) text += '.';
    events.push_back({event.step, text});
  }
  for (const ResumeRecord& resume : history.resumes)
    events.push_back({resume.step, fmt::format("Resumed {}.", local_time(resume.time, now))});
  for (const StepRecord& spike : gradient_spikes(history)) {
    std::string text = fmt::format("Gradient norm {}", format_number(spike.gradient_norm));
    if (clip > 0 && spike.gradient_norm > clip)
      text += fmt::format(", clipped to {}", format_number(clip, 2));
    events.push_back({spike.step, text + "."});
  }
  if (history.damaged_lines > 0)
    events.push_back(
        {history.steps.empty() ? 0 : history.steps.back().step,
         fmt::format(
             "{} of log.jsonl could not be read.",
             history.damaged_lines == 1 ? "One line" : format_count(history.damaged_lines) + " lines")});
  std::stable_sort(events.begin(), events.end(),
                   [](const auto& a, const auto& b) { return a.step < b.step; });
  std::reverse(events.begin(), events.end());
  return events;
}

std::string events_html(const RunHistory& history, double clip, double now) {
  const std::vector<HappenedEvent> events = events_of(history, clip, now);
  if (events.empty()) return {};
  // A part of the curves, where there are some.
  const char* heading = history.steps.empty() ? "h2" : "h3";
  std::string html = fmt::format("<{0}>Events</{0}>\n", heading);
  html +=
      "<table><caption class=\"hidden-text\">Events of the run, newest "
      "first</caption><thead><tr>"
      "<th class=\"number\" scope=\"col\">step</th><th scope=\"col\" style=\"width:100%\">what "
      "happened</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < std::min(events.size(), most_events); i++)
    html += fmt::format("<tr><th class=\"number\" scope=\"row\">{}</th><td>{}</td></tr>\n",
                        format_count(events[i].step), escape_html(events[i].text));
  html += "</tbody></table>\n";
  if (events.size() > most_events)
    html +=
        fmt::format("<p class=\"note\">The newest {} of {} events; all are in <code>log.jsonl</code>.</p>\n",
                    most_events, format_count(static_cast<int64_t>(events.size())));
  return html;
}

// The validation loss that was measured last, up to a step.
std::optional<double> validation_at(const RunHistory& history, int64_t step) {
  std::optional<double> loss;
  for (const ValidationRecord& point : history.validations)
    if (point.step <= step) loss = point.loss;
  return loss;
}

// Which samples are shown: the newest and the first, and between them ever fewer the older they are.
std::set<size_t> chosen_samples(size_t count) {
  std::set<size_t> chosen;
  if (count <= most_samples) {
    for (size_t i = 0; i < count; i++) chosen.insert(i);
    return chosen;
  }
  const double ratio = std::pow(static_cast<double>(count), 1.0 / (most_samples - 1));
  for (size_t i = 0; i < most_samples; i++) {
    const double age = std::pow(ratio, static_cast<double>(i));
    chosen.insert(count - static_cast<size_t>(std::clamp(age, 1.0, static_cast<double>(count))));
  }
  return chosen;
}

std::string samples_html(const RunHistory& history, const std::optional<Recipe>& recipe) {
  if (history.samples.empty()) return {};
  const std::set<size_t> chosen = chosen_samples(history.samples.size());
  std::string note;
  if (recipe)
    note = fmt::format("Temperature {}, at most {} tokens. ", format_number(recipe->samples.temperature, 2),
                       format_count(recipe->samples.tokens));
  note += "Newest first, what was given to the model in grey.";
  if (chosen.size() < history.samples.size())
    note += fmt::format(" {} of {} samples.", chosen.size(),
                        format_count(static_cast<int64_t>(history.samples.size())));
  std::string html = fmt::format(
      "<h2 id=\"samples\">Samples over time</h2>\n<p class=\"note\">{}</p>\n<table role=\"table\" "
      "class=\"stack\">"
      "<caption class=\"hidden-text\">Text written by the model at several steps</caption><thead "
      "role=\"rowgroup\"><tr "
      "role=\"row\"><th role=\"columnheader\" class=\"number\" scope=\"col\">step</th><th "
      "role=\"columnheader\" "
      "class=\"number\" scope=\"col\">validation<small>nats/token</small></th><th role=\"columnheader\" "
      "scope=\"col\" "
      "style=\"width:100%\">text</th></tr></thead><tbody role=\"rowgroup\">\n",
      escape_html(note));
  for (auto i = chosen.rbegin(); i != chosen.rend(); ++i) {
    const SampleRecord& sample = history.samples[*i];
    const auto loss = validation_at(history, sample.step);
    html += fmt::format(
        "<tr role=\"row\"><th role=\"rowheader\" class=\"number\" scope=\"row\" "
        "data-head=\"step\">{}</th><td role=\"cell\" "
        "class=\"number\" data-head=\"validation\">{}</td><td role=\"cell\" class=\"wide "
        "written\"><bdi><span "
        "class=\"muted\">{}</span>{}</bdi></td></tr>\n",
        format_count(sample.step), loss ? format_fixed(*loss, 3) : "not measured",
        escape_html(cut_text(sample.prompt, longest_sample)),
        escape_html(cut_text(sample.text, longest_sample)));
  }
  return html + "</tbody></table>\n";
}

std::string time_html(const RunHistory& history, const RunSummary& s) {
  if (!history.time) return {};
  const TimeRecord& time = *history.time;
  struct Part {
    const char* name;
    double seconds;
  };
  std::vector<Part> parts = {{"forward", time.forward},       {"backward", time.backward},
                             {"optimizer", time.optimizer},   {"waiting for data", time.data},
                             {"evaluation", time.evaluation}, {"checkpoints", time.checkpoint}};
  double sum = 0;
  for (const Part& part : parts) sum += part.seconds;
  const double total = std::max(sum, std::isfinite(s.seconds) ? s.seconds : 0);
  if (!(total > 0)) return {};
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.seconds > b.seconds; });
  parts.push_back({"everything else", total - sum});
  const double longest = std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
                           return a.seconds < b.seconds;
                         })->seconds;
  const auto steps = static_cast<double>(std::max<int64_t>(s.step, 1));
  std::string html = fmt::format(
      "<section><h2 id=\"time\">Where the time goes</h2>\n<table><caption>Mean of {} steps; {} a step, {} in "
      "all</caption>"
      "<thead><tr><th scope=\"col\">part</th><th class=\"number\" "
      "scope=\"col\">share<small>%</small></th><th class=\"number\" "
      "scope=\"col\">time<small>ms/step</small></th><td class=\"bar\"></td></tr></thead><tbody>\n",
      format_count(s.step), format_duration(total / steps), format_duration(total));
  const int decimals = total / steps < .1 ? 2 : total / steps < 1 ? 1 : 0;
  for (const Part& part : parts)
    html += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td "
        "class=\"bar\" "
        "aria-hidden=\"true\"><i style=\"width:{:.0f}%\"></i></td></tr>\n",
        part.name, format_fixed(100 * part.seconds / total, 1),
        format_fixed(1000 * part.seconds / steps, decimals), 100 * part.seconds / longest);
  return html + "</tbody></table></section>\n";
}

std::string checkpoints_html(const RunHistory& history, double now) {
  std::string html = "<section><h2 id=\"checkpoints\">Checkpoints</h2>\n";
  if (history.checkpoints.empty()) return html + "<p class=\"note\">None written yet.</p></section>\n";
  html +=
      "<table><caption>On the disk now, newest first</caption><thead><tr><th class=\"number\" "
      "scope=\"col\">step</th>"
      "<th class=\"number\" scope=\"col\">validation<small>nats/token</small></th><th class=\"number\" "
      "scope=\"col\">size"
      "<small>MiB</small></th><th class=\"number\" scope=\"col\">written</th></tr></thead><tbody>\n";
  // Each record says whether it was the best until then, so the last that says so is.
  const CheckpointRecord* best = nullptr;
  for (const CheckpointRecord& checkpoint : history.checkpoints)
    if (checkpoint.best) best = &checkpoint;
  for (auto c = history.checkpoints.rbegin(); c != history.checkpoints.rend(); ++c) {
    const auto loss = validation_at(history, c->step);
    const bool is_best = best == &*c;
    const double size = static_cast<double>(c->bytes) / mib;
    html += fmt::format(
        "<tr><th class=\"number\" scope=\"row\">{}</th><td class=\"number{}\">{}{}</td><td "
        "class=\"number\">{}</td>"
        "<td class=\"number\">{}</td></tr>\n",
        format_count(c->step), is_best ? " best" : "", loss ? format_fixed(*loss, 3) : "not measured",
        is_best ? "<span class=\"hidden-text\"> best</span>" : "", format_fixed(size, size < 100 ? 1 : 0),
        local_time(c->time, now));
  }
  html += "</tbody></table>\n<p class=\"note\">";
  if (best) html += "<span style=\"color:var(--accent)\">◆</span> lowest validation loss. ";
  return html + "The SHA-256 of every file is in its <code>manifest.json</code>.</p></section>\n";
}

std::string value_text(const RecipePlace& place) {
  struct Text {
    std::string operator()(const std::string* value) const { return value->empty() ? "(empty)" : *value; }
    std::string operator()(const int64_t* value) const { return format_count(*value); }
    std::string operator()(const double* value) const {
      std::string text = fmt::format("{:g}", *value);
      if (const size_t at = text.find("e-"); at != std::string::npos) text.replace(at, 3, "e−");
      return text;
    }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  };
  return std::visit(Text(), place);
}

std::string configuration_html(const RunHistory& history, const Recipes& recipes) {
  std::string html = "<section><h2 id=\"configuration\">Configuration</h2>\n";
  if (history.start) {
    const StartRecord& start = *history.start;
    html += "<dl class=\"facts\">\n";
    html += fact_html("model", fmt::format("{}, {} parameters", start.model,
                                           format_short(static_cast<double>(start.parameters))));
    html += fact_html("data",
                      fmt::format("{}, {} tokens to train on, {} to validate", start.data,
                                  format_count(start.train_tokens), format_count(start.validation_tokens)));
    html += fact_html("tokenizer", start.tokenizer);
    html += fact_html("precision", start.compute == "bf16" ? "bf16 compute, f32 masters" : start.compute);
    html += "</dl>\n";
  }
  if (!recipes.recipe)
    return html + fmt::format("<p class=\"note\">{}</p></section>\n", escape_html(recipes.error));
  const std::vector<std::string> listed = history.start && !history.start->defaults.empty()
                                              ? history.start->defaults
                                              : default_keys(*recipes.recipe);
  const std::set<std::string> defaults(listed.begin(), listed.end());
  Recipe recipe = *recipes.recipe;
  std::string changed, rest;
  int rest_count = 0;
  for (const RecipeField& field : recipe_fields()) {
    const std::string value = value_text(field.place(recipe));
    if (defaults.contains(field.key)) {
      rest += fact_html(field.key, value);
      rest_count++;
    } else {
      changed += fact_html(fmt::format("● {}", field.key), value);
    }
  }
  html +=
      "<h3>Recipe</h3>\n<p class=\"note\">● differs from the default. The whole recipe: "
      "<code>recipe.toml</code></p>\n";
  if (!changed.empty()) html += "<dl class=\"facts\">\n" + changed + "</dl>\n";
  if (rest_count > 0)
    html += fmt::format(
        "<details><summary>{} keys with their default</summary><dl class=\"facts\">\n{}</dl></details>\n",
        rest_count, rest);
  return html + "</section>\n";
}

// "7.40 Tflop/s, measured"
std::string flops_text(double flops) {
  if (!(flops > 0)) return "not measured";
  std::string text = format_short(flops);
  if (std::isalpha(static_cast<unsigned char>(text.back()))) text.insert(text.size() - 1, " ");
  return text + "flop/s, measured";
}

std::string machine_html(const RunHistory& history, double now) {
  std::string html = "<section><h2 id=\"machine\">Machine</h2>\n";
  if (!history.start) return html + "<p class=\"note\">Not recorded.</p></section>\n";
  const StartRecord& start = *history.start;
  html += "<dl class=\"facts\">\n" + fact_html("processor", start.cpu);
  html += fact_html("threads", format_count(start.threads)) + fact_html("rung", start.rung);
  html += fact_html(fmt::format("peak, {}", start.compute), flops_text(start.peak_flops));
  html += fact_html("memory", format_bytes(static_cast<double>(start.memory_bytes)));
  html += fact_html("intarsia", start.version) + fact_html("started", local_time(start.time, now));
  return html + fact_html("command", start.command) + "</dl></section>\n";
}

std::string resume_html(const RunSummary& s, const ReportContext& context) {
  const std::string run = shell_word(context.run_path);
  if (s.state == RunState::done)
    return "<section class=\"keep\"><h2 id=\"resume\">Next</h2>\n<p>Talk with the model; its best checkpoint "
           "is loaded.</p>\n" +
           command_html("command", "intarsia chat " + run) + "</section>\n";
  return "<section class=\"keep\"><h2 id=\"resume\">Resume</h2>\n"
         "<p>The run may be stopped at any instant. Resumed, it ends with the same bits as a run that was "
         "never stopped.</p>\n" +
         command_html("command", "intarsia train --resume " + run) + "</section>\n";
}

std::string jump_html(const RunHistory& history, const RunSummary& s) {
  std::string html = "<nav aria-label=\"Sections\"><ul class=\"jump\">";
  const auto add = [&](const char* id, const char* name) {
    html += fmt::format("<li><a href=\"#{}\">{}</a></li>", id, name);
  };
  if (!history.steps.empty()) add("curves", "Curves");
  if (!history.samples.empty()) add("samples", "Samples");
  if (history.time) add("time", "Time");
  add("checkpoints", "Checkpoints");
  add("configuration", "Configuration");
  add("machine", "Machine");
  add("resume", s.state == RunState::done ? "Next" : "Resume");
  return html + "</ul></nav>\n";
}

std::string charts_html(const std::vector<Chart>& charts, double last) {
  if (charts.empty()) return {};
  ChartRoom room;
  for (const Chart& chart : charts) {
    const ChartRoom own = room_of(chart, last);
    room.left = std::max(room.left, own.left);
    room.right = std::max(room.right, own.right);
  }
  std::string html =
      "<h2 id=\"curves\">Curves</h2>\n" + chart_html(charts[0], last, room) + "<div class=\"columns\">\n";
  for (size_t i = 1; i < charts.size(); i++) html += chart_html(charts[i], last, room);
  return html + "</div>\n";
}

}  // namespace

std::string report_page(const RunHistory& history, const ReportContext& context) {
  const RunSummary summary = summarize(history);
  const Recipes recipes = read_context(context);
  const double clip = recipes.recipe ? recipes.recipe->optimizer.clip : 0;
  std::string schedule;
  if (recipes.recipe)
    schedule = fmt::format("warm-up {} steps, then {}", format_count(recipes.recipe->schedule.warm_up),
                           recipes.recipe->schedule.kind);
  const std::vector<Chart> charts = run_charts(history, summary, clip, schedule);
  const double last = static_cast<double>(std::max<int64_t>(summary.step, 1));

  Page page;
  page.title = fmt::format("{}, step {} · intarsia run", context.name, format_count(summary.step));
  page.place = "run";
  page.state = state_html(summary);
  page.body = fmt::format("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", escape_html(context.name),
                          escape_html(answer(summary)));
  page.body += keys_html(summary, history) + jump_html(history, summary);
  page.body += charts_html(charts, last) + events_html(history, clip, context.now);
  page.body += samples_html(history, recipes.recipe);
  page.body += "<div class=\"columns\">\n" + time_html(history, summary) +
               checkpoints_html(history, context.now) + "</div>\n";
  page.body += "<div class=\"columns\">\n" + configuration_html(history, recipes) +
               machine_html(history, context.now) + "</div>\n";
  page.body += resume_html(summary, context);
  page.foot = fmt::format("<span>written by intarsia {}, step {}, {}</span><span>log: log.jsonl</span>",
                          escape_html(history.start ? history.start->version : ""),
                          format_count(summary.step), local_time(context.now, context.now, true));
  page.data = charts_json(charts, last);
  return page_html(page);
}

void write_report(const std::filesystem::path& run, FileSystem& files) {
  RunHistory history = read_log(run / "log.jsonl");
  std::error_code ignored;
  std::erase_if(history.checkpoints, [&](const CheckpointRecord& checkpoint) {
    return !std::filesystem::is_directory(run / checkpoint.path, ignored);
  });
  ReportContext context;
  std::filesystem::path plain = run.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  context.run_path = plain.string();
  context.name = std::filesystem::absolute(plain, ignored).filename().string();
  if (const auto recipe = run / "recipe.toml"; std::filesystem::is_regular_file(recipe, ignored))
    context.recipe = read_file(recipe, uint64_t{1} << 20);
  context.now = static_cast<double>(std::time(nullptr));
  write_file(run / "report.html", report_page(history, context), files);
}

}  // namespace intarsia

#include "lab/comparison.h"

#include <algorithm>
#include <charconv>
#include <set>

// Nested values are parsed by recursion, so their depth is bounded.
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ENABLE_FORMATTERS 0
// It asserts what it then checks and reports as an error: "[(" must not abort.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

#include "core/fail.h"
#include "data/file.h"
#include "train/recipe.h"

namespace intarsia {

namespace {

constexpr size_t largest_file = size_t{1} << 18;
constexpr size_t most_values = 64, most_runs = 100000;

class Reader {
 public:
  Reader(std::string file, bool quick) : file_(std::move(file)), quick_(quick) {}

  Comparison read(std::string_view text, const std::string& name) {
    const toml::table document = parse(text);
    known_keys(document, {"question", "how", "seeds", "set", "variant", "task", "quick"}, "the file");
    Comparison c;
    c.name = name;
    c.question = text_of(document, "question", "the file");
    if (document.contains("how"))
      for (const toml::node& line : list_of(document, "how", "the file"))
        c.how.push_back(as_text(line, "how"));
    c.seeds = seeds_of(document, "the file");
    c.common = settings_of(document);
    size_t every = 1;
    std::vector<std::string> without;
    if (const toml::node* node = document.get("quick")) {
      const toml::table& table = as_table(*node, "quick");
      known_keys(table, {"seeds", "set", "grid", "without"}, "[quick]");
      if (quick_) {
        if (table.contains("seeds")) c.seeds = seeds_of(table, "[quick]");
        for (const auto& [key, value] : settings_of(table)) c.overrides[key] = value;
        if (table.contains("grid"))
          every = static_cast<size_t>(std::clamp(number_of(*table.get("grid"), "grid"), 1.0, 64.0));
        if (table.contains("without"))
          for (const toml::node& left_out : list_of(table, "without", "[quick]"))
            without.push_back(as_text(left_out, "without"));
      }
    }
    for (const toml::node& node : list_of(document, "task", "the file")) {
      const toml::table& table = as_table(node, "task");
      TaskSetup task = task_of(table, every);
      const bool own = table.contains("variant");
      task.variants = variants_of(own ? table : document, own ? "a task" : "the file", without, every);
      c.tasks.push_back(std::move(task));
    }
    return c;
  }

 private:
  toml::table parse(std::string_view text) const {
    if (text.size() > largest_file)
      fail("{}: has {} bytes, a comparison has at most {}", file_, text.size(), largest_file);
    check_toml(text, file_);
    try {
      return toml::parse(text);
    } catch (const toml::parse_error& error) {
      fail("{}:{}: {}", file_, error.source().begin.line, quote(error.description()));
    }
  }

  std::vector<Variant> variants_of(const toml::table& from, const char* where,
                                   const std::vector<std::string>& without, size_t every) const {
    std::vector<Variant> variants;
    for (const toml::node& node : list_of(from, "variant", where)) {
      const toml::table& table = as_table(node, "variant");
      known_keys(table, {"name", "set", "columns"}, "a variant");
      Variant variant{text_of(table, "name", "a variant"), settings_of(table)};
      if (table.contains("columns")) variant.columns = values_of(table, "columns", "a variant", every);
      if (std::find(without.begin(), without.end(), variant.name) == without.end())
        variants.push_back(std::move(variant));
    }
    if (variants.empty()) fail("{}: [quick] leaves no variant of {}", file_, where);
    return variants;
  }

  TaskSetup task_of(const toml::table& table, size_t every) const {
    known_keys(table, {"name", "title", "run", "set", "rows", "columns", "variant"}, "a task");
    TaskSetup task;
    task.name = text_of(table, "name", "a task");
    task.title = table.contains("title") ? text_of(table, "title", "a task") : task.name;
    task.task = &task_named(table.contains("run") ? text_of(table, "run", "a task") : task.name);
    task.settings = settings_of(table);
    if (table.contains("rows") != table.contains("columns"))
      fail("{}: the task {} has rows or columns, expected both or none", file_, quote(task.name));
    if (table.contains("rows")) task.grid = {axis_of(table, "rows", every), axis_of(table, "columns", every)};
    return task;
  }

  Axis axis_of(const toml::table& table, const char* key, size_t every) const {
    const toml::table& axis = as_table(*table.get(key), key);
    known_keys(axis, {"key", "name", "values"}, key);
    return {text_of(axis, "key", key), text_of(axis, "name", key), values_of(axis, "values", key, every)};
  }
  // Every so many of a list, and the last.
  std::vector<double> values_of(const toml::table& table, const char* key, const char* where,
                                size_t every) const {
    std::vector<double> result;
    const toml::array& values = list_of(table, key, where);
    for (size_t i = 0; i < values.size(); i++)
      if (i % every == 0 || i + 1 == values.size()) result.push_back(number_of(*values.get(i), key));
    return result;
  }

  std::vector<int64_t> seeds_of(const toml::table& table, const char* where) const {
    std::vector<int64_t> seeds;
    for (const toml::node& node : list_of(table, "seeds", where)) {
      const double seed = number_of(node, "seeds");
      if (seed < 0 || seed > 1e15) fail("{}: seeds holds {}, expected whole numbers from 0", file_, seed);
      seeds.push_back(static_cast<int64_t>(seed));
    }
    return seeds;
  }

  // The table `set`, flattened to dotted keys.
  Settings settings_of(const toml::table& table) const {
    Settings settings;
    if (const toml::node* node = table.get("set")) flatten(as_table(*node, "set"), "", settings);
    return settings;
  }
  void flatten(const toml::table& table, const std::string& prefix, Settings& settings) const {
    for (const auto& [key, node] : table) {
      const std::string full = prefix + std::string(key.str());
      if (const toml::table* inner = node.as_table())
        flatten(*inner, full + ".", settings);
      else if (const auto* text = node.as_string())
        settings[full] = text->get();
      else if (const auto* truth = node.as_boolean())
        settings[full] = truth->get() ? "true" : "false";
      else
        settings[full] = fmt::format("{}", number_of(node, full.c_str()));
    }
  }

  // ---- values of a kind

  void known_keys(const toml::table& table, std::initializer_list<std::string_view> keys,
                  const char* where) const {
    for (const auto& [key, node] : table)
      if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
        fail("{}:{}: {} has the unknown key {}", file_, key.source().begin.line, where, quote(key.str()));
  }
  const toml::table& as_table(const toml::node& node, const char* what) const {
    if (!node.is_table()) fail("{}:{}: {} is no table", file_, node.source().begin.line, what);
    return *node.as_table();
  }
  std::string as_text(const toml::node& node, const char* what) const {
    if (!node.is_string()) fail("{}:{}: {} is no text", file_, node.source().begin.line, what);
    return node.as_string()->get();
  }
  std::string text_of(const toml::table& table, const char* key, const char* where) const {
    const toml::node* node = table.get(key);
    if (!node) fail("{}: {} has no {}", file_, where, key);
    return as_text(*node, key);
  }
  const toml::array& list_of(const toml::table& table, const char* key, const char* where) const {
    const toml::node* node = table.get(key);
    if (!node || !node->is_array() || node->as_array()->empty())
      fail("{}: {} has no {}, or it is empty", file_, where, key);
    if (node->as_array()->size() > most_values)
      fail("{}: {} of {} has {} entries, expected at most {}", file_, key, where, node->as_array()->size(),
           most_values);
    return *node->as_array();
  }
  double number_of(const toml::node& node, const char* what) const {
    if (const auto* whole = node.as_integer()) return static_cast<double>(whole->get());
    if (const auto* real = node.as_floating_point()) return real->get();
    fail("{}:{}: {} is no number", file_, node.source().begin.line, what);
  }

  std::string file_;
  bool quick_;
};

}  // namespace

Comparison parse_comparison(std::string_view toml, const std::string& name, bool quick) {
  Comparison comparison = Reader(name + ".toml", quick).read(toml, name);
  const size_t runs = places_of(comparison).size();
  if (runs > most_runs) fail("{}.toml: asks for {} runs, expected at most {}", name, runs, most_runs);
  return comparison;
}

Comparison read_comparison(const std::filesystem::path& path, bool quick) {
  return parse_comparison(read_file(path, largest_file), path.stem().string(), quick);
}

void override_comparison(Comparison& comparison, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == assignment.npos || equals == 0)
    fail_hint("write key=value, such as training.steps=100", "command line: {} is no assignment",
              quote(assignment));
  const std::string key(assignment.substr(0, equals)), value(assignment.substr(equals + 1));
  if (key == "seeds") {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
    if (error != std::errc() || end != value.data() + value.size() || count < 1 || count > 1000)
      fail("command line: seeds is {}, expected a number from 1 to 1000", quote(value));
    comparison.seeds.clear();
    for (int64_t seed = 1; seed <= count; seed++) comparison.seeds.push_back(seed);
    return;
  }
  if (!key.starts_with("task.")) {  // refused now, and not in the first run
    Recipe recipe;
    override_recipe(recipe, assignment);
  }
  comparison.overrides[key] = value;
}

Axis TaskSetup::columns(size_t variant) const {
  if (!grid) return {};
  Axis axis = grid->columns;
  if (!variants[variant].columns.empty()) axis.values = variants[variant].columns;
  return axis;
}

std::vector<Place> places_of(const Comparison& comparison) {
  std::vector<Place> places;
  const Axis none{"", "", {0}};
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const TaskSetup& task = comparison.tasks[t];
    const Axis rows = task.grid ? task.grid->rows : none;
    for (size_t v = 0; v < task.variants.size(); v++) {
      const Axis columns = task.grid ? task.columns(v) : none;
      if (rows.values.size() * columns.values.size() * comparison.seeds.size() + places.size() > most_runs)
        fail("{}.toml: asks for more than {} runs", comparison.name, most_runs);
      for (size_t r = 0; r < rows.values.size(); r++)
        for (size_t c = 0; c < columns.values.size(); c++)
          for (const int64_t seed : comparison.seeds) {
            Place place{t, v, r, c, seed, comparison.common};
            for (const auto& [key, value] : task.settings) place.settings[key] = value;
            for (const auto& [key, value] : task.variants[v].settings) place.settings[key] = value;
            if (task.grid) {
              place.settings[rows.key] = fmt::format("{}", rows.values[r]);
              place.settings[columns.key] = fmt::format("{}", columns.values[c]);
            }
            for (const auto& [key, value] : comparison.overrides) place.settings[key] = value;
            places.push_back(std::move(place));
          }
    }
  }
  return places;
}

}  // namespace intarsia

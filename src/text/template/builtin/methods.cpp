// Methods of Python's str, list and dict.
#include <algorithm>
#include <array>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/builtins.h"
#include "text/template/builtin/tables.h"
#include "text/template/python.h"
#include "text/template/value/text_tools.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

// ---- str

using Given = const Parameters&;

const Text& self(const Value& value) { return *value.text(); }

// A result of the method of a text: markup if that is.
Value like(Runtime& runtime, const Value& original, Text text) {
  return runtime.make(std::move(text), original.get<TextObject>()->markup);
}

// Another text that becomes part of the result: markup takes it escaped.
Text taken(Runtime& runtime, const Value& original, const Value& other) {
  require_defined(other);
  if (!other.text()) fail("expected text, found {}", other.type_name());
  return original.get<TextObject>()->markup ? markup_of(runtime, other) : *other.text();
}

Value list_like(Runtime& runtime, const Value& original, std::vector<Text> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (Text& part : parts) items.push_back(like(runtime, original, std::move(part)));
  return runtime.list(std::move(items));
}

template <Text (*change)(Runtime&, const Text&)>
Value changed(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("method", arguments, {});
  return like(runtime, value, change(runtime, self(value)));
}

Text titled(Runtime& runtime, const Text& text) {
  return mapped(runtime, text,
                [](uint32_t code, bool behind, bool) { return behind ? lower_of(code) : title_of(code); });
}

Text swapped_case(Runtime& runtime, const Text& text) {
  return mapped(runtime, text,
                [](uint32_t code, bool, bool) { return is_upper(code) ? lower_of(code) : upper_of(code); });
}

template <Side side>
Value strip(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("strip", arguments, {"chars"});
  const bool all = !given[0] || given[0]->is_none();
  runtime.work(self(value).size() / 64);
  return like(runtime, value, stripped(self(value), side, all ? nullptr : &given.text(0)));
}

Value replace(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("replace", arguments, {"old", "new", "count"}, 2);
  return like(runtime, value,
              replaced(runtime, self(value), taken(runtime, value, *given[0]),
                       taken(runtime, value, *given[1]), given.integer(2, -1)));
}

// At white space, from the left or the right, at most so many times.
std::vector<Text> split_words(const Text& text, int64_t most, bool from_right) {
  std::vector<std::pair<size_t, size_t>> words;
  for (size_t at = 0; at < text.size();) {
    at += leading_space(text.view().substr(at));
    const size_t begin = at;
    while (at < text.size() && !is_space(letter_at(text.view(), at).code))
      at += letter_at(text.view(), at).size;
    if (at > begin) words.push_back({begin, at});
  }
  std::vector<Text> parts;
  const size_t count = words.size(), limit = most < 0 ? count : static_cast<size_t>(most);
  if (count > limit && from_right) {
    // What is left of the last words is one part.
    const size_t end = words[count - limit - 1].second;
    parts.push_back(text.part(0, end));
    for (size_t i = count - limit; i < count; ++i)
      parts.push_back(text.part(words[i].first, words[i].second));
    return parts;
  }
  for (size_t i = 0; i < std::min(count, limit); ++i)
    parts.push_back(text.part(words[i].first, words[i].second));
  if (count > limit) parts.push_back(text.part(words[limit].first, text.size()));
  return parts;
}

std::vector<Text> split_at(const Text& text, std::string_view separator, int64_t most, bool from_right) {
  if (separator.empty()) fail("split: the separator is empty");
  std::vector<Text> parts;
  if (from_right) {
    size_t end = text.size();
    for (; most != 0; --most) {
      if (end < separator.size()) break;
      const size_t at = text.view().rfind(separator, end - separator.size());
      if (at == std::string_view::npos) break;
      parts.push_back(text.part(at + separator.size(), end));
      end = at;
    }
    parts.push_back(text.part(0, end));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t done = 0;
  for (size_t at; most != 0 && (at = text.view().find(separator, done)) != std::string_view::npos; --most) {
    parts.push_back(text.part(done, at));
    done = at + separator.size();
  }
  parts.push_back(text.part(done, text.size()));
  return parts;
}

template <bool from_right>
Value split(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("split", arguments, {"sep", "maxsplit"});
  const int64_t most = given.integer(1, -1);
  runtime.work(self(value).size() / 16);
  if (!given[0] || given[0]->is_none()) {
    std::vector<Text> words = split_words(self(value), most, from_right);
    return list_like(runtime, value, std::move(words));
  }
  return list_like(runtime, value, split_at(self(value), given.text(0).view(), most, from_right));
}

template <bool from_right>
Value partition(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("partition", arguments, {"sep"}, 1);
  const Text &text = self(value), &separator = given.text(0);
  if (separator.empty()) fail("partition: the separator is empty");
  const size_t at = from_right ? text.view().rfind(separator.view()) : text.view().find(separator.view());
  Text before = text, middle, behind;
  if (at != std::string_view::npos) {
    before = text.part(0, at);
    middle = text.part(at, at + separator.size());
    behind = text.part(at + separator.size(), text.size());
  } else if (from_right) {
    std::swap(before, behind);
  }
  return runtime.list(
      {like(runtime, value, before), like(runtime, value, middle), like(runtime, value, behind)},
      SequenceKind::tuple);
}

Value splitlines(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("splitlines", arguments, {"keepends"});
  runtime.work(self(value).size() / 16);
  return list_like(runtime, value, lines_of(self(value), given.truth(0, false)));
}

Value join(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("join", arguments, {"iterable"}, 1);
  std::vector<Text> parts;
  for (const Value& part : items_of(runtime, *given[0])) parts.push_back(taken(runtime, value, part));
  return like(runtime, value, joined(runtime, self(value), parts));
}

// The part that the arguments start and end (letters) of a method name, as a range of bytes.
std::pair<size_t, size_t> searched(const Text& text, Given given) {
  const auto count = static_cast<int64_t>(count_letters(text.view()));
  const auto place = [&](size_t index, int64_t otherwise) {
    if (!given[index] || given[index]->is_none()) return otherwise;
    const int64_t at = given.integer(index, 0);
    return std::clamp<int64_t>(at < 0 ? at + count : at, 0, count + 1);
  };
  const int64_t begin = place(1, 0), end = std::min(place(2, count), count);
  if (begin > end) return {1, 0};
  return {letter_start(text.view(), static_cast<size_t>(begin)),
          letter_start(text.view(), static_cast<size_t>(end))};
}

template <bool at_start>
Value starts_or_ends(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given(at_start ? "startswith" : "endswith", arguments, {"prefix", "start", "end"}, 1);
  const auto [begin, end] = searched(self(value), given);
  if (begin > end) return false;
  const std::string_view part = self(value).view().substr(begin, end - begin);
  const auto matches = [&](const Value& wanted) {
    require_defined(wanted);
    if (!wanted.text())
      fail("startswith, endswith: expected text or a tuple of texts, found {}", wanted.type_name());
    const std::string_view text = wanted.text()->view();
    return at_start ? part.starts_with(text) : part.ends_with(text);
  };
  runtime.work(1);
  const Sequence* several = given[0]->get<Sequence>();
  if (!several || several->kind != SequenceKind::tuple) return matches(*given[0]);
  return std::any_of(several->items.begin(), several->items.end(), matches);
}

enum class Search { find, rfind, index, rindex };

template <Search how>
Value find(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("find", arguments, {"sub", "start", "end"}, 1);
  const auto [begin, end] = searched(self(value), given);
  runtime.work(self(value).size() / 16);
  size_t at = std::string_view::npos;
  if (begin <= end) {
    const std::string_view part = self(value).view().substr(begin, end - begin),
                           wanted = given.text(0).view();
    at = how == Search::find || how == Search::index ? part.find(wanted) : part.rfind(wanted);
  }
  if (at != std::string_view::npos)
    return static_cast<int64_t>(count_letters(self(value).view().substr(0, begin + at)));
  if (how == Search::index || how == Search::rindex)
    fail("substring {} not found", quote(given.text(0).view()));
  return int64_t{-1};
}

Value count(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("count", arguments, {"sub", "start", "end"}, 1);
  const auto [begin, end] = searched(self(value), given);
  if (begin > end) return int64_t{0};
  const std::string_view part = self(value).view().substr(begin, end - begin), wanted = given.text(0).view();
  runtime.work(part.size() / 16);
  if (wanted.empty()) return static_cast<int64_t>(count_letters(part)) + 1;
  int64_t found = 0;
  for (size_t at = 0; (at = part.find(wanted, at)) != std::string_view::npos; at += wanted.size()) ++found;
  return found;
}

template <bool prefix>
Value remove_part(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given(prefix ? "removeprefix" : "removesuffix", arguments, {"part"}, 1);
  const Text &text = self(value), &part = given.text(0);
  if (prefix && text.view().starts_with(part.view()))
    return like(runtime, value, text.part(part.size(), text.size()));
  if (!prefix && text.view().ends_with(part.view()))
    return like(runtime, value, text.part(0, text.size() - part.size()));
  return value;
}

template <Side text_at>
Value pad(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("padding", arguments, {"width", "fillchar"}, 1);
  const Text fill = given[1] ? taken(runtime, value, *given[1]) : Text(" ");
  return like(runtime, value, padded(runtime, self(value), given.integer(0, 0), text_at, fill));
}

Value zfill(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("zfill", arguments, {"width"}, 1);
  const Text& text = self(value);
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  Text out = text.part(0, sign);
  out.add(padded(runtime, text.part(sign, text.size()), given.integer(0, 0) - static_cast<int64_t>(sign),
                 Side::right, Text("0")));
  return like(runtime, value, std::move(out));
}

// Whether there are letters, and all are of the kind.
template <bool (*kind)(uint32_t)>
Value all_are(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("method", arguments, {});
  const Text& text = self(value);
  runtime.work(text.size() / 16);
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text.view(), at);
    if (!kind(letter.code)) return false;
    at += letter.size;
  }
  return !text.empty();
}

bool is_alphanumeric(uint32_t code) { return is_alphabetic(code) || is_numeric(code); }

Value is_ascii(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("isascii", arguments, {});
  return std::all_of(self(value).view().begin(), self(value).view().end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

template <bool upper_case>
Value is_case(Runtime& runtime, const Value& value, Arguments& arguments) {
  return find_test(upper_case ? "upper" : "lower")->call(runtime, value, arguments);
}

Value is_title(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("istitle", arguments, {});
  const Text& text = self(value);
  bool behind_cased = false, found = false;
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text.view(), at);
    const bool big = is_upper(letter.code) || is_titlecase(letter.code), small = is_lower(letter.code);
    if ((big && behind_cased) || (small && !behind_cased)) return false;
    behind_cased = big || small;
    found |= behind_cased;
    at += letter.size;
  }
  return found;
}

Value format(Runtime& runtime, const Value& value, Arguments& arguments) {
  return like(runtime, value, format_text(runtime, self(value), arguments, value.get<TextObject>()->markup));
}

constexpr std::array text_methods = {
    Builtin{"capitalize", changed<capitalized>},
    Builtin{"center", pad<Side::both>},
    Builtin{"count", count},
    Builtin{"endswith", starts_or_ends<false>},
    Builtin{"find", find<Search::find>},
    Builtin{"format", format},
    Builtin{"index", find<Search::index>},
    Builtin{"isalnum", all_are<is_alphanumeric>},
    Builtin{"isalpha", all_are<is_alphabetic>},
    Builtin{"isascii", is_ascii},
    Builtin{"isdecimal", all_are<is_decimal>},
    Builtin{"isdigit", all_are<is_decimal>},
    Builtin{"islower", is_case<false>},
    Builtin{"isnumeric", all_are<is_numeric>},
    Builtin{"isspace", all_are<is_space>},
    Builtin{"istitle", is_title},
    Builtin{"isupper", is_case<true>},
    Builtin{"join", join},
    Builtin{"ljust", pad<Side::left>},
    Builtin{"lower", changed<lower>},
    Builtin{"lstrip", strip<Side::left>},
    Builtin{"partition", partition<false>},
    Builtin{"removeprefix", remove_part<true>},
    Builtin{"removesuffix", remove_part<false>},
    Builtin{"replace", replace},
    Builtin{"rfind", find<Search::rfind>},
    Builtin{"rindex", find<Search::rindex>},
    Builtin{"rjust", pad<Side::right>},
    Builtin{"rpartition", partition<true>},
    Builtin{"rsplit", split<true>},
    Builtin{"rstrip", strip<Side::right>},
    Builtin{"split", split<false>},
    Builtin{"splitlines", splitlines},
    Builtin{"startswith", starts_or_ends<true>},
    Builtin{"strip", strip<Side::both>},
    Builtin{"swapcase", changed<swapped_case>},
    Builtin{"title", changed<titled>},
    Builtin{"upper", changed<upper>},
    Builtin{"zfill", zfill},
};
static_assert(is_sorted_table(text_methods));

// ---- list and tuple

Value list_count(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("count", arguments, {"value"}, 1);
  const std::vector<Value>& items = value.get<Sequence>()->items;
  runtime.work(static_cast<size_t>(value.extent().values));
  return static_cast<int64_t>(
      std::count_if(items.begin(), items.end(), [&](const Value& v) { return equal(v, *given[0]); }));
}

Value list_index(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("index", arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value>& items = value.get<Sequence>()->items;
  const auto size = static_cast<int64_t>(items.size());
  runtime.work(static_cast<size_t>(value.extent().values));
  const auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  for (int64_t i = place(given.integer(1, 0)); i < place(given.integer(2, size)); ++i)
    if (equal(items[static_cast<size_t>(i)], *given[0])) return i;
  fail("index: the value is not in the list");
}

Value list_copy(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("copy", arguments, {});
  return runtime.list(value.get<Sequence>()->items, value.get<Sequence>()->kind);
}

constexpr std::array list_methods = {Builtin{"copy", list_copy}, Builtin{"count", list_count},
                                     Builtin{"index", list_index}};

// ---- dict

enum class View { keys, values, items };

template <View view>
Value dict_view(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("dictionary view", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, each] : value.get<Dict>()->items) {
    if (view == View::items)
      items.push_back(runtime.list({key, each}, SequenceKind::tuple));
    else
      items.push_back(view == View::keys ? key : each);
  }
  return runtime.list(std::move(items), view == View::keys     ? SequenceKind::keys
                                        : view == View::values ? SequenceKind::values
                                                               : SequenceKind::items);
}

Value dict_get(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("get", arguments, {"key", "default"}, 1);
  runtime.work(1);
  if (const Value* found = value.get<Dict>()->find(*given[0])) return *found;
  return given[1] ? *given[1] : Value(None());
}

Value dict_copy(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("copy", arguments, {});
  return runtime.dict(value.get<Dict>()->items);
}

constexpr std::array dict_methods = {
    Builtin{"copy", dict_copy}, Builtin{"get", dict_get}, Builtin{"items", dict_view<View::items>},
    Builtin{"keys", dict_view<View::keys>}, Builtin{"values", dict_view<View::values>}};
static_assert(is_sorted_table(dict_methods));

constexpr std::string_view unsupported_methods[] = {
    "casefold",    "encode",    "expandtabs", "format_map", "fromkeys",         "isidentifier",
    "isprintable", "maketrans", "translate",  "is_integer", "as_integer_ratio", "bit_length"};

}  // namespace

const Builtin* find_text_method(std::string_view name) { return find_in(text_methods, name); }
const Builtin* find_list_method(std::string_view name) { return find_in(list_methods, name); }
const Builtin* find_dict_method(std::string_view name) { return find_in(dict_methods, name); }

bool is_unsupported_method(std::string_view name) {
  return std::find(std::begin(unsupported_methods), std::end(unsupported_methods), name) !=
         std::end(unsupported_methods);
}

}  // namespace intarsia::jinja

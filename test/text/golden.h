// Golden tokenizers (test/golden/vocabularies.py), and small things that the tests of this room share.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"
#include "data/json.h"
#include "intarsia/error.h"
#include "intarsia/tokenizer.h"
#include "scratch_folder.h"
#include "text/format/tokenizer_json.h"

namespace intarsia {

inline std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/tokenizers" / name;
}

// The folder of larger data; a test that finds nothing there is skipped.
inline std::filesystem::path data_folder() {
  const char* named = std::getenv("INTARSIA_DATA");
  return named ? std::filesystem::path(named) : std::filesystem::path(INTARSIA_SOURCE_DIR) / "../shared/data";
}

inline const Json& base_file() {
  static const Json file = read_json(golden("base.json"));
  return file;
}

// A golden file with some of its members replaced; "model" is changed member by member.
inline Json changed(Json file, const Json& changes) {
  for (const auto& [key, value] : changes.items()) {
    if (key == "model") {
      file[key].update(value);
    } else {
      file[key] = value;
    }
  }
  return file;
}

inline std::shared_ptr<Tokenizer> parsed(const Json& file) {
  return parse_tokenizer_json(file.dump(), "test.json");
}

// The text of the Error that f throws; empty (a failed expectation) if it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << "an error is one line: " << text;
    return text;
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

inline void expect_contains(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" should hold \"" << part << "\"";
}

// Calls in turn with the whole of `text`, then says that it ended.
inline std::function<bool(std::string&)> once(std::string text) {
  return [text = std::move(text), given = false](std::string& chunk) mutable {
    if (given) return false;
    given = true;
    chunk = text;
    return true;
  };
}

}  // namespace intarsia

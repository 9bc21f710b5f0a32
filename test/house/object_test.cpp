// What the compiler and the linker made: kernel objects without weak symbols, a program that needs only what
// it may.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "tree.h"

namespace {

namespace fs = std::filesystem;

// This program lies in <build>/test; the objects of a rung lie in <build>/CMakeFiles/kernels_<rung>.dir.
fs::path build_folder() { return fs::read_symlink("/proc/self/exe").parent_path().parent_path(); }

std::vector<std::string> rungs() {
  static const std::regex line("set\\(INTARSIA_RUNGS ([^)]*)\\)");
  const std::string text = house::text_of("cmake/kernels.cmake");
  std::smatch match;
  std::vector<std::string> names;
  if (!std::regex_search(text, match, line)) return names;
  std::istringstream words(match[1]);
  for (std::string word; words >> word;) names.push_back(word);
  return names;
}

std::vector<fs::path> objects_of(const std::string& rung) {
  std::vector<fs::path> found;
  const fs::path folder = build_folder() / "CMakeFiles" / ("kernels_" + rung + ".dir");
  if (!fs::is_directory(folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".o") found.push_back(entry.path());
  }
  return found;
}

struct Symbol {
  char kind;
  std::string name;
};
// Defined symbols that other objects can see.
std::vector<Symbol> symbols_of(const fs::path& object) {
  const house::Outcome nm =
      house::run("nm --extern-only --defined-only --demangle '" + object.string() + "'");
  EXPECT_EQ(nm.status, 0) << nm.output;
  std::vector<Symbol> found;
  std::istringstream lines(nm.output);
  for (std::string address, kind, name; lines >> address >> kind && std::getline(lines >> std::ws, name);) {
    found.push_back({kind[0], name});
  }
  return found;
}

TEST(Objects, KernelsShowOnlySymbolsOfTheirOwnRung) {
  // A weak symbol (an inline function or a template of std) compiled for avx512 may be the copy that the
  // linker keeps for all, and the program dies on a cpu without it.
  const std::vector<std::string> names = rungs();
  ASSERT_GE(names.size(), 4u);
  for (const std::string& rung : names) {
    const std::vector<fs::path> objects = objects_of(rung);
    ASSERT_FALSE(objects.empty()) << "the kernels of " << rung << " are not built in " << build_folder();
    size_t seen = 0;
    for (const fs::path& object : objects) {
      for (const Symbol& symbol : symbols_of(object)) {
        seen++;
        EXPECT_EQ(std::string("WVuvw").find(symbol.kind), std::string::npos)
            << object.filename() << " of " << rung << " has the weak symbol " << symbol.name;
        EXPECT_NE(symbol.name.find("intarsia::kernel::" + rung + "::"), std::string::npos)
            << object.filename() << " of " << rung << " shows " << symbol.name;
      }
    }
    EXPECT_GE(seen, objects.size()) << rung << ": each file fills its slots in a function of the rung";
  }
}

TEST(Objects, TheProgramNeedsOnlyTheNamedLibraries) {
  ASSERT_TRUE(fs::exists(INTARSIA_BINARY)) << "the program is not built: ninja intarsia";
  static const std::set<std::string> allowed = {
      "fmt",  "pcre2-8", "utf8proc", "crypto", "z",    "zip",   "stdc++", "png16",
      "jpeg", "m",       "gcc_s",    "c",      "asan", "ubsan", "tsan",
  };
  const house::Outcome dynamic =
      house::run(std::string("readelf --dynamic --wide '") + INTARSIA_BINARY + "'");
  ASSERT_EQ(dynamic.status, 0) << dynamic.output;
  static const std::regex needed(R"(\(NEEDED\).*\[(?:lib)?([^\]]*?)\.so[^\]]*\])");
  int seen = 0;
  for (std::sregex_iterator i(dynamic.output.begin(), dynamic.output.end(), needed), end; i != end; ++i) {
    const std::string name = (*i)[1];
    EXPECT_TRUE(allowed.contains(name) || name.starts_with("ld-linux")) << "links " << name;
    seen++;
  }
  EXPECT_GE(seen, 3);
}

TEST(Objects, LoadingTheLibraryRunsNoConstructor) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers add constructors of their own";
#else
  const fs::path library = build_folder() / "libintarsia.so";
  ASSERT_TRUE(fs::exists(library)) << "the library is not built: ninja intarsia_shared";
  const house::Outcome sections = house::run("readelf --wide --sections '" + library.string() + "'");
  static const std::regex init_array(R"(\.init_array +INIT_ARRAY +\S+ \S+ (\S+))");
  std::smatch match;
  ASSERT_TRUE(std::regex_search(sections.output, match, init_array)) << sections.output;
  EXPECT_EQ(std::stoul(match[1], nullptr, 16), sizeof(void*)) << "more than the compiler's own frame_dummy";
  const house::Outcome names = house::run("nm '" + library.string() + "' | grep _GLOBAL__sub_I");
  EXPECT_EQ(names.output, "");
#endif
}

TEST(Objects, TheSharedLibraryShowsOnlyItsOwnNames) {
  const fs::path library = build_folder() / "libintarsia.so";
  ASSERT_TRUE(fs::exists(library)) << "the library is not built: ninja intarsia_shared";
  const house::Outcome names =
      house::run("nm --dynamic --demangle --defined-only '" + library.string() + "' | grep -v intarsia::");
  EXPECT_EQ(names.output, "");
}

TEST(Objects, TheStrippedProgramStaysSmall) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
  GTEST_SKIP() << "only the release build ships";
#else
  ASSERT_TRUE(fs::exists(INTARSIA_BINARY)) << "the program is not built: ninja intarsia";
  const fs::path stripped = fs::temp_directory_path() / ("intarsia-stripped-" + std::to_string(getpid()));
  const house::Outcome strip =
      house::run(std::string("strip -o '") + stripped.string() + "' '" + INTARSIA_BINARY + "'");
  ASSERT_EQ(strip.status, 0) << strip.output;
  EXPECT_LE(fs::file_size(stripped), 15u << 20);
  fs::remove(stripped);
#endif
}

}  // namespace

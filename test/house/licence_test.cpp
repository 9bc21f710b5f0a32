// The tables of docs/licences.md against what is loaded, and against the copyright files of the packages.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tree.h"

namespace {

namespace fs = std::filesystem;

struct Row {
  std::string licence, words;
};

// By the package.
std::map<std::string, Row> rows() {
  static const std::regex line(R"(\n\| [^|\n]+ \| ([a-z0-9.+-]+) \| ([^|\n]+) \| ([^|\n]+) \|)");
  const std::string text = house::text_of("docs/licences.md");
  std::map<std::string, Row> found;
  // Rows share the ends of their lines, so each search starts at the end of the one before.
  for (std::sregex_iterator i(text.begin(), text.end(), line), end; i != end; ++i)
    found[(*i)[1]] = {(*i)[2], (*i)[3]};
  found.erase("package");  // the heads of the tables
  return found;
}

TEST(Licences, AreFreeToLinkWith) {
  const std::set<std::string> allowed = {"MIT",          "Apache-2.0",
                                         "BSD-3-Clause", "BSD-3-Clause, IJG, Zlib",
                                         "Zlib",         "bzip2",
                                         "libpng",       "MPL-2.0",
                                         "LGPL-2.1",     "GPL-3.0 with the GCC runtime library exception"};
  EXPECT_GE(rows().size(), 17u);
  for (const auto& [package, row] : rows())
    EXPECT_TRUE(allowed.contains(row.licence)) << package << ": " << row.licence;
}

TEST(Licences, AreThoseOfTheCopyrightFiles) {
  int seen = 0;
  for (const auto& [package, row] : rows()) {
    std::ifstream file(fs::path("/usr/share/doc") / package / "copyright");
    if (!file) continue;  // not installed here, or not a Debian
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_NE(text.find(row.words), std::string::npos)
        << package << ": no \"" << row.words << "\" in its copyright file";
    seen++;
  }
  if (seen == 0) GTEST_SKIP() << "no copyright files of Debian's packages here";
}

TEST(Licences, OfEveryLibraryThatIsLoadedAreInTheTable) {
  if (house::run("command -v dpkg-query ldd").status != 0) GTEST_SKIP() << "this is no Debian";
  const fs::path program = INTARSIA_BINARY, library = program.parent_path() / "libintarsia.so";
  const std::map<std::string, Row> known = rows();
  static const std::regex loaded(R"(=> (/[^ ]+))"), sanitizer("lib(asan|ubsan|tsan)[0-9]*");
  int seen = 0;
  for (const fs::path& file : {program, library}) {
    if (!fs::exists(file)) continue;
    const std::string libraries = house::run("ldd '" + file.string() + "'").output;
    for (std::sregex_iterator i(libraries.begin(), libraries.end(), loaded), end; i != end; ++i) {
      // /lib is a link to /usr/lib, and dpkg knows files by either name.
      const std::string path = fs::canonical((*i)[1].str()).string();
      const std::string owner =
          house::run("dpkg-query --search '" + path + "' 2>/dev/null || dpkg-query --search '" +
                     path.substr(4) + "' 2>/dev/null")
              .output;
      const std::string package = owner.substr(0, owner.find(':'));
      if (std::regex_match(package, sanitizer)) continue;
      EXPECT_TRUE(known.contains(package))
          << file << " loads " << path << " of package \"" << package << "\"";
      seen++;
    }
  }
  EXPECT_GT(seen, 0) << "neither the program nor the library is built";
}

}  // namespace

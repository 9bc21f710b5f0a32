// Runs the program as a user does, and keeps what it says.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace intarsia::test {

struct Outcome {
  int exit = -1;
  std::string out, err;
};
// `environment` holds assignments, "INTARSIA_ISA=avx2"; `in` is the standard input.
Outcome run(const std::vector<std::string>& arguments, const std::string& in = {},
            const std::vector<std::string>& environment = {});

// What it writes to a terminal of so many columns.
std::string run_in_terminal(const std::vector<std::string>& arguments, unsigned short columns);

// Larger data that tests use when it is there.
std::filesystem::path data(const std::string& name);

// A folder that is gone when the test ends.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const;  // its path

 private:
  std::filesystem::path folder_;
};

}  // namespace intarsia::test

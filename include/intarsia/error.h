// What the library throws. There is one exception type; its text names what was found and what was expected.
#pragma once
#include <stdexcept>
#include <string>

namespace intarsia {

// Every failure that a caller can meet: bad arguments, bad files, a full disk. `what()` is one line;
// `hint()` is one action that may help, or empty.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string hint = {})
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

}  // namespace intarsia

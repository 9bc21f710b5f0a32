// Ctrl-C as a question: has it been pressed? While one of these lives, it does not end the program.
#pragma once
#include <csignal>

namespace intarsia::cli {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  static bool pressed();  // since it was last cleared
  static void clear();

 private:
  struct sigaction before_;
};

}  // namespace intarsia::cli

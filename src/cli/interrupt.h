// Ctrl-C as a question: has it been pressed?
#pragma once
#include <csignal>

namespace intarsia::cli {

// While one of these lives, it does not end the program.
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

// While one of these lives, the first Ctrl-C (or SIGTERM) asks for an orderly end; the second ends the
// process at once, as if nobody had asked.
class OrderlyEnd {
 public:
  OrderlyEnd();
  ~OrderlyEnd();
  OrderlyEnd(const OrderlyEnd&) = delete;
  OrderlyEnd& operator=(const OrderlyEnd&) = delete;
  static bool asked();

 private:
  struct sigaction before_interrupt_, before_terminate_;
};

}  // namespace intarsia::cli

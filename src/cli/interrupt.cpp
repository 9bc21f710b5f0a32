#include "cli/interrupt.h"

#include <atomic>

namespace intarsia::cli {
namespace {

std::atomic<bool> asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

Interrupt::Interrupt() {
  clear();
  struct sigaction action {};
  action.sa_handler = [](int) { asked = true; };
  // Without SA_RESTART: somebody who waits for a line gets to hear of it.
  sigaction(SIGINT, &action, &before_);
}

Interrupt::~Interrupt() { sigaction(SIGINT, &before_, nullptr); }

bool Interrupt::pressed() { return asked; }
void Interrupt::clear() { asked = false; }

}  // namespace intarsia::cli

#include "cli/interrupt.h"

#include <atomic>

namespace intarsia::cli {
namespace {

std::atomic<bool> pressed_once{false}, end_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

Interrupt::Interrupt() {
  clear();
  struct sigaction action {};
  action.sa_handler = [](int) { pressed_once = true; };
  // Without SA_RESTART: somebody who waits for a line gets to hear of it.
  sigaction(SIGINT, &action, &before_);
}

Interrupt::~Interrupt() { sigaction(SIGINT, &before_, nullptr); }

bool Interrupt::pressed() { return pressed_once; }
void Interrupt::clear() { pressed_once = false; }

OrderlyEnd::OrderlyEnd() {
  end_asked = false;
  struct sigaction action {};
  action.sa_handler = [](int) { end_asked = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, &before_interrupt_);
  sigaction(SIGTERM, &action, &before_terminate_);
}

OrderlyEnd::~OrderlyEnd() {
  sigaction(SIGINT, &before_interrupt_, nullptr);
  sigaction(SIGTERM, &before_terminate_, nullptr);
}

bool OrderlyEnd::asked() { return end_asked; }

}  // namespace intarsia::cli

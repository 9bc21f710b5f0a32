// A plug-in that computes with the shared library, as an application would load it at run time.
#include "embed/work.h"

extern "C" {

double plugin_work() { return some_work(); }

void plugin_threads(int count) { intarsia::set_thread_count(count); }

// Whether an error that the library throws is caught as the type that the header declares.
bool plugin_error() {
  try {
    intarsia::load("no such file");
  } catch (const intarsia::Error&) { return true; }
  return false;
}
}

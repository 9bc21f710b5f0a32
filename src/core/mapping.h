// Mapped files that others may shorten. Reading a page that a file has lost raises SIGBUS; a handler, set
// with the first mapping, puts zeros in its place and marks the mapping, so that whoever uses the data can
// throw an Error instead of the process being ended. Faults elsewhere go to the handler that was there
// before.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace intarsia {

class WatchedMapping {
 public:
  // Watches memory that was mapped from the file `name`, until this object ends (before the memory does).
  WatchedMapping(const void* memory, size_t bytes, std::string name);
  ~WatchedMapping();
  WatchedMapping(const WatchedMapping&) = delete;
  WatchedMapping& operator=(const WatchedMapping&) = delete;

  void check() const;  // throws if a part is lost, naming the file

  static bool any_lost();  // of all mappings that there are; quick
  // Throws if `address` lies in a mapping that lost a part; the message begins with `who`.
  static void check(const void* address, const char* who);

  struct Slot;

 private:
  Slot* slot_;
  std::string name_;
};

}  // namespace intarsia

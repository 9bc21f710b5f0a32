// The other side of a benchmark: a child process that answers one JSON request a line (bench/peer.py).
#pragma once
#include <string>

namespace intarsia::cli {

class Peer {
 public:
  // Starts `python script`; stays absent if either is missing or the child does not introduce itself.
  Peer(const std::string& python, const std::string& script);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool present() const { return child_ > 0; }
  const std::string& hello() const { return hello_; }  // the line it introduced itself with
  // Sends a line and waits for the answer; empty if the child is gone.
  std::string ask(const std::string& line);

 private:
  std::string read_line();
  int child_ = -1, to_ = -1, from_ = -1;
  std::string buffer_, hello_;
};

}  // namespace intarsia::cli

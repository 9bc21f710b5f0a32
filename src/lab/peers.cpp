#include "lab/peers.h"

#include <cstdlib>

namespace intarsia {

std::string peers_python() {
  const char *peers = std::getenv("INTARSIA_PEERS"), *cache = std::getenv("XDG_CACHE_HOME"),
             *home = std::getenv("HOME");
  if (peers) return std::string(peers) + "/bin/python";
  return (cache ? std::string(cache) : std::string(home ? home : "") + "/.cache") +
         "/intarsia-peers/bin/python";
}

}  // namespace intarsia

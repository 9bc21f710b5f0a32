// Where the libraries that others compare with are.
#pragma once
#include <string>

namespace intarsia {

// The Python that scripts/peers makes: $INTARSIA_PEERS, else intarsia-peers in the user's cache folder.
std::string peers_python();

}  // namespace intarsia

// Loads a model and talks with it: chat models/SmolLM2-135M-Instruct.Q4_1.gguf
#include <intarsia/intarsia.h>

#include <iostream>

int main(int, char** argv) {
  intarsia::Chat chat(intarsia::load(argv[1]));
  for (std::string line; std::getline(std::cin, line);) {
    chat.say(line, [](std::string_view text) { return bool(std::cout << text << std::flush); });
    std::cout << "\n";
  }
}

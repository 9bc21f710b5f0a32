// Tables of bits: a hash of what each operation, model or training gives, for each rung. They are in the
// repository, so that a change of bits is seen in review; scripts/bits writes them anew for the rungs of this
// cpu.
#pragma once
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>
#include <string_view>

#include "intarsia/array.h"

namespace intarsia {

// FNV-1a of 64 bits.
class BitsHash {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  // Shape, type and elements. A NaN counts as one whatever its sign and payload: compilers choose those.
  void add(const Array& contiguous) {
    add(std::string(info(contiguous.dtype()).name) + contiguous.shape().text());
    if (contiguous.dtype() != DType::f32)
      return add({static_cast<const char*>(contiguous.raw()), contiguous.bytes()});
    for (const float x : contiguous.span<float>()) {
      const float kept = std::isnan(x) ? NAN : x;
      add({reinterpret_cast<const char*>(&kept), sizeof kept});
    }
  }
  std::string text() const {
    std::ostringstream out;
    out << std::hex << std::setw(16) << std::setfill('0') << value_;
    return out.str();
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

// found[NAME][RUNG]: the hash.
using Bits = std::map<std::string, std::map<std::string, std::string>>;
constexpr std::array<const char*, 5> bits_rungs = {"base", "avx2", "avx512", "avx512bf16", "amx"};
// Tile instructions written as plain code give the bits of the real ones.
inline std::string bits_column(const std::string& rung) { return rung == "amx_emulated" ? "amx" : rung; }

inline Bits read_bits(const std::filesystem::path& path) {
  Bits bits;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, hash;
    if (!(words >> name) || name == "#") continue;
    for (const char* rung : bits_rungs)
      if (words >> hash && hash != "-") bits[name][rung] = hash;
  }
  return bits;
}

inline void write_bits(const std::filesystem::path& path, const Bits& bits) {
  std::ofstream out(path);
  out << "# scripts/bits writes this file: " << path.filename().string() << ", a hash for each rung\n"
      << std::left;
  out << "# " << std::setw(26) << "name";
  for (const char* rung : bits_rungs) out << " " << std::setw(16) << rung;
  for (const auto& [name, hashes] : bits) {
    out << "\n" << std::setw(28) << name;
    for (const char* rung : bits_rungs) {
      const auto hash = hashes.find(rung);
      out << " " << std::setw(16) << (hash == hashes.end() ? "-" : hash->second);
    }
  }
  out << "\n";
}

// Compares with a table of test/golden/bits, on the rungs that `found` has. With INTARSIA_WRITE_BITS in the
// environment the table is written instead; what other rungs have stays.
inline void expect_bits(const std::string& table, const Bits& given) {
  Bits found;
  for (const auto& [name, hashes] : given)
    for (const auto& [rung, hash] : hashes) {
      const auto& [entry, fresh] = found[name].emplace(bits_column(rung), hash);
      EXPECT_EQ(entry->second, hash) << name << " differs on " << rung;
    }
  const std::filesystem::path path = std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/bits" / table;
  Bits known = read_bits(path);
  if (std::getenv("INTARSIA_WRITE_BITS")) {
    Bits merged;
    for (const auto& [name, hashes] : found) {
      merged[name] = hashes;
      merged[name].insert(known[name].begin(), known[name].end());
    }
    return write_bits(path, merged);
  }
  std::string changed;
  for (const auto& [name, hashes] : found)
    for (const auto& [rung, hash] : hashes)
      if (known[name][rung] != hash) changed += " " + name + "/" + rung;
  EXPECT_EQ(changed, "") << "other bits than " << path << " has; where that is meant: scripts/bits";
  for (const auto& [name, hashes] : known)
    EXPECT_TRUE(found.contains(name)) << name << " is in " << path << " only";
}

}  // namespace intarsia

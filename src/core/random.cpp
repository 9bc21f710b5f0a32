#include "intarsia/random.h"

#include <cmath>
#include <numbers>

namespace intarsia {

Philox philox(uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  Philox c{{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(stream),
            static_cast<uint32_t>(stream >> 32)}};
  for (int round = 0; round < 10; round++) {
    const uint64_t a = uint64_t{0xD2511F53} * c.word[0], b = uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

namespace {
double to_unit(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

// Box and Muller; 1 - u lies in (0, 1], so its logarithm is finite.
double normal_from(const Philox& p) {
  const double radius = std::sqrt(-2 * std::log(1 - to_unit(p.word[0], p.word[1])));
  return radius * std::cos(2 * std::numbers::pi * to_unit(p.word[2], p.word[3]));
}
}  // namespace

uint32_t Random::bits() { return philox(seed, stream, index++).word[0]; }

double Random::uniform() {
  const Philox p = philox(seed, stream, index++);
  return to_unit(p.word[0], p.word[1]);
}

double Random::normal() { return normal_from(philox(seed, stream, index++)); }

uint64_t Random::below(uint64_t bound) {
  // Lemire's rejection, on 64 bits.
  for (;;) {
    const Philox p = philox(seed, stream, index++);
    const unsigned __int128 product =
        static_cast<unsigned __int128>(uint64_t{p.word[0]} << 32 | p.word[1]) * bound;
    if (static_cast<uint64_t>(product) >= (-bound) % bound) return static_cast<uint64_t>(product >> 64);
  }
}

Array uniform(const Shape& shape, double low, double high, uint64_t seed, uint64_t stream) {
  Array a = Array::empty(shape);
  float* x = a.mutable_data<float>();
  for (int64_t i = 0, n = a.size(); i < n; i++) {
    const Philox p = philox(seed, stream, static_cast<uint64_t>(i));
    x[i] = static_cast<float>(low + (high - low) * to_unit(p.word[0], p.word[1]));
  }
  return a;
}

Array normal(const Shape& shape, double deviation, uint64_t seed, uint64_t stream) {
  Array a = Array::empty(shape);
  float* x = a.mutable_data<float>();
  for (int64_t i = 0, n = a.size(); i < n; i++)
    x[i] = static_cast<float>(deviation * normal_from(philox(seed, stream, static_cast<uint64_t>(i))));
  return a;
}

}  // namespace intarsia

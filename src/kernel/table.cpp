#include "kernel/table.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/fail.h"

namespace intarsia::kernel {

// What a rung's files define, and all that it fills. CMakeLists.txt says which files each rung compiles.
#define RUNG_FILLS_TILES(NAME)      \
  namespace NAME {                  \
  void fill_product(ProductSlots&); \
  void fill_measure(MeasureSlots&); \
  }
#define RUNG_FILLS_PRODUCTS(NAME)           \
  namespace NAME {                          \
  void fill_product(ProductSlots&);         \
  void fill_attention(AttentionSlots&);     \
  void fill_measure(MeasureSlots&);         \
  void fill_convolution(ConvolutionSlots&); \
  static void fill_products(Kernels& k) {   \
    k.name = #NAME;                         \
    fill_product(k.product);                \
    fill_attention(k.attention);            \
    fill_measure(k.measure);                \
    fill_convolution(k.convolution);        \
  }                                         \
  }
#define RUNG_FILLS_ALL(NAME)            \
  RUNG_FILLS_PRODUCTS(NAME)             \
  namespace NAME {                      \
  void fill_pointwise(PointwiseSlots&); \
  void fill_rows(RowSlots&);            \
  void fill_channels(ChannelSlots&);    \
  static void fill_all(Kernels& k) {    \
    fill_products(k);                   \
    fill_pointwise(k.pointwise);        \
    fill_rows(k.rows);                  \
    fill_channels(k.channels);          \
  }                                     \
  }
RUNG_FILLS_ALL(base)
RUNG_FILLS_ALL(avx2)
RUNG_FILLS_ALL(avx512)
RUNG_FILLS_PRODUCTS(avx512bf16)
RUNG_FILLS_TILES(amx_emulated)
RUNG_FILLS_TILES(amx)
#undef RUNG_FILLS_ALL
#undef RUNG_FILLS_PRODUCTS
#undef RUNG_FILLS_TILES

namespace {

struct Registers {
  unsigned a, b, c, d;
};
Registers cpuid(unsigned leaf, unsigned sub = 0) {
  Registers r{};
  __get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d);
  return r;
}

uint64_t xcr0() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

// Linux gives a process the tile registers, 8 KB a thread, only if it asks: for itself and all its threads.
bool tiles_permitted(uint64_t state) {
  constexpr uint64_t tile_state = 3 << 17;
  constexpr long ask_permission = 0x1023, tile_data = 18;
  return (state & tile_state) == tile_state && syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
}

Cpu detect() {
  Cpu f{};
  const Registers vendor = cpuid(0), one = cpuid(1), seven = cpuid(7), seven1 = cpuid(7, 1);
  f.amd = vendor.b == 0x68747541;  // "Auth"
  const bool osxsave = one.c >> 27 & 1;
  const uint64_t state = osxsave ? xcr0() : 0;
  const bool ymm = (state & 6) == 6, zmm = (state & 0xe6) == 0xe6;
  f.fma = ymm && (one.c >> 12 & 1);
  f.f16c = ymm && (one.c >> 29 & 1);
  f.avx2 = ymm && (seven.b >> 5 & 1);
  const unsigned need512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // f, dq, bw, vl
  f.avx512 = zmm && (seven.b & need512) == need512;
  f.avx512_vnni = f.avx512 && (seven.c >> 11 & 1);
  f.avx512_bf16 = f.avx512 && (seven1.a >> 5 & 1);
  f.amx_bf16 = seven.d >> 22 & 1;
  f.amx_int8 = seven.d >> 25 & 1;
  f.tiles = f.avx512_bf16 && f.avx512_vnni && f.amx_bf16 && f.amx_int8 && (seven.d >> 24 & 1) &&
            tiles_permitted(state);
  for (unsigned i = 0; i < 3; i++) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(f.brand + size_t{16} * i, &r, 16);
  }
  return f;
}

struct Rungs {
  Kernels base, avx2, avx512, avx512bf16, amx_emulated, amx;
  std::vector<const Kernels*> usable;
  const Kernels* active = nullptr;

  Rungs() {
    const Cpu& f = cpu();
    base::fill_all(base);
    usable.push_back(&base);
    if (f.avx2 && f.fma && f.f16c) {
      avx2 = base;
      avx2::fill_all(avx2);
      usable.push_back(&avx2);
    }
    if (f.avx512 && usable.size() == 2) {
      avx512 = avx2;
      avx512::fill_all(avx512);
      amx_emulated = avx512;
      amx_emulated.name = "amx_emulated";
      amx_emulated::fill_product(amx_emulated.product);
      usable.push_back(&amx_emulated);
      usable.push_back(&avx512);
    }
    // Only AMD runs vdpbf16ps at full rate; on Intel it is slower than two f32 multiply-adds.
    if (f.avx512_bf16 && f.avx512_vnni && f.amd && usable.back() == &avx512) {
      avx512bf16 = avx512;
      avx512bf16::fill_products(avx512bf16);
      usable.push_back(&avx512bf16);
    }
    if (f.tiles && !f.amd && usable.back() == &avx512) {
      amx = avx512;
      amx.name = "amx";
      amx::fill_product(amx.product);
      amx::fill_measure(amx.measure);
      usable.push_back(&amx);
    }
    active = usable.back();
    if (const char* wanted = std::getenv("INTARSIA_ISA"); wanted && *wanted) active = find(wanted);
  }

  const Kernels* find(std::string_view name) const {
    std::string known;
    for (const Kernels* k : usable) {
      if (name == k->name) return k;
      known += known.empty() ? k->name : std::string(", ") + k->name;
    }
    fail_hint("this cpu runs: " + known, "rung \"{}\" is not available on this cpu", name);
  }
};

Rungs& all() {
  static Rungs rungs;
  return rungs;
}

}  // namespace

const Cpu& cpu() {
  static const Cpu found = detect();
  return found;
}
const Kernels& table() { return *all().active; }
std::span<const Kernels* const> rungs() { return all().usable; }
void use_rung(std::string_view name) { all().active = all().find(name); }

}  // namespace intarsia::kernel

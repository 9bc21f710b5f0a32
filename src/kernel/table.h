// The table of range kernels and the rungs that fill it. A rung is one compilation of the files in kernel/cpu
// into a namespace of its name; each fills the slots it improves, over those of the rungs below: base < avx2
// < avx512 < avx512bf16 (AMD) or amx (Intel). INTARSIA_ISA=avx2 forces one; amx_emulated runs the files of
// amx with its instructions in plain C, on any cpu with AVX-512, and is never chosen by itself. Range kernels
// are single-threaded and take raw pointers; threads and arrays are the business of the adapters in
// kernel/*.cpp.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/slots.h"

namespace intarsia::kernel {

const Kernels& table();                   // of the active rung
std::span<const Kernels* const> rungs();  // those that this cpu can run, the best one last
// Makes a rung active; throws if this cpu lacks it. Tests walk all of them. Not while other threads compute.
void use_rung(std::string_view name);

struct Cpu {  // what cpuid says
  bool avx2, fma, f16c, avx512, avx512_bf16, avx512_vnni, amx_bf16, amx_int8, amd;
  bool tiles;  // AMX, and the system saves its registers and lets this process use them
  char brand[49];
};
const Cpu& cpu();

}  // namespace intarsia::kernel

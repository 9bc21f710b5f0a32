// First include of every file in kernel/cpu. The build compiles such a file once per rung, with
// -DINTARSIA_RUNG=avx2 and the rung's machine flags. Everything but the fill_* function lives in an unnamed
// namespace and no std template is instantiated: a vector-compiled weak symbol could otherwise be linked into
// the base path (a test runs nm).
#pragma once
#ifndef INTARSIA_RUNG
#error "compile with -DINTARSIA_RUNG=<name>"
#endif

// Above avx512 a rung has instructions of its own for bf16 and int8 only; what is f32 it takes from there.
#if defined(__AVX512BF16__) || defined(INTARSIA_TILE_ENGINE)
#define INTARSIA_RENEWS_F32 0
#else
#define INTARSIA_RENEWS_F32 1
#endif

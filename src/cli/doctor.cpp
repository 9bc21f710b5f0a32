// intarsia doctor: what this machine is, which path each class of work takes on it, and what it can do at
// most.
#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "core/format.h"
#include "core/terminal.h"
#include "intarsia/array.h"
#include "kernel/measure.h"
#include "kernel/table.h"

namespace intarsia::cli {
namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string features(const kernel::Cpu& cpu) {
  std::string list;
  const std::pair<bool, const char*> known[] = {
      {cpu.avx2, "avx2"},         {cpu.fma, "fma"},          {cpu.avx512, "avx512"},
      {cpu.avx512_vnni, "vnni"},  {cpu.avx512_bf16, "bf16"}, {cpu.amx_bf16, "amx-bf16"},
      {cpu.amx_int8, "amx-int8"},
  };
  for (const auto& [has, name] : known)
    if (has) list += list.empty() ? name : std::string(" ") + name;
  return list.empty() ? "none beyond x86-64" : list;
}

std::string path_of(const std::string& rung, bool bf16) {
  std::string registers = rung == "base" ? "SSE2" : rung == "avx2" ? "AVX2 with FMA" : "AVX-512";
  if (!bf16) return registers;
  if (rung == "amx_emulated") return "AMX tiles, emulated";
  if (rung == "amx") return "AMX tiles";
  return rung == "avx512bf16" ? "AVX-512 dot products of bf16 pairs" : registers + ", bf16 widened to f32";
}

void doctor(bool json) {
  const kernel::Cpu& cpu = kernel::cpu();
  const std::string rung = kernel::table().name;
  std::string rungs;
  for (const kernel::Kernels* k : kernel::rungs()) {
    if (k->name == std::string_view("amx_emulated")) continue;  // for tests
    rungs += (rungs.empty() ? "" : " < ") + std::string(k->name);
  }
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  const kernel::Limits limits = kernel::measure_limits(0.3);
  const std::string huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool huge_pages = huge.find("[never]") == std::string::npos && !huge.empty();
  const std::string governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  const std::string libraries =
      fmt::format("fmt {}.{}.{}, nlohmann-json {}.{}.{}, CLI11 {}, zlib {}", FMT_VERSION / 10000,
                  FMT_VERSION / 100 % 100, FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR,
                  NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, cli11_version(), zlibVersion());
  const std::pair<std::string, std::string> paths[] = {
      {"products f32", path_of(rung, false)},
      {"products bf16", path_of(rung, true)},
      {"products quantized", "dequantized panel by panel, then as the compute type"},
      {"attention f32", path_of(rung, false)},
      {"attention bf16", path_of(rung.starts_with("amx") ? "avx512" : rung, true)},
      {"rows and pointwise", path_of(rung, false) + ", f32 arithmetic"},
      {"f64", "scalar"},
  };

  if (json) {
    nlohmann::ordered_json out = {{"version", INTARSIA_VERSION},
                                  {"cpu", cpu.brand},
                                  {"features", features(cpu)},
                                  {"threads", thread_count()},
                                  {"rung", rung},
                                  {"rungs", rungs},
                                  {"memory_bytes", memory},
                                  {"read_bytes_per_second", limits.read_bytes},
                                  {"peak_flops", {{"f32", limits.f32_flops}, {"bf16", limits.bf16_flops}}},
                                  {"huge_pages", huge_pages},
                                  {"libraries", libraries}};
    for (const auto& [work, path] : paths) out["paths"][work] = path;
    if (cpu.amx_bf16 && !cpu.tiles)
      out["notes"].push_back("this cpu has AMX, but the system does not permit it");
    fmt::print("{}\n", out.dump(2));
    return;
  }

  const Terminal screen = Terminal::of(stdout);
  const auto row = [&](const char* label, const std::string& text) {
    fmt::print("{} {}\n", screen.dim(pad_to_width(label, 18)), text);
  };
  row("intarsia", INTARSIA_VERSION);
  row("cpu", fmt::format("{}, {} threads, {}", cpu.brand, thread_count(), features(cpu)));
  row("rung", fmt::format("{} of {}", screen.bold(rung), rungs));
  row("memory",
      fmt::format("{}, {} GB/s read, huge pages {}", format_bytes(memory),
                  screen.bold(fmt::format("{:.1f}", limits.read_bytes * 1e-9)), huge_pages ? "on" : "off"));
  row("peak",
      fmt::format("{} Gflop/s bf16, {} f32", screen.bold(fmt::format("{:.0f}", limits.bf16_flops * 1e-9)),
                  screen.bold(fmt::format("{:.0f}", limits.f32_flops * 1e-9))));
  for (const auto& [work, path] : paths) row(work.c_str(), path);
  row("libraries", libraries);
  if (cpu.amx_bf16 && !cpu.tiles)
    fmt::print("{} this cpu has AMX, but the system does not permit it: bf16 products run on AVX-512\n",
               screen.yellow("▲"));
  if (governor == "powersave")
    fmt::print("{} governor is powersave: expect less      hint: cpupower frequency-set -g performance\n",
               screen.yellow("▲"));
}

}  // namespace

void add_doctor(Command app) {
  Command verb = app.add("doctor", "Show the cpu, the path each kind of work takes, and the measured limits");
  auto json = std::make_shared<bool>(false);
  verb.flag("--json", *json, "Print JSON");
  verb.footer("Example:\n  intarsia doctor\n  INTARSIA_ISA=avx2 intarsia doctor");
  verb.run([json] { doctor(*json); });
}

}  // namespace intarsia::cli

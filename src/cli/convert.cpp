// intarsia convert: a model in one format to another.
#include <fmt/core.h>

#include <memory>

#include "cli/model_options.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"

namespace intarsia::cli {
namespace {

struct Arguments {
  std::string in, out, tokenizer, dtype;
};

// The type of the stored matrices if all have the same of those that can be written; else f32, which holds
// them all.
DType type_of(const Model& model) {
  std::optional<DType> common;
  for (const Weight& weight : model.weights()) {
    const DType type = weight.tensor->dtype();
    if (weight.tensor->rank() < 2) continue;
    if ((type != DType::f16 && type != DType::bf16) || (common && *common != type)) return DType::f32;
    common = type;
  }
  return common.value_or(DType::f32);
}

void convert(const Arguments& arguments) {
  const Loaded loaded = load(arguments.in, {.tokenizer = arguments.tokenizer, .as_stored = true});
  if (!loaded.unused.empty())
    fail("{}: {} has no place in the model and would be lost", arguments.in, loaded.unused.front());
  const DType dtype = arguments.dtype.empty() ? type_of(*loaded.model) : dtype_named(arguments.dtype);
  save(*loaded.model, loaded.tokenizer.get(), arguments.out, dtype);
  fmt::print("{}: {}, {} parameters as {}{}\n", arguments.out, loaded.model->model_type(),
             format_short(static_cast<double>(loaded.model->parameter_count())), info(dtype).name,
             loaded.tokenizer ? "" : ", no tokenizer");
}

}  // namespace

void add_convert(Command app) {
  Command verb = app.add("convert", "Write a model as a Hugging Face directory or a .gguf file");
  const auto arguments = std::make_shared<Arguments>();
  verb.option("IN", arguments->in, model_help).required();
  verb.option("OUT", arguments->out, "A directory, or a file that ends in .gguf").required();
  verb.option("--dtype", arguments->dtype,
              "Type of weights: f32, f16 or bf16 (default: the stored one, f32 if quantized)")
      .among({"f32", "f16", "bf16"});
  verb.option("--tokenizer", arguments->tokenizer, "Tokenizer to use instead of the model's own");
  verb.footer("Example:\n  intarsia convert runs/book book.gguf --dtype bf16");
  verb.run([arguments] { convert(*arguments); });
}

}  // namespace intarsia::cli

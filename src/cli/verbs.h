// The verbs of the command, one file each; main.cpp adds them in this order.
#pragma once

#include "cli/command.h"

namespace intarsia::cli {

void add_train(Command app);
void add_generate(Command app);
void add_chat(Command app);
void add_template(Command app);
void add_tokenizer(Command app);
void add_eval(Command app);
void add_inspect(Command app);
void add_convert(Command app);
void add_doctor(Command app);
void add_bench(Command app);
void add_lab(Command app);

}  // namespace intarsia::cli

// The verbs of the command, one file each; main.cpp adds them in this order.
#pragma once

namespace CLI {
class App;
}

namespace intarsia::cli {

void add_train(CLI::App& app);
void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_template(CLI::App& app);
void add_tokenizer(CLI::App& app);
void add_eval(CLI::App& app);
void add_inspect(CLI::App& app);
void add_convert(CLI::App& app);
void add_doctor(CLI::App& app);
void add_bench(CLI::App& app);
void add_lab(CLI::App& app);

}  // namespace intarsia::cli

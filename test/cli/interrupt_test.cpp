// Ctrl-C in the middle of things.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "intarsia/model.h"
#include "program.h"

namespace intarsia {
namespace {

using test::Folder;

// The program with pipes to both ends.
class Session {
 public:
  explicit Session(std::vector<std::string> arguments) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) throw std::runtime_error("pipe");
    child_ = fork();
    if (child_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      std::vector<char*> argv = {const_cast<char*>(INTARSIA_BINARY)};
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(INTARSIA_BINARY, argv.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  ~Session() {
    close(in_);
    close(out_);
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void say(const std::string& line) {
    ASSERT_EQ(write(in_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  void interrupt() { kill(child_, SIGINT); }
  // Output up to the end of a line that holds `part`; all of it if that never comes.
  std::string until(const std::string& part) {
    std::string text;
    char byte;
    pollfd wait = {out_, POLLIN, 0};
    while (text.find(part) == text.npos && poll(&wait, 1, 20000) > 0 && read(out_, &byte, 1) == 1)
      text += byte;
    return text;
  }
  int end() {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t child_ = 0;
  int in_ = -1, out_ = -1;
};

// A model that would talk for minutes.
std::string endless(const Folder& folder) {
  int calls = 0;
  const auto text = [&](std::string& chunk) {
    chunk = "abc ";
    return calls++ == 0;
  };
  const auto tokenizer = train_bpe(text, {.vocabulary = 257, .special = {"<|endoftext|>"}});
  const std::string config =
      R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "vocab_size": 257,
    "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 200000})";
  const std::string path = folder.path("endless");
  save(*make_model(config, 1), tokenizer.get(), path);
  return path;
}

TEST(Interrupt, StopsTheAnswerAndNotTheChat) {
  const Folder folder;
  Session chat({"chat", endless(folder), "--ignore-eos", "--max-tokens", "150000"});
  chat.say("abc\n");
  EXPECT_FALSE(chat.until("a").empty());  // it is talking
  chat.interrupt();
  chat.say("/help\n");
  EXPECT_NE(chat.until("/reset").find("/reset"), std::string::npos);
  chat.say("/quit\n");
  EXPECT_EQ(chat.end(), 0);
}

TEST(Interrupt, EndsGenerateWithExitOne) {
  const Folder folder;
  Session generate({"generate", endless(folder), "abc", "--ignore-eos", "--max-tokens", "150000"});
  EXPECT_FALSE(generate.until("a").empty());
  generate.interrupt();
  EXPECT_EQ(generate.end(), 1);
}

}  // namespace
}  // namespace intarsia

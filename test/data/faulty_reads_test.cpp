// Every reader under interrupted, short and failing reads. The read() defined here stands before the C
// library's for this whole program, zlib among it.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "data/folder.h"
#include "data/text.h"

namespace {

enum class ReadFault { none, interrupted, short_reads, error };
std::atomic<ReadFault> read_fault{ReadFault::none};
std::atomic<int> read_calls{0};

}  // namespace

extern "C" ssize_t read(int file, void* to, size_t count) {
  const int call = read_calls++;
  switch (read_fault.load()) {
    case ReadFault::interrupted:
      if (call % 2 == 0) {
        errno = EINTR;
        return -1;
      }
      break;
    case ReadFault::short_reads:
      count = std::min<size_t>(count, 7);
      break;
    case ReadFault::error:
      if (call == 2) {
        errno = EIO;
        return -1;
      }
      count = std::min<size_t>(count, 1000);
      break;
    case ReadFault::none:
      break;
  }
  return syscall(SYS_read, file, to, count);
}

namespace intarsia {
namespace {

struct Faulty {
  explicit Faulty(ReadFault fault) {
    read_calls = 0;
    read_fault = fault;
  }
  ~Faulty() { read_fault = ReadFault::none; }
};

class Reads : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; text.size() < 20000; i++) text += "word " + std::to_string(i * i % 997) + ".\n";
    write_file(folder / "a.txt", text);
    gzFile file = gzopen((folder / "a.txt.gz").c_str(), "wb");
    ASSERT_NE(file, nullptr);
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  }
  std::string streamed(std::string_view name) {
    TextSource source(folder / name, {.chunk = 1000});
    std::string all, chunk;
    while (source.next(chunk)) all += chunk;
    return all;
  }
  Folder folder;
  std::string text;
};

TEST_F(Reads, InterruptedAndShortOnesChangeNothing) {
  for (const ReadFault fault : {ReadFault::interrupted, ReadFault::short_reads}) {
    const Faulty faulty(fault);
    EXPECT_EQ(read_file(folder / "a.txt"), text);
    EXPECT_EQ(sha256_file(folder / "a.txt"), sha256(text));
    EXPECT_EQ(streamed("a.txt"), text);
    EXPECT_EQ(streamed("a.txt.gz"), text);
    EXPECT_GT(read_calls, 8) << "the fault reached no reader";
  }
}

TEST_F(Reads, FailingOnesAreOneErrorThatNamesTheFile) {
  const auto failed = [&](auto&& read) {
    const Faulty faulty(ReadFault::error);
    return error_of(read);
  };
  for (const std::string& message :
       {failed([&] { read_file(folder / "a.txt"); }), failed([&] { sha256_file(folder / "a.txt"); }),
        failed([&] { streamed("a.txt"); }), failed([&] { streamed("a.txt.gz"); })}) {
    EXPECT_NE(message.find("a.txt"), std::string::npos) << message;
    EXPECT_NE(message.find("Input/output error"), std::string::npos) << message;
  }
  EXPECT_EQ(read_file(folder / "a.txt"), text);  // the next try is as good as ever
  EXPECT_EQ(streamed("a.txt.gz"), text);
}

}  // namespace
}  // namespace intarsia

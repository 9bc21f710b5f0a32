// The shared library, loaded and unloaded at run time; processes that fork.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "embed/work.h"

namespace {

// Threads of this process. A thread that was joined may still be counted for an instant.
long threads_now() { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); }
bool threads_become(long wanted) {
  for (int tries = 0; tries < 2000 && threads_now() != wanted; tries++) usleep(1000);
  return threads_now() == wanted;
}

bool mapped(const std::string& library) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(library) != std::string::npos) return true;
  return false;
}

class Plugin {
 public:
  Plugin() : handle_(dlopen(INTARSIA_PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) ADD_FAILURE() << dlerror();
  }
  ~Plugin() { dlclose(handle_); }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  double work() const { return at<double()>("plugin_work")(); }
  void threads(int count) const { at<void(int)>("plugin_threads")(count); }
  bool error() const { return at<bool()>("plugin_error")(); }

 private:
  template <class F>
  F* at(const char* name) const {
    return reinterpret_cast<F*>(dlsym(handle_, name));
  }
  void* handle_;
};

TEST(Loading, StartsNoThreadAndUnloadingLeavesNone) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer may start a thread of its own";
#endif
  const long before = threads_now();
  for (int time = 0; time < 3; time++) {
    {
      const Plugin plugin;
      EXPECT_TRUE(mapped("libintarsia.so"));
      EXPECT_EQ(threads_now(), before) << "loading started a thread";
      plugin.threads(4);
      EXPECT_EQ(threads_now(), before);
      plugin.work();
      EXPECT_EQ(threads_now(), before + 3) << "the work was done without threads: this test proves nothing";
    }
    EXPECT_TRUE(threads_become(before)) << threads_now() - before << " threads are left";
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_FALSE(mapped("libintarsia.so")) << "the library stays in memory";
#endif
  }
}

TEST(Loading, TwiceIsOneLibraryThatStaysUntilTheLastIsGone) {
  const Plugin first;
  double expected;
  {
    const Plugin second;
    expected = second.work();
  }
  EXPECT_TRUE(mapped("libintarsia.so"));
  EXPECT_EQ(first.work(), expected);
  EXPECT_TRUE(first.error());
}

TEST(Loading, ASharedLibraryBesideAStaticOneIsASecondOneWithEqualBits) {
  const Plugin plugin;
  plugin.threads(3);
  const double expected = some_work();
  std::thread other([&] {
    for (int i = 0; i < 5; i++) EXPECT_EQ(plugin.work(), expected);
  });
  for (int i = 0; i < 5; i++) EXPECT_EQ(some_work(), expected);
  other.join();
}

// Runs f in a child; it must return true before the alarm.
template <class F>
void in_child(F&& f) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    _exit(f() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << (WIFSIGNALED(status) ? "a child was ended by a signal" : "a child got another result");
}

TEST(Fork, BeforeLoading) {
  const double expected = some_work();
  in_child([&] {
    const Plugin plugin;
    return plugin.work() == expected && plugin.error();
  });
}

TEST(Fork, AfterThreadsRan) {
  intarsia::set_thread_count(3);
  const double expected = some_work();
  const Plugin plugin;
  EXPECT_EQ(plugin.work(), expected);
  in_child([&] { return some_work() == expected && plugin.work() == expected; });
  EXPECT_EQ(some_work(), expected);  // the parent goes on
  EXPECT_EQ(plugin.work(), expected);
}

TEST(Fork, WhileAnotherThreadComputes) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer has no children of a program with threads";
#endif
  intarsia::set_thread_count(3);
  const double expected = some_work();
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) EXPECT_EQ(some_work(), expected);
  });
  for (int time = 0; time < 20; time++) in_child([&] { return some_work() == expected; });
  stop = true;
  other.join();
}

}  // namespace

#include "data/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "data/arrays.h"
#include "data/faulty_files.h"
#include "data/folder.h"

namespace intarsia {
namespace {

size_t entries(const std::filesystem::path& path) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
}

TEST(Quote, EscapesWhatDoesNotFitOneLine) {
  EXPECT_EQ(quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(quote("a\nb\x7f"), "\"a\\x0ab\\x7f\"");
  EXPECT_EQ(quote("caf\u00e9"), "\"caf\u00e9\"");
  EXPECT_EQ(quote("\xc3(\xff\xed\xa0\x80"), "\"\\xc3(\\xff\\xed\\xa0\\x80\"");
  EXPECT_EQ(quote(std::string(200, 'x'), 10), "\"" + std::string(9, 'x') + "...\"");
}

TEST(MappedFile, HoldsTheBytesAndOutlivesItsName) {
  const Folder folder;
  write_file(folder / "a", "hello");
  const auto file = MappedFile::open(folder / "a");
  std::filesystem::remove(folder / "a");
  EXPECT_EQ(file->text(), "hello");
}

TEST(MappedFile, NamesWhatIsWrong) {
  const Folder folder;
  const auto text = [&](const std::filesystem::path& path) {
    return error_of([&] { MappedFile::open(path); });
  };
  EXPECT_EQ(text(folder / "none"), (folder / "none").string() + ": no such file");
  EXPECT_EQ(text(folder.path()), folder.path().string() + ": is a directory, expected a file");
  write_file(folder / "empty", "");
  EXPECT_EQ(text(folder / "empty"), (folder / "empty").string() + ": the file is empty");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(text(folder / "pipe"), (folder / "pipe").string() + ": is no regular file, expected a file");
  if (geteuid() != 0) {  // root may read everything
    write_file(folder / "secret", "x");
    ASSERT_EQ(chmod((folder / "secret").c_str(), 0), 0);
    EXPECT_NE(text(folder / "secret").find("Permission denied"), std::string::npos);
  }
}

TEST(MappedFile, AFileThatShrinksIsAnErrorAndNoCrash) {
  const Folder folder;
  constexpr size_t page = 4096;
  write_file(folder / "a", std::string(5 * page, 'x'));
  write_file(folder / "b", std::string(5 * page, 'y'));
  const auto a = MappedFile::open(folder / "a"), b = MappedFile::open(folder / "b");
  const Array values = array_in(a, 0, {static_cast<int64_t>(5 * page)}, DType::u8, "values");
  EXPECT_FALSE(WatchedMapping::any_lost());
  std::filesystem::resize_file(folder / "a", 2 * page);
  EXPECT_EQ(a->text()[page], 'x');
  EXPECT_NO_THROW(a->check());  // nothing that is lost was read
  EXPECT_EQ(a->text()[3 * page], '\0');
  EXPECT_EQ(a->text()[5 * page - 1], '\0');
  EXPECT_EQ(error_of([&] { a->check(); }), (folder / "a").string() +
                                               ": was shortened by another program while in use; what it "
                                               "lost cannot be read");
  EXPECT_TRUE(WatchedMapping::any_lost());
  EXPECT_NE(error_of([&] { WatchedMapping::check(values.raw(), "add"); }).find("add: "), std::string::npos);
  EXPECT_NO_THROW(b->check());
  EXPECT_EQ(b->text()[4 * page], 'y');
  // Writing what is lost is an error, too, and leaves no file.
  FileWriter out(folder / "c");
  EXPECT_THROW(write_values(out, {"values", values}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "c"));
}

TEST(MappedFile, ALostFileIsForgottenWithItsMapping) {
  const Folder folder;
  write_file(folder / "a", std::string(20000, 'x'));
  {
    const auto a = MappedFile::open(folder / "a");
    std::filesystem::resize_file(folder / "a", 1);
    EXPECT_EQ(a->text()[19999], '\0');
    EXPECT_TRUE(WatchedMapping::any_lost());
  }
  EXPECT_FALSE(WatchedMapping::any_lost());
}

TEST(MappedFileDeathTest, OtherBusErrorsStillEndTheProcess) {
  const Folder folder;
  write_file(folder / "a", std::string(20000, 'x'));
  EXPECT_DEATH(
      {
        const auto a = MappedFile::open(folder / "a");
        const auto other = ::open((folder / "a").c_str(), O_RDONLY);
        const auto* bytes =
            static_cast<const volatile char*>(::mmap(nullptr, 20000, PROT_READ, MAP_SHARED, other, 0));
        std::filesystem::resize_file(folder / "a", 1);
        [[maybe_unused]] const char byte = bytes[19000];
      },
      "");
}

TEST(ArrayIn, BorrowsAlignedAndCopiesUnalignedBytes) {
  const auto file = MappedFile::of_memory("m", std::string_view("\0\0\x80\x3f\0\0\0\x40\0\0\x80\x3f\0", 13));
  const Array borrowed = array_in(file, 0, {2}, DType::f32, "x");
  EXPECT_EQ(borrowed.raw(), file->data());
  EXPECT_EQ(borrowed.data<float>()[1], 2.0f);
  EXPECT_THROW(Array(borrowed).raw_mutable(), Error);
  const Array copied = array_in(file, 1, {3}, DType::f32, "x");
  EXPECT_NE(copied.raw(), static_cast<const void*>(file->data() + 1));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(copied.raw()) % 64, 0u);
}

TEST(ArrayIn, RefusesWhatIsNotInTheFile) {
  const auto file = MappedFile::of_memory("m", "12345678");
  EXPECT_EQ(error_of([&] { array_in(file, 4, {2}, DType::f32, "x"); }),
            "m: x needs 8 bytes at byte 4, but the file ends at byte 8");
  EXPECT_THROW(array_in(file, UINT64_MAX, {1}, DType::u8, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {int64_t{1} << 40, int64_t{1} << 40}, DType::u8, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {int64_t{1} << 62}, DType::f64, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {int64_t{1} << 40, int64_t{1} << 40, 0}, DType::u8, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {0, int64_t{1} << 40, int64_t{1} << 40}, DType::u8, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {-1}, DType::u8, "x"), Error);
  EXPECT_THROW(array_in(file, 0, {2}, DType::boolean, "x"), Error);  // '1' is neither 0 nor 1
  EXPECT_THROW(array_in(file, 0, {2, 16}, DType::q4_0, "x"), Error);
}

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const Folder folder;
  const std::string million(1000000, 'a');
  write_file(folder / "a", million);
  EXPECT_EQ(sha256_file(folder / "a"), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(FileWriter, WritesBytesOfEverySize) {
  const Folder folder;
  std::string all;
  FileWriter out(folder / "a");
  for (size_t size : {0, 1, 1000, 262144, 262145, 3, 600000, 7}) {
    const std::string part(size, static_cast<char>('a' + size % 23));
    out.write(part);
    all += part;
  }
  out.pad(130);
  all.append(130, '\0');
  EXPECT_EQ(out.position(), all.size());
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  out.commit();
  EXPECT_EQ(read_file(folder / "a"), all);
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(FileWriter, LeavesNothingWithoutCommit) {
  const Folder folder;
  { FileWriter(folder / "a").write("half"); }
  EXPECT_EQ(entries(folder.path()), 0u);
}

TEST(FileWriter, SyncsTheFileBeforeAndTheFolderAfterTheRename) {
  const Folder folder;
  FaultyFiles files;
  write_file(folder / "a", "text", files);
  const std::vector<std::string> expected = {"open",   "write", "fsync", "close",
                                             "rename", "open",  "fsync", "close"};
  EXPECT_EQ(files.log, expected);
}

TEST(FileWriter, NamesTheFileAndTheReason) {
  const Folder folder;
  EXPECT_EQ(error_of([&] { write_file(folder / "no/a", "x"); }),
            (folder / "no/a").string() + ": cannot write: No such file or directory");
  EXPECT_NE(error_of([&] { write_file(folder.path(), "x"); }).find("is a directory"), std::string::npos);
  FaultyFiles full(1, Fault::error_before, ENOSPC);
  try {
    write_file(folder / "a", "x", full);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), (folder / "a").string() + ": cannot write: No space left on device");
    EXPECT_FALSE(error.hint().empty());
  }
}

// Interrupted calls, and writes that take one byte at a time.
class SlowFiles final : public FileSystem {
 public:
  ssize_t write(int file, const void* bytes, size_t count) override {
    if (++calls_ % 2) return -EINTR;
    return FileSystem::write(file, bytes, std::min<size_t>(count, 1));
  }
  int fsync(int file) override { return ++calls_ % 2 ? -EINTR : FileSystem::fsync(file); }
  int open(const char* path, int flags, int mode) override {
    return ++calls_ % 2 ? -EINTR : FileSystem::open(path, flags, mode);
  }

 private:
  int calls_ = 0;
};

TEST(FileWriter, GoesOnAfterInterruptionsAndShortWrites) {
  const Folder folder;
  SlowFiles files;
  write_file(folder / "a", "a text of some length", files);
  EXPECT_EQ(read_file(folder / "a"), "a text of some length");
}

constexpr Fault all_faults[] = {Fault::error_before, Fault::error_after, Fault::kill_before,
                                Fault::kill_halfway, Fault::kill_after};

TEST(FileWriter, LeavesTheOldOrTheNewFileWhateverOperationFails) {
  const std::string before(1000, 'o'), after(700000, 'n');
  for (Fault fault : all_faults) {
    for (int at = 0;; at++) {
      const Folder folder;
      write_file(folder / "a", before);
      FaultyFiles files(at, fault, at % 2 ? ENOSPC : EIO);
      bool failed = false, killed = false;
      try {
        write_file(folder / "a", after, files);
      } catch (const Error&) { failed = true; } catch (const Killed&) {
        killed = true;
      }
      const std::string found = read_file(folder / "a");
      ASSERT_TRUE(found == before || found == after) << "operation " << at;
      if (files.operations() <= at) {  // the fault lay behind the last operation
        ASSERT_FALSE(failed || killed);
        ASSERT_EQ(found, after);
        ASSERT_GT(at, 7);
        break;
      }
      ASSERT_TRUE(failed || killed) << "operation " << at << " (" << files.log[static_cast<size_t>(at)]
                                    << ")";
      if (failed && fault == Fault::error_before) {
        ASSERT_EQ(entries(folder.path()), 1u) << "operation " << at;
      }
    }
  }
}

TEST(Directories, AreMadeAndRemovedWithAllTheyHold) {
  const Folder folder;
  make_directories(folder / "a/b/c/");
  make_directories(folder / "a/b/c");
  write_file(folder / "a/b/c/file", "x");
  write_file(folder / "kept", "x");
  std::filesystem::create_symlink(folder / "kept", folder / "a/link");
  std::filesystem::create_directory_symlink(folder.path(), folder / "a/b/loop");
  remove_tree(folder / "a");
  remove_tree(folder / "a");
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  EXPECT_TRUE(std::filesystem::exists(folder / "kept"));
  EXPECT_NE(error_of([&] { make_directories(folder / "kept/b"); }).find("cannot make the directory"),
            std::string::npos);
  rename_path(folder / "kept", folder / "new");
  EXPECT_EQ(read_file(folder / "new"), "x");
  EXPECT_THROW(rename_path(folder / "kept", folder / "new"), Error);
}

TEST(ReadFile, RefusesWhatIsAboveTheLimit) {
  const Folder folder;
  write_file(folder / "a", "12345");
  EXPECT_EQ(read_file(folder / "a", 5), "12345");
  EXPECT_NE(error_of([&] { read_file(folder / "a", 4); }).find("has 5 bytes, expected at most 4"),
            std::string::npos);
}

}  // namespace
}  // namespace intarsia

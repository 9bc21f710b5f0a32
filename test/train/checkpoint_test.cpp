#include "train/run/checkpoint.h"

#include <gtest/gtest.h>

#include "small_run.h"

namespace intarsia {
namespace {

using test::Scratch;
namespace fs = std::filesystem;

class Checkpoint : public testing::Test {
 protected:
  Checkpoint() {
    Recipe recipe = test::small_recipe(scratch_, "run");
    recipe.checkpoints.keep = 5;
    train(recipe);
    run_ = recipe.training.out;
    newest_ = run_ / "checkpoints/step-000006";
  }
  // The error of verifying the newest checkpoint.
  std::string verify_error() const {
    try {
      Checkpoints::verify(newest_);
      return "no error";
    } catch (const Error& error) { return error.what(); }
  }
  std::string state_error() const {
    try {
      Checkpoints::read_state(newest_);
      return "no error";
    } catch (const Error& error) { return error.what(); }
  }
  std::optional<fs::path> newest() const {
    return Checkpoints(run_, 5).newest([](const std::string&) {});
  }
  // Replaces the first `from` in a file of the newest checkpoint.
  void replace(const std::string& file, const std::string& from, const std::string& to) const {
    std::string text = test::read_all(newest_ / file);
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    test::write_all(newest_ / file, text.replace(at, from.size(), to));
  }
  Scratch scratch_;
  fs::path run_, newest_;
};

TEST_F(Checkpoint, AWholeOneVerifiesAndItsStateIsThatOfTheRun) {
  EXPECT_EQ(verify_error(), "no error");
  const TrainState state = Checkpoints::read_state(newest_);
  EXPECT_EQ(state.step, 6);
  EXPECT_EQ(state.sample, 12);
  EXPECT_EQ(state.evaluated_step, 6);
  EXPECT_GT(state.loss, 0);
  ASSERT_TRUE(state.best.has_value());
  EXPECT_LE(*state.best, *state.validation);
  EXPECT_GT(state.seconds, 0);
  EXPECT_GT(state.time.backward, 0);
}

TEST_F(Checkpoint, AChangedByteOfAnyFileIsFound) {
  for (const auto& entry : fs::directory_iterator(newest_)) {
    if (entry.path().filename() == "manifest.json") continue;
    const std::string before = test::read_all(entry.path());
    std::string changed = before;
    changed[changed.size() / 3] ^= 1;
    test::write_all(entry.path(), changed);
    EXPECT_EQ(verify_error(), entry.path().string() + ": differs from the hash in manifest.json");
    test::write_all(entry.path(), before + "x");
    EXPECT_EQ(verify_error(), entry.path().string() + ": differs from the hash in manifest.json");
    test::write_all(entry.path(), before);
  }
  EXPECT_EQ(verify_error(), "no error");
}

TEST_F(Checkpoint, AManifestThatNamesFilesElsewhereOrLeavesSomeOutIsRefused) {
  const std::string manifest = test::read_all(newest_ / "manifest.json");
  for (const char* text :
       {"{}", "[]", "3", "{\"sha256\": []}", "{\"sha256\": {}}", "{\"sha256\": {\"../config.json\": \"00\"}}",
        "{\"sha256\": {\"..\": \"00\"}}", "{\"sha256\": {\"config.json\": 7}}", ""}) {
    test::write_all(newest_ / "manifest.json", text);
    EXPECT_NE(verify_error(), "no error") << text;
  }
  for (size_t length = 0; length + 1 < manifest.size(); length += 11) {
    test::write_all(newest_ / "manifest.json", manifest.substr(0, length));
    EXPECT_NE(verify_error(), "no error") << length;
  }
}

TEST_F(Checkpoint, AStateOfAnotherShapeIsAnErrorThatNamesTheFileAndTheKey) {
  const std::string state = test::read_all(newest_ / "state.json");
  const std::string path = (newest_ / "state.json").string();
  const auto error_with = [&](const std::string& from, const std::string& to) {
    replace("state.json", from, to);
    const std::string error = state_error();
    test::write_all(newest_ / "state.json", state);
    return error;
  };
  EXPECT_EQ(error_with("\"version\": 1", "\"version\": 99"),
            path + ": has version 99, this program reads version 1");
  EXPECT_EQ(error_with("\"sample\": 12", "\"sample\": \"12\""),
            path + ": \"sample\" is \"\\\"12\\\"\", expected a whole number");
  EXPECT_EQ(error_with("\"sample\": 12", "\"sample\": 1.5"),
            path + ": \"sample\" is \"1.5\", expected a whole number");
  EXPECT_EQ(error_with("\"sample\": 12", "\"samples\": 12"), path + ": has no key \"sample\"");
  EXPECT_EQ(error_with("\"sample\": 12", "\"sample\": -12"),
            path + ": step 6 and sample -12 are out of range");
  EXPECT_EQ(error_with("\"sample\": 12", "\"sample\": 9000000000000000000"),
            path + ": step 6 and sample 9000000000000000000 are out of range");
  EXPECT_EQ(error_with("\"time\"", "\"times\""), path + ": has no object \"time\"");
  for (size_t length = 0; length + 2 < state.size(); length += 5) {
    test::write_all(newest_ / "state.json", state.substr(0, length));
    EXPECT_NE(state_error(), "no error") << length;
  }
}

TEST_F(Checkpoint, HalfWrittenAndStrangeDirectoriesAreNotTakenForCheckpoints) {
  fs::create_directory(run_ / "checkpoints/step-000009.tmp");
  fs::create_directory(run_ / "checkpoints/step-99999999999999999999999");
  fs::create_directory(run_ / "checkpoints/step-12x456");
  fs::create_directory(run_ / "checkpoints/notes");
  ASSERT_TRUE(newest().has_value());
  EXPECT_EQ(*newest(), newest_);
}

TEST_F(Checkpoint, TheNewestWholeOneIsFoundWhateverThePointerSays) {
  test::write_all(run_ / "checkpoints/last", "step-000002\n");
  ASSERT_TRUE(newest().has_value());
  EXPECT_EQ(*newest(), newest_);
  resume(run_);
  EXPECT_EQ(test::read_all(run_ / "checkpoints/last"), "step-000006\n");
}

TEST_F(Checkpoint, MomentsOfAnotherModelAreRefused) {
  Recipe other = test::small_recipe(scratch_, "other");
  other.model.width = 32;
  train(other);
  fs::copy_file(scratch_ / "other/checkpoints/step-000006/optimizer.safetensors",
                newest_ / "optimizer.safetensors", fs::copy_options::overwrite_existing);
  const std::string hash = sha256_file(newest_ / "optimizer.safetensors");
  std::string manifest = test::read_all(newest_ / "manifest.json");
  const size_t at = manifest.find(':', manifest.find("optimizer.safetensors")) + 3;
  test::write_all(newest_ / "manifest.json", manifest.replace(at, 64, hash));
  ASSERT_EQ(verify_error(), "no error");
  try {
    resume(run_);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("optimizer.safetensors: model.embed_tokens.weight.m is f32"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace intarsia

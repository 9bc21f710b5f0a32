#include "train/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "intarsia/error.h"

namespace intarsia {
namespace {

// The text of the error that f throws, with its hint.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.hint().empty() ? error.what() : std::string(error.what()) + "; hint: " + error.hint();
  }
  return "no error";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { parse_recipe(text, "recipe.toml"); });
}

std::string override_error(const std::string& assignment) {
  Recipe recipe;
  return error_of([&] { override_recipe(recipe, assignment); });
}

TEST(Recipe, ReadsEveryTypeOfValue) {
  const Recipe recipe = parse_recipe(
      "[optimizer]\nkind = 'sgd'\nlearning_rate = 3e-4\nclip = 2\n[model]\nlayers = 7\ntied = false\n"
      "[training]\nsteps = 1e4\n",
      "recipe.toml");
  EXPECT_EQ(recipe.optimizer.kind, "sgd");
  EXPECT_EQ(recipe.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(recipe.optimizer.clip, 2.0);
  EXPECT_EQ(recipe.model.layers, 7);
  EXPECT_FALSE(recipe.model.tied);
  EXPECT_EQ(recipe.training.steps, 10000);
  EXPECT_EQ(recipe.optimizer.beta1, Recipe().optimizer.beta1);
}

TEST(Recipe, AnUnknownKeyIsNamedWithItsLineAndTheNearestKnownOne) {
  std::string text(12, '\n');
  text += "[optimizer]\nlearning_rat = 1\n";
  EXPECT_EQ(parse_error(text),
            "recipe.toml:14: unknown key \"learning_rat\"; hint: did you mean learning_rate?");
  EXPECT_EQ(parse_error("[training]\nlearning_rate = 1\n"),
            "recipe.toml:2: unknown key \"learning_rate\"; hint: did you mean optimizer.learning_rate?");
  EXPECT_EQ(parse_error("[optimizer]\nzzzzzzzzzzzz = 1\n"), "recipe.toml:2: unknown key \"zzzzzzzzzzzz\"");
  EXPECT_EQ(
      override_error("optimiser.learning_rate=1"),
      "command line: unknown key \"optimiser.learning_rate\"; hint: did you mean optimizer.learning_rate?");
}

TEST(Recipe, AnUnknownTableIsNamedWithItsLineAndTheNearestKnownOne) {
  EXPECT_EQ(parse_error("[optimiser]\nclip = 1\n"),
            "recipe.toml:1: unknown table \"optimiser\"; hint: did you mean [optimizer]?");
  EXPECT_EQ(parse_error("\nqqqqqqqq = 1\n"), "recipe.toml:2: unknown table \"qqqqqqqq\"");
}

TEST(Recipe, AChoiceThatIsNearlyRightGetsAHint) {
  const auto hint = [](const char* text) -> std::string {
    try {
      parse_recipe(text, "recipe.toml");
    } catch (const Error& error) { return error.hint(); }
    return "no error";
  };
  EXPECT_EQ(hint("[optimizer]\nkind = 'lions'\n"), "did you mean lion?");
  EXPECT_EQ(hint("[schedule]\nkind = 'cosin'\n"), "did you mean cosine?");
  EXPECT_EQ(hint("[optimizer]\nkind = 'newton'\n"), "");
}

TEST(Recipe, AWrongTypeOrRangeNamesTheLineTheValueAndWhatIsExpected) {
  EXPECT_EQ(parse_error("[optimizer]\n\nlearning_rate = 'fast'\n"),
            "recipe.toml:3: optimizer.learning_rate is \"fast\", expected a number from 0 to 1000");
  EXPECT_EQ(parse_error("[model]\nlayers = 0\n"),
            "recipe.toml:2: model.layers is 0, expected a whole number from 1 to 1024");
  EXPECT_EQ(parse_error("[model]\nlayers = 1.5\n"),
            "recipe.toml:2: model.layers is 1.5, expected a whole number from 1 to 1024");
  EXPECT_EQ(parse_error("[model]\ntied = 1\n"), "recipe.toml:2: model.tied is 1, expected true or false");
  EXPECT_EQ(parse_error("[training]\ncompute = 'f64'\n"),
            "recipe.toml:2: training.compute is \"f64\", expected one of \"f32\", \"bf16\", \"f16\"");
  EXPECT_EQ(parse_error("[training]\nsteps = nan\n").substr(0, 34), "recipe.toml:2: training.steps is n");
  EXPECT_EQ(parse_error("[training]\nsteps = [1]\n"),
            "recipe.toml:2: training.steps is an array, expected a whole number, 1 or more");
  EXPECT_EQ(parse_error("training = 3\n"),
            "recipe.toml:1: training is 3, expected a table; hint: write [training] above its keys");
}

TEST(Recipe, BrokenTomlNamesTheLine) {
  EXPECT_EQ(parse_error("[model]\nlayers =\n").substr(0, 14), "recipe.toml:2:");
  EXPECT_EQ(parse_error("[model\n").substr(0, 14), "recipe.toml:1:");
  EXPECT_EQ(parse_error(std::string("\xff\xfe\n")).substr(0, 14), "recipe.toml:1:");
}

TEST(Recipe, DeepLongAndDottedTextIsRefusedWithoutHarm) {
  EXPECT_NE(parse_error("a = " + std::string(100'000, '[')), "no error");
  EXPECT_NE(parse_error("a = " + std::string(100, '[') + std::string(100, ']')), "no error");
  std::string dotted = "a";
  for (int i = 0; i < 50'000; i++) dotted += ".a";
  EXPECT_EQ(parse_error(dotted + " = 1\n"), "recipe.toml:1: more than 500 dots in a line");
  EXPECT_EQ(parse_error("[" + dotted + "]\n"), "recipe.toml:1: more than 500 dots in a line");
  EXPECT_EQ(parse_error(std::string(1 << 19, '\n')),
            "recipe.toml: has 524288 bytes, a recipe has at most 262144");
}

TEST(Recipe, LettersBeyondAsciiStandInStringsAndComments) {
  for (const char* text : {
           "\xEF\xBB\xBF# é\na = \"é \\\" é\" # é\nb = 'é'\nc = \"\"\"é\né \"\" é\"\"\"\nd = '''é\n'é'''\n",
           "a = \"\"\"é\"é\"\"é\"\"\"\"\"#é\nb = ''''é''''\nc = \"\" # é\nd = '' # é\n",
           "'è' = 1\n\"é\" . 'ü'.a = 'é'\n[ \"é\".a.'é' ] # é\na = 'é'\n[[b.'é']]\n",
           "a = [ 'é', [], ['é', 3, \"é\",\n # é\n\"é\"], {}, {'é' = 'é', b = [\"é\"], c . \"é\" = 1.5, d = "
           "true} ]\n",
           "a = 1979-05-27 07:32:00 # é\nb = +1.5e-3 # é\nc = [1979-05-27, 'é', inf, 'é']\n",
           "a = \"\"\"\\\n  e\\u00e9é \\\\é \\\"é \"\"\"\r\nb = '\\' # é\n",
       }) {
    EXPECT_NO_THROW(check_toml(text, "r")) << text;
    // It is TOML: what is said against it is that no recipe has such keys.
    EXPECT_NE(parse_error(text).find("unknown"), std::string::npos) << text << parse_error(text);
  }
}

TEST(Recipe, LettersBeyondAsciiElsewhereAreRefused) {
  for (const char* text : {"a = 1\né = 2",
                           "a = \"b\"\né = 1",
                           "a = 'b\né",
                           "# é\né",
                           "a = \"\"\nb\xEF\xBB\x9F",
                           "\na = +'&é",
                           "\nm=3pe=\"é\"",
                           "\nm=3[\"é\"",
                           "\nm=3{é='é'",
                           "\nm=3 x=\"é\"",
                           "\nm=1979-05-27 0=\"é\"",
                           "\na\"é\"=1",
                           "\nm=[3=\"é\"",
                           "\nm=['a'\"é\"",
                           "\nm={a=3 'é'=1",
                           "\nm='''a''''''é'''",
                           "\nm=3,'é'",
                           "\n[a]'é'",
                           "\nm=[]'é'",
                           "\na = {}é",
                           "[a\n]é",
                           "\na ='' 'é'",
                           "a=[\n'é'}, =é"}) {
    try {
      check_toml(text, "recipe");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "recipe:2: a letter beyond ASCII outside of a string") << text;
    }
  }
  for (const char* text : {"a = \"\\é\"", "a = \"\"\"\\\né\"\"\"", "a = \"\"\"\\  \n\n é\"\"\""})
    EXPECT_NE(parse_error(text).find("a letter beyond ASCII behind a backslash"), std::string::npos) << text;
}

TEST(Recipe, EveryTruncationOfARecipeIsReadOrRefused) {
  const std::string text = to_toml(Recipe());
  for (size_t length = 0; length < text.size(); length += 7) {
    const std::string error = parse_error(text.substr(0, length));
    EXPECT_TRUE(error == "no error" || error.starts_with("recipe.toml:")) << error;
  }
}

TEST(Recipe, AssignmentsOverrideByDottedKeyAndByShorthand) {
  Recipe recipe;
  override_recipe(recipe, "optimizer.learning_rate=3e-4");
  override_recipe(recipe, "data=a dir/with = signs.txt");
  override_recipe(recipe, "init=models/small");
  override_recipe(recipe, "samples.prompt=\"two\\nlines\"");
  override_recipe(recipe, "model.tied=false");
  override_recipe(recipe, "training.steps=12");
  EXPECT_EQ(recipe.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(recipe.data.path, "a dir/with = signs.txt");
  EXPECT_EQ(recipe.model.init, "models/small");
  EXPECT_EQ(recipe.samples.prompt, "two\nlines");
  EXPECT_FALSE(recipe.model.tied);
  EXPECT_EQ(recipe.training.steps, 12);
}

TEST(Recipe, WrongAssignmentsAreNamed) {
  EXPECT_EQ(override_error("training.steps"),
            "command line: \"training.steps\" is no assignment; hint: write key=value, such as "
            "training.steps=1000");
  EXPECT_EQ(override_error("training.steps=many"),
            "command line: training.steps is \"many\", expected a whole number, 1 or more");
  EXPECT_EQ(override_error("training.steps=5\nmodel.layers=3"),
            "command line: training.steps is \"5\\x0amodel.layers=3\", expected a whole number, 1 or more");
  EXPECT_EQ(override_error("training.steps=\u0357"),
            "command line: training.steps is \"\u0357\", expected a whole number, 1 or more");
  EXPECT_EQ(override_error("model.layers=-1"),
            "command line: model.layers is -1, expected a whole number from 1 to 1024");
}

TEST(Recipe, WrittenAndReadBackItIsEqual) {
  Recipe recipe;
  recipe.data.path = "C:\\odd \"name\"\t\x01.txt";
  recipe.samples.prompt = "# not a comment\nsecond line é";
  recipe.optimizer.learning_rate = 0.1 + 0.2;
  recipe.optimizer.eps = 1e-12;
  recipe.training.seed = 123'456'789'012'345;
  recipe.model.tied = false;
  Recipe back = parse_recipe(to_toml(recipe), "written");
  EXPECT_EQ(to_toml(back), to_toml(recipe));
  EXPECT_EQ(back.data.path, recipe.data.path);
  EXPECT_EQ(back.samples.prompt, recipe.samples.prompt);
  EXPECT_EQ(back.optimizer.learning_rate, recipe.optimizer.learning_rate);
  EXPECT_EQ(back.training.seed, recipe.training.seed);
}

TEST(Recipe, DefaultKeysAreThoseThatWereNotChanged) {
  Recipe recipe;
  recipe.optimizer.beta2 = 0.99;
  const std::vector<std::string> keys = default_keys(recipe);
  EXPECT_EQ(keys.size(), recipe_fields().size() - 1);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), "optimizer.beta2"), 0);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), "optimizer.beta1"), 1);
}

TEST(Recipe, TheTableNamesEachMemberOnce) {
  // The places of the fields, in order, must fill the struct but for padding: a member that nobody named
  // leaves a hole.
  Recipe recipe;
  std::vector<std::pair<size_t, size_t>> places;  // begin and end in bytes
  for (const RecipeField& field : recipe_fields()) {
    std::visit(
        [&](auto* p) {
          const auto begin =
              static_cast<size_t>(reinterpret_cast<char*>(p) - reinterpret_cast<char*>(&recipe));
          places.emplace_back(begin, begin + sizeof *p);
        },
        field.place(recipe));
  }
  std::sort(places.begin(), places.end());
  places.emplace_back(sizeof(Recipe), 0);
  EXPECT_EQ(places[0].first, 0u);
  for (size_t i = 0; i + 1 < places.size(); i++) {
    const size_t end = places[i].second, next = places[i + 1].first;
    EXPECT_LE(end, next);
    EXPECT_TRUE(next == end || next == (end + 7) / 8 * 8) << "no key for the member at byte " << end;
  }
}

TEST(Recipe, EachDefaultIsInItsRange) {
  Recipe recipe;
  for (const RecipeField& field : recipe_fields()) {
    const RecipePlace place = field.place(recipe);
    double value = field.lowest;
    if (auto* const* number = std::get_if<int64_t*>(&place)) value = static_cast<double>(**number);
    if (auto* const* number = std::get_if<double*>(&place)) value = **number;
    EXPECT_TRUE(value >= field.lowest && value <= field.highest) << field.key;
  }
}

TEST(Recipe, TheHelpHasALineForEachKey) {
  const std::string help = recipe_help();
  EXPECT_EQ(static_cast<size_t>(std::count(help.begin(), help.end(), '\n')), recipe_fields().size());
}

TEST(Recipe, ContradictionsBetweenKeysAreRefused) {
  Recipe recipe;
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }),
            "recipe: data.path is empty, expected a text, a directory or JSON lines; hint: add data=FILE");
  recipe.data.path = "x";
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }), "no error");
  recipe.model.heads = 3;
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }),
            "recipe: model.width is 128, expected a multiple of model.heads, which is 3");
  recipe.model.heads = 4;
  recipe.model.kv_heads = 3;
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }),
            "recipe: model.heads is 4, expected a multiple of model.kv_heads, which is 3");
  recipe.model.kv_heads = 2;
  recipe.schedule.warm_up = 2000;
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }),
            "recipe: schedule.warm_up is 2000 steps, the run has 1000; hint: lower schedule.warm_up");
  recipe.schedule.warm_up = 20;
  recipe.training.steps = 1'000'000'000;
  recipe.training.batch = 65536;
  EXPECT_EQ(error_of([&] { check_recipe(recipe); }),
            "recipe: training.steps x batch x accumulation is 6.6e+13 sequences, expected at most 4.4e+12");
}

TEST(Recipe, TheRecipesThatComeWithTheProgramAreValid) {
  for (const char* name : {"shakespeare-char", "bible"}) {
    Recipe recipe = read_recipe(std::string(INTARSIA_SOURCE_DIR) + "/recipes/" + name + ".toml");
    override_recipe(recipe, "data=somewhere.txt");
    check_recipe(recipe);
  }
}

TEST(Recipe, AMissingFileAndADirectoryAreErrors) {
  EXPECT_EQ(error_of([] { read_recipe("no/such/recipe.toml"); }), "no/such/recipe.toml: no such file");
  EXPECT_NE(error_of([] { read_recipe("/"); }), "no error");
}

}  // namespace
}  // namespace intarsia

// Templates as PyPI's jinja2 renders them (test/golden/templates.py).
#include <cstdlib>

#include "golden.h"
#include "intarsia/chat_template.h"

namespace intarsia {
namespace {

using Ordered = nlohmann::ordered_json;

std::filesystem::path template_file(std::string_view name) {
  return std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/templates" / name;
}

Ordered read_ordered(std::string_view name) { return Ordered::parse(read_file(template_file(name))); }

ChatOptions golden_options() {
  setenv("TZ", "UTC", 1);
  ChatOptions options;
  options.now = 1735689600;
  return options;
}

// What a conversation becomes; nothing if it is refused.
std::optional<std::string> rendered(const std::string& source, const std::string& messages,
                                    const ChatOptions& options) {
  try {
    return ChatTemplate(source).render(messages, options).text;
  } catch (const Error& error) {
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    return std::nullopt;
  }
}

TEST(Template, PiecesOfJinjaAreWhatJinja2MakesOfThem) {
  const Ordered file = read_ordered("expressions.json");
  ChatOptions options = golden_options();
  options.variables = file["variables"].dump();
  int wrong = 0;
  for (const Ordered& piece : file["cases"]) {
    const std::string source = piece["source"];
    const auto text = rendered(source, "[]", options);
    const auto expected =
        piece["text"].is_null() ? std::nullopt : std::optional(piece["text"].get<std::string>());
    wrong += text != expected;
    EXPECT_EQ(text.value_or("an Error"), expected.value_or("an Error")) << source;
  }
  EXPECT_GT(file["cases"].size(), 500u);
  EXPECT_EQ(wrong, 0);
}

TEST(Template, PublishedTemplatesAreRenderedAsJinja2RendersThem) {
  const Ordered conversations = read_ordered("conversations.json"), cases = read_ordered("cases.json");
  int here = 0, renderings = 0;
  for (const auto& [name, golden] : cases.items()) {
    // Those that may not lie in the repository are looked for among the larger data.
    const std::string file = name + ".jinja";
    const auto path = golden["here"] ? template_file(file) : data_folder() / "templates" / file;
    if (!std::filesystem::exists(path)) continue;
    const std::string source = read_file(path);
    if (sha256(source) != golden["sha256"]) {
      ADD_FAILURE() << path << " is another version";
      continue;
    }
    ++here;
    for (const auto& [title, conversation] : conversations["conversations"].items()) {
      ChatOptions options = golden_options();
      Ordered variables = conversations["tokens"];
      if (conversation.contains("variables")) variables.update(conversation["variables"]);
      options.variables = variables.dump();
      if (conversation.contains("tools")) options.tools = conversation["tools"].dump();
      options.add_generation_prompt = !conversation.contains("no_prompt");
      const auto text = rendered(source, conversation["messages"].dump(), options);
      const Ordered& expected = golden["text"][title];
      EXPECT_EQ(text ? sha256(*text) : "an Error",
                expected.is_null() ? "an Error" : expected.get<std::string>())
          << name << ": " << title << ": " << text.value_or("");
      ++renderings;
    }
  }
  EXPECT_GE(here, 10);
  EXPECT_EQ(renderings, here * 12);
}

}  // namespace
}  // namespace intarsia

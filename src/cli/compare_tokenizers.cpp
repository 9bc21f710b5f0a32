#include "cli/compare_tokenizers.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/format.h"
#include "page/page.h"
#include "text/token_spans.h"

namespace intarsia::cli {
namespace {

struct Cut {
  Ids ids;
  std::vector<TokenSpan> spans;
};

Cut cut_of(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids = tokenizer.encode(text);
  auto spans = token_spans(tokenizer, text, ids);
  return {std::move(ids), std::move(spans)};
}

std::string numbers(const NamedTokenizer& one, const Cut& cut, std::string_view text) {
  const double tokens = std::max<double>(1, static_cast<double>(cut.ids.size()));
  return fmt::format("{}: {} tokens of {}, {:.3f} bytes a token", one.name,
                     format_count(static_cast<int64_t>(cut.ids.size())), format_count(one.tokenizer.size()),
                     static_cast<double>(text.size()) / tokens);
}

// Places where a token begins.
std::vector<bool> starts_of(const Cut& cut, size_t size) {
  std::vector<bool> starts(size + 1);
  for (const TokenSpan& span : cut.spans) {
    if (span.end > span.begin) starts[span.begin] = true;
  }
  return starts;
}

std::string half_page(const NamedTokenizer& one, const Cut& cut, const std::vector<bool>& other,
                      std::string_view text) {
  std::string html =
      fmt::format("<section class=\"half\"><h2>{}</h2><p class=\"note\">{}</p><pre class=\"text\">",
                  escape_html(one.name), escape_html(numbers(one, cut, text)));
  size_t done = 0;
  for (size_t i = 0; i < cut.ids.size(); ++i) {
    const TokenSpan& span = cut.spans[i];
    if (span.begin > done) html += escape_html(text.substr(done, span.begin - done));
    done = std::max(done, span.end);
    if (span.end == span.begin) continue;
    const bool differs = !other[span.begin] || !other[span.end];
    html += fmt::format("<span class=\"t{}{}\" title=\"{} {}\">{}</span>", i % 4, differs ? " x" : "",
                        cut.ids[i], escape_html(one.tokenizer.piece(cut.ids[i])),
                        escape_html(text.substr(span.begin, span.end - span.begin)));
  }
  html += escape_html(text.substr(std::min(done, text.size())));
  return html + "</pre></section>\n";
}

constexpr std::string_view page_styles =
    "<style>.halves{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}"
    ".text{white-space:pre-wrap;overflow-wrap:anywhere}"
    ".t0{background:light-dark(#dceaf7,#1d3347)}.t1{background:light-dark(#e4f2dd,#223a1f)}"
    ".t2{background:light-dark(#f7e9d4,#44341a)}.t3{background:light-dark(#efe0f2,#3b2640)}"
    ".x{text-decoration:underline}</style>\n";

}  // namespace

std::string coloured_tokens(const Tokenizer& tokenizer, std::string_view text, std::span<const int32_t> ids,
                            const Terminal& screen) {
  constexpr std::array<std::string_view, 4> colours = {"44", "42", "43", "45"};
  const auto spans = token_spans(tokenizer, text, ids);
  std::string out;
  size_t done = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (spans[i].end == spans[i].begin) continue;
    out += text.substr(done, std::max(spans[i].begin, done) - done);
    const std::string_view part = text.substr(spans[i].begin, spans[i].end - spans[i].begin);
    done = spans[i].end;
    if (screen.colour) {
      out += fmt::format("\x1b[30;{}m{}\x1b[0m", colours[i % colours.size()], part);
    } else {
      out += (out.empty() ? "" : "|") + std::string(part);
    }
  }
  return out + std::string(text.substr(done));
}

std::string comparison_page(const NamedTokenizer& a, const NamedTokenizer& b, std::string_view text,
                            std::string_view text_name) {
  const Cut first = cut_of(a.tokenizer, text), second = cut_of(b.tokenizer, text);
  auto first_starts = starts_of(first, text.size()), second_starts = starts_of(second, text.size());
  // Both end where the text does.
  first_starts[text.size()] = second_starts[text.size()] = true;
  Page page;
  page.title = fmt::format("{} and {}", a.name, b.name);
  page.place = "tokenizers";
  page.body = std::string(page_styles) + fmt::format(
                                             "<h1>{}</h1>\n<p class=\"note\">{}, {}. Underlined: tokens that "
                                             "begin or end where the other has no cut.</p>\n",
                                             escape_html(page.title), escape_html(text_name),
                                             format_bytes(static_cast<double>(text.size())));
  page.body += "<div class=\"halves\">\n" + half_page(a, first, second_starts, text) +
               half_page(b, second, first_starts, text) + "</div>\n";
  page.data = "{}";
  return page_html(page);
}

std::string comparison_text(const NamedTokenizer& a, const NamedTokenizer& b, std::string_view text,
                            const Terminal& screen) {
  const Cut first = cut_of(a.tokenizer, text), second = cut_of(b.tokenizer, text);
  std::string out = numbers(a, first, text) + "\n" + numbers(b, second, text) + "\n";
  int shown = 0;
  for (size_t begin = 0; begin < text.size() && shown < 5;) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    const Ids x = a.tokenizer.encode(line), y = b.tokenizer.encode(line);
    const std::string left = coloured_tokens(a.tokenizer, line, x, screen);
    const std::string right = coloured_tokens(b.tokenizer, line, y, screen);
    if (left == right) continue;
    out.append("\n").append(left).append("\n").append(right).append("\n");
    ++shown;
  }
  return out;
}

}  // namespace intarsia::cli

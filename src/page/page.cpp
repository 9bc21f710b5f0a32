#include "page/page.h"

#include <fmt/core.h>

#include "core/format.h"

namespace intarsia {

namespace {

constexpr std::string_view style =
#include "page/page.css.inl"
    ;
constexpr std::string_view script =
#include "page/page.js.inl"
    ;

// A square inlaid with four fitted pieces.
constexpr std::string_view mark =
    R"svg(<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M0 0h10L6 7 0 5z" fill="var(--s1)"/>)svg"
    R"svg(<path d="M10 0h6v9L6 7z" fill="var(--s2)"/><path d="M0 5l6 2-1 9H0z" fill="var(--s3)"/>)svg"
    R"svg(<path d="M6 7l10 2v7H5z" fill="var(--s6)"/></svg>)svg";
constexpr std::string_view icon =
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M0 0h10L6 7 0 5z' fill='%231b49bc'/%3E%3Cpath d='M10 0h6v9L6 7z' fill='%23b55302'/%3E"
    "%3Cpath d='M0 5l6 2-1 9H0z' fill='%23058366'/%3E%3Cpath d='M6 7l10 2v7H5z' "
    "fill='%23514f0a'/%3E%3C/svg%3E";

// Before the first paint, so that a page in the other theme does not flash.
constexpr std::string_view early =
    "try { const t = localStorage.getItem('theme'); if (t && t != 'auto') "
    "document.documentElement.dataset.theme = t; }"
    " catch {}";

}  // namespace

std::string_view page_style() { return style; }
std::string_view page_script() { return script; }

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string script_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : repair_utf8(text)) {
    const bool plain =
        static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
    if (plain)
      out += c;
    else
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out + '"';
}

std::string page_html(const Page& page) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n"
      "<link rel=\"icon\" href=\"{}\">\n<style>{}{}</style>\n<script>{}</script>\n</head>\n<body>\n<div "
      "class=\"page\">\n",
      escape_html(page.title), icon, style, page.style, early);
  html += fmt::format(
      "<header class=\"top\"><a class=\"mark\" href=\"#main\">{}intarsia</a><span class=\"muted\">{}</span>"
      "<span class=\"space\"></span>{}"
      "<button class=\"plain\" id=\"theme\" type=\"button\" data-script hidden><span class=\"long\">Theme: "
      "</span>"
      "<b>auto</b></button></header>\n",
      mark, escape_html(page.place), page.state);
  html += fmt::format("<main id=\"main\">\n{}</main>\n<footer class=\"foot\">{}</footer>\n</div>\n",
                      page.body, page.foot);
  html += fmt::format(
      "<script type=\"application/json\" id=\"data\">{}</script>\n<script>{}</script>\n</body>\n</html>\n",
      page.data, script);
  return html;
}

}  // namespace intarsia

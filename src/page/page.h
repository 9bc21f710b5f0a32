// What every page that intarsia writes has in common: style, script, the mark, escaping.
#pragma once
#include <string>
#include <string_view>

namespace intarsia {

std::string_view page_style();  // CSS
std::string_view
page_script();  // JavaScript, run at the end of the body; reads the JSON of <script id="data">

// Text between tags or in a quoted attribute: & < > " ' escaped, broken UTF-8 and control characters
// replaced.
std::string escape_html(std::string_view text);
// Text as a JSON string in a <script>, quotes included: nothing in it can end the script.
std::string script_string(std::string_view text);

// A page from <!doctype> to its script. `state` is the HTML of the bar's right side, `body` that of the main
// part, `foot` that of the footer, `data` the JSON that the script reads, `style` the page's own CSS; all are
// taken as they are. `title` is escaped.
struct Page {
  std::string title, place, state, body, foot, data, style;
};
std::string page_html(const Page& page);

}  // namespace intarsia

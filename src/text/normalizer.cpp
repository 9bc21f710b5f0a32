#include "text/normalizer.h"

#include "text/unicode.h"

namespace intarsia {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos; at = found + from.size()) {
    out.append(text.substr(at, found - at));
    out.append(to);
  }
  out.append(text.substr(at));
  return out;
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::nfc:
        out = to_nfc(out);
        break;
      case Kind::prepend:
        if (!out.empty()) out.insert(0, step.to);
        break;
      case Kind::replace:
        out = replace_all(out, step.from, step.to);
        break;
    }
  }
  return out;
}

}  // namespace intarsia

// Einstein's notation for two operands, brought to one batched matrix product.
#include <algorithm>
#include <string>

#include "op/record.h"

namespace intarsia {
namespace {

bool has(const std::string& letters, char c) { return letters.find(c) != std::string::npos; }

struct Formula {
  std::string a, b, result;
};

// Each "..." is one dot at first, and then a label for each axis that it covers in an operand: characters
// that are no letters, the last axis first, so that the axes of both operands meet from the end.
constexpr char dots = '.';
constexpr int most_covered = Shape::max_rank;
std::string covered(int axes) {
  std::string labels;
  for (int i = axes; i > 0; i--) labels += static_cast<char>(i);
  return labels;
}
std::string with_axes(const std::string& part, const std::string& labels) {
  const size_t at = part.find(dots);
  return at == std::string::npos ? part : part.substr(0, at) + labels + part.substr(at + 1);
}
// The labels of an operand of this rank.
std::string with_axes(const std::string& part, int rank) {
  return with_axes(part, covered(std::max(0, rank - static_cast<int>(part.size()) + 1)));
}
std::string name_of(char label) {
  if (label > most_covered) return std::string(1, label);
  return "axis -" + std::to_string(label) + " of ...";
}
// As the formula has it.
std::string shown(const std::string& part) {
  std::string text;
  for (char c : part) text += c == dots ? "..." : std::string(1, c);
  return text;
}

Formula parsed(std::string_view text) {
  std::string letters;
  for (size_t i = 0; i < text.size(); i++) {
    if (text.substr(i).starts_with("...")) {
      letters += dots;
      i += 2;
    } else if (text[i] == dots) {
      fail("einsum: \"{}\" in formula \"{}\", expected letters or \"...\"", text[i], text);
    } else if (text[i] != ' ') {
      letters += text[i];
    }
  }
  const size_t comma = letters.find(','), arrow = letters.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow)
    fail("einsum: the formula is \"{}\", expected the form \"ij,jk->ik\"", text);
  Formula f{letters.substr(0, comma), letters.substr(comma + 1, arrow - comma - 1),
            letters.substr(arrow + 2)};
  for (const std::string* part : {&f.a, &f.b, &f.result})
    for (size_t i = 0; i < part->size(); i++) {
      const char c = (*part)[i];
      if (c != dots && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        fail("einsum: \"{}\" in formula \"{}\", expected letters", c, text);
      if (part->find(c, i + 1) != std::string::npos)
        fail("einsum: {} occurs twice in \"{}\" of formula \"{}\", expected once", shown({c}), shown(*part),
             text);
    }
  for (char c : f.result)
    if (f.a.find(c) == std::string::npos && f.b.find(c) == std::string::npos)
      fail("einsum: the result's {} is in neither operand of formula \"{}\"", shown({c}), text);
  return f;
}

// An operand whose axes carry letters.
struct Labelled {
  Tensor x;
  std::string letters;
  int64_t size(char c) const { return x.dim(static_cast<int>(letters.find(c))); }
};

Labelled labelled(const char* name, const Tensor& x, const std::string& part) {
  require_float(tag::einsum, name, x);
  const std::string letters = with_axes(part, x.rank());
  const bool any_more = has(part, dots);
  if (x.rank() != static_cast<int>(letters.size()))
    fail("einsum: {} has shape {}, expected {}{} axes, {}", name, x.shape().text(),
         any_more ? "at least " : "", part.size() - any_more, shown(part));
  return {x, letters};
}

// Axes of "..." that are 1 long in one operand and longer in the other are left to the other.
void drop_broadcast(Labelled& o, const Labelled& other) {
  Axes axes;
  std::string kept;
  for (size_t i = 0; i < o.letters.size(); i++) {
    const char c = o.letters[i];
    if (c <= most_covered && has(other.letters, c) && o.size(c) == 1 && other.size(c) != 1)
      axes.append(static_cast<int64_t>(i));
    else
      kept += c;
  }
  if (axes.rank() > 0) o = {sum(o.x, axes), kept};
}

// Sums over the letters that neither the other operand nor the result has.
void sum_own(Labelled& o, const std::string& other, const std::string& result) {
  Axes axes;
  std::string kept;
  for (size_t i = 0; i < o.letters.size(); i++)
    if (has(other, o.letters[i]) || has(result, o.letters[i]))
      kept += o.letters[i];
    else
      axes.append(static_cast<int64_t>(i));
  if (axes.rank() > 0) o = {sum(o.x, axes), kept};
}

Tensor ordered(const Labelled& o, const std::string& letters) {
  Axes axes;
  for (char c : letters) axes.append(static_cast<int64_t>(o.letters.find(c)));
  return permute(o.x, axes);
}

}  // namespace

Tensor einsum(std::string_view formula, const Tensor& a, const Tensor& b) {
  const Formula f = parsed(formula);
  Labelled x = labelled("a", a, f.a), y = labelled("b", b, f.b);
  const int axes_a = static_cast<int>(x.letters.size() - f.a.size()) + 1,
            axes_b = static_cast<int>(y.letters.size() - f.b.size()) + 1;
  const int most = std::max(has(f.a, dots) ? axes_a : 0, has(f.b, dots) ? axes_b : 0);
  const std::string result = with_axes(f.result, covered(most));
  drop_broadcast(x, y);
  drop_broadcast(y, x);
  for (char c : x.letters)
    if (has(y.letters, c) && x.size(c) != y.size(c))
      fail("einsum: {} is {} long in a {} and {} long in b {}", name_of(c), x.size(c), a.shape().text(),
           y.size(c), b.shape().text());
  const std::string of_a = x.letters;
  sum_own(x, y.letters, result);
  sum_own(y, of_a, result);
  std::string batch, rows, inner, columns;
  for (char c : x.letters) (!has(y.letters, c) ? rows : has(result, c) ? batch : inner) += c;
  for (char c : y.letters)
    if (!has(x.letters, c)) columns += c;

  // [batch, rows, inner] times [batch, inner, columns], each group one axis
  Shape shape;
  int64_t batches = 1, m = 1, k = 1, n = 1;
  for (char c : batch) {
    shape.append(x.size(c));
    batches *= x.size(c);
  }
  for (char c : rows) {
    shape.append(x.size(c));
    m *= x.size(c);
  }
  for (char c : columns) {
    shape.append(y.size(c));
    n *= y.size(c);
  }
  for (char c : inner) k *= x.size(c);
  const Tensor left = reshape(ordered(x, batch + rows + inner), {batches, m, k});
  const Tensor right = reshape(ordered(y, batch + inner + columns), {batches, k, n});
  return ordered({reshape(matmul(left, right), shape), batch + rows + columns}, result);
}

Tensor outer(const Tensor& a, const Tensor& b) {
  if (a.rank() != 1 || b.rank() != 1)
    fail("outer: a and b have shapes {} and {}, expected one axis each", a.shape().text(), b.shape().text());
  return reshape(a, {a.dim(0), 1}) * b;
}

}  // namespace intarsia

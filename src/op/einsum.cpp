// Einstein's notation for two operands, brought to one batched matrix product.
#include <string>

#include "op/record.h"

namespace intarsia {
namespace {

struct Formula {
  std::string a, b, result;
};

Formula parsed(std::string_view text) {
  std::string letters;
  for (char c : text)
    if (c != ' ') letters += c;
  const size_t comma = letters.find(','), arrow = letters.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow)
    fail("einsum: the formula is \"{}\", expected the form \"ij,jk->ik\"", text);
  Formula f{letters.substr(0, comma), letters.substr(comma + 1, arrow - comma - 1),
            letters.substr(arrow + 2)};
  for (const std::string* part : {&f.a, &f.b, &f.result})
    for (size_t i = 0; i < part->size(); i++) {
      const char c = (*part)[i];
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        fail("einsum: \"{}\" in formula \"{}\", expected letters", c, text);
      if (part->find(c, i + 1) != std::string::npos)
        fail("einsum: {} occurs twice in \"{}\" of formula \"{}\", expected once", c, *part, text);
    }
  for (char c : f.result)
    if (f.a.find(c) == std::string::npos && f.b.find(c) == std::string::npos)
      fail("einsum: the result's {} is in neither operand of formula \"{}\"", c, text);
  return f;
}

bool has(const std::string& letters, char c) { return letters.find(c) != std::string::npos; }

// An operand whose axes carry letters.
struct Labelled {
  Tensor x;
  std::string letters;
  int64_t size(char c) const { return x.dim(static_cast<int>(letters.find(c))); }
};

Labelled labelled(const char* name, const Tensor& x, const std::string& letters) {
  require_float(tag::einsum, name, x);
  if (x.rank() != static_cast<int>(letters.size()))
    fail("einsum: {} has shape {}, expected {} axes, {}", name, x.shape().text(), letters.size(), letters);
  return {x, letters};
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
  for (char c : f.a)
    if (has(f.b, c) && x.size(c) != y.size(c))
      fail("einsum: {} is {} long in a {} and {} long in b {}", c, x.size(c), a.shape().text(), y.size(c),
           b.shape().text());
  sum_own(x, f.b, f.result);
  sum_own(y, f.a, f.result);
  std::string batch, rows, inner, columns;
  for (char c : x.letters) (!has(y.letters, c) ? rows : has(f.result, c) ? batch : inner) += c;
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
  return ordered({reshape(matmul(left, right), shape), batch + rows + columns}, f.result);
}

Tensor outer(const Tensor& a, const Tensor& b) {
  if (a.rank() != 1 || b.rank() != 1)
    fail("outer: a and b have shapes {} and {}, expected one axis each", a.shape().text(), b.shape().text());
  return reshape(a, {a.dim(0), 1}) * b;
}

}  // namespace intarsia

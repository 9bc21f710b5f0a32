// Mutants: the walk is run with one operation's value, or one gradient that it hands on, made wrong in one
// way, and must fail. An operation that records nothing of its own name is composed of others; it has the
// places of all of them.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "kernel/kernels.h"
#include "op/walk.h"

namespace intarsia::walk {
namespace {

// The n-th record that an operation makes, and there its value (-1) or the gradient to an input.
struct Place {
  int record, output;
  auto operator<=>(const Place&) const = default;
};
struct Seen {
  std::string op;
  bool real = false;   // a float type
  bool swaps = false;  // has two axes longer than 1
};

enum class Wrong { factor, sign, dropped, swapped };
const char* text(Wrong wrong) {
  switch (wrong) {
    case Wrong::factor:
      return "times 1.01";
    case Wrong::sign:
      return "with the other sign";
    case Wrong::dropped:
      return "with every other term dropped";
    case Wrong::swapped:
      return "with axes swapped";
  }
  return "";
}

// The last two axes longer than 1, or -1.
std::pair<int, int> swappable(const Shape& shape) {
  int last = -1;
  for (int i = shape.rank() - 1; i >= 0; i--) {
    if (shape[i] < 2) continue;
    if (last >= 0) return {i, last};
    last = i;
  }
  return {-1, -1};
}

// The elements of x with two axes swapped, in the shape of x.
Array with_swapped_axes(const Array& x) {
  const auto [a, b] = swappable(x.shape());
  if (a < 0) return x;
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return kernel::contiguous(x.view(shape, strides)).reshape(x.shape());
}

Array made_wrong(const Array& x, Wrong wrong) {
  if (wrong == Wrong::swapped) return with_swapped_axes(x);
  const Array wide = kernel::cast(x, DType::f64);
  Values v(wide.span<double>().begin(), wide.span<double>().end());
  for (size_t i = 0; i < v.size(); i++) {
    double& e = v[i];
    if (wrong == Wrong::sign) e = -e;
    if (wrong == Wrong::dropped && i % 2 == 0) e = 0;
    if (wrong == Wrong::factor) e = is_float(x.dtype()) ? 1.01 * e : x.dtype() == DType::boolean ? !e : e + 1;
  }
  return kernel::cast(Array::copy_of(std::span<const double>(v), x.shape()), x.dtype());
}

bool same_bits(const Array& a, const Array& b) {
  const Array x = kernel::contiguous(a), y = kernel::contiguous(b);
  return x.bytes() == 0 || std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

// Notes the places where an operation can be made wrong, and makes it wrong at one of them.
class Mutation final : public detail::Meddler {
 public:
  std::map<Place, Seen> seen;
  bool changed = false;  // whether some result became another

  Mutation() = default;
  Mutation(Place place, Wrong wrong) : active_(true), place_(place), wrong_(wrong) {}

  Array value(const char* op, Array y) override {
    record_++;
    return at({record_, -1}, op, std::move(y));
  }
  void recorded(const detail::Node& node) override { records_[node.order] = record_; }
  Array gradient(const detail::Node& node, int input, Array dx) override {
    const auto record = records_.find(node.order);
    return record == records_.end() ? dx : at({record->second, input}, node.op, std::move(dx));
  }

  // Wraps the operation of a case: only what it records itself counts, not what the walk does around it.
  void wrap(Case& c) {
    c.op = [this, op = c.op](std::span<const Tensor> x) {
      record_ = -1;
      records_.clear();
      detail::meddler = this;
      Tensor y = op(x);
      detail::meddler = &gradients_only_;
      return y;
    };
  }

 private:
  Array at(Place place, const char* op, Array x) {
    Seen& s = seen[place];
    s.op = op;
    s.real |= is_float(x.dtype());
    s.swaps |= swappable(x.shape()).first >= 0;
    if (!active_ || place != place_) return x;
    Array y = made_wrong(x, wrong_);
    changed |= !same_bits(x, y);
    return y;
  }

  // What meddles after the operation has returned: its gradients, not the walk's own records.
  struct GradientsOnly final : Meddler {
    Mutation& owner;
    explicit GradientsOnly(Mutation& m) : owner(m) {}
    Array value(const char*, Array y) override { return y; }
    void recorded(const detail::Node&) override {}
    Array gradient(const detail::Node& node, int input, Array dx) override {
      return owner.gradient(node, input, std::move(dx));
    }
  } gradients_only_{*this};

  bool active_ = false;
  Place place_ = {};
  Wrong wrong_ = {};
  int record_ = -1;
  std::map<uint64_t, int> records_;  // by the order of the node
};

struct WithoutMeddler {
  ~WithoutMeddler() { detail::meddler = nullptr; }
};

// Whether the walk of an operation fails; it ends at the first failure.
bool walk_fails(const Operation& op, Mutation& mutation) {
  WithoutMeddler cleanup;
  testing::TestPartResultArray failures;
  testing::ScopedFakeTestPartResultReporter reporter(&failures);
  const bool before = GTEST_FLAG_GET(throw_on_failure);
  GTEST_FLAG_SET(throw_on_failure, true);
  try {
    Walk walk([&](Case c) {
      mutation.wrap(c);
      check_case(c);
    });
    op.cases(walk);
  } catch (const std::exception&) {}
  GTEST_FLAG_SET(throw_on_failure, before);
  for (int i = 0; i < failures.size(); i++)
    if (failures.GetTestPartResult(i).failed()) return true;
  return false;
}

std::string place_text(const Place& place, const Seen& seen, const Operation& op) {
  std::string what = place.output < 0 ? "value" : "gradient " + std::to_string(place.output);
  if (seen.op != op.name) what += " of its " + seen.op + " (record " + std::to_string(place.record) + ")";
  return what;
}

// Why a mutant cannot change a result; empty where it can. All such cases are known beforehand: a mutant that
// leaves every bit alone for another reason shows that the walk's inputs are too weak.
std::string excuse(const Operation& op, const Place& place, const Seen& seen, Wrong wrong) {
  static const std::set<std::string> means = {"mse_loss", "mae_loss",   "huber_loss", "bce_with_logits",
                                              "kl_loss",  "hinge_loss", "nll_loss"};
  const bool error = seen.op.ends_with("_error") || seen.op == "where",
             joined = seen.op == "mean" || seen.op == "sum";
  if (wrong == Wrong::swapped && means.contains(op.name) && (place.output < 0 ? error : joined))
    return "a mean over all elements does not depend on their order";
  static const std::set<std::string> symmetric = {"cholesky", "symmetric_eigen"};
  if (wrong == Wrong::swapped && symmetric.contains(op.name) && place.output == 0)
    return "the input is symmetric: a gradient and its transpose are one";
  return "";
}

// Where an operation can be made wrong. Other records beside its own belong to the case around it.
std::map<Place, Seen> places_of(const Operation& op) {
  Mutation survey;
  EXPECT_FALSE(walk_fails(op, survey)) << op.name << " fails without a mutant";
  const auto own = [&](const auto& item) { return item.second.op == op.name; };
  if (std::any_of(survey.seen.begin(), survey.seen.end(), own)) std::erase_if(survey.seen, std::not_fn(own));
  return survey.seen;
}

TEST(Mutate, TheWalkFailsForEveryMutant) {
  std::vector<Operation> all = listed_operations();
  const std::vector<Operation> pointwise = pointwise_operations();
  all.insert(all.end(), pointwise.begin(), pointwise.end());
  int made = 0, killed = 0;
  std::string idle;
  for (const Operation& op : all) {
    bool has_gradient = false;
    int made_here = 0, killed_here = 0;
    for (const auto& [place, seen] : places_of(op)) {
      has_gradient |= place.output >= 0;
      for (Wrong wrong : {Wrong::factor, Wrong::sign, Wrong::dropped, Wrong::swapped}) {
        if (wrong == Wrong::sign && !seen.real) continue;  // integers here are counts, places and truth
        if (wrong == Wrong::swapped && !seen.swaps) continue;
        Mutation mutation(place, wrong);
        const bool fails = walk_fails(op, mutation);
        const std::string what =
            std::string(op.name) + ": " + place_text(place, seen, op) + " " + text(wrong);
        if (const std::string reason = excuse(op, place, seen, wrong); !reason.empty()) {
          idle += "  " + what + ": " + reason + "\n";
          EXPECT_FALSE(fails) << what << " is excused, but fails";
          continue;
        }
        made_here++;
        killed_here += fails;
        EXPECT_TRUE(fails) << what << (mutation.changed ? " survives" : " changes no bit: weak inputs");
      }
    }
    if (!has_gradient) idle += std::string("  ") + op.name + ": has no gradient\n";
    std::printf("  %-20s %3d / %d\n", op.name, killed_here, made_here);
    made += made_here;
    killed += killed_here;
  }
  std::printf("cannot change a result, not counted:\n%s", idle.c_str());
  std::printf("mutants killed / made: %d / %d\n", killed, made);
  EXPECT_GT(made, 500);
}

}  // namespace
}  // namespace intarsia::walk

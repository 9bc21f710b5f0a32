// Tensors and the tape: eager evaluation that remembers how to go back.
//
// A Tensor is an Array plus, if a gradient may flow through it, a node of the tape. Backward closures capture
// Arrays only (through Saved), so a graph never refers to itself and its capture list is the list of what is
// kept. The tape belongs to the thread that records it; two threads may record two graphs at the same time.
#pragma once
#include <functional>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "intarsia/array.h"

namespace intarsia {

class Tensor;
class Gradients;

namespace detail {

struct Node;
void retain(Node*);
void release(Node*);
void* node_memory(size_t bytes);
void free_node_memory(void*, size_t bytes);

// A shared pointer to a node, counted in the node itself.
class NodeRef {
 public:
  NodeRef() = default;
  explicit NodeRef(Node* adopt) : node_(adopt) {}
  NodeRef(const NodeRef& o) : node_(o.node_) {
    if (node_) retain(node_);
  }
  NodeRef(NodeRef&& o) noexcept : node_(std::exchange(o.node_, nullptr)) {}
  NodeRef& operator=(NodeRef o) noexcept {
    std::swap(node_, o.node_);
    return *this;
  }
  ~NodeRef() {
    if (node_) release(node_);
  }
  Node* get() const { return node_; }
  Node* operator->() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }
  Node* take() { return std::exchange(node_, nullptr); }

 private:
  Node* node_ = nullptr;
};

// One recorded operation, or a leaf (a parameter). `backward` runs once; then what it saved is freed.
struct Node {
  static constexpr int max_inputs = 8;
  std::atomic<int32_t> references{1};
  bool leaf = false, found = false, refuses = false, spent = false;
  int8_t input_count = 0;
  DType dtype = DType::f32;  // of the gradient
  Shape shape;               // of the value
  uint64_t order = 0;        // inputs always have a smaller one
  const char* op = "parameter";
  Array gradient;
  Node* next_dying = nullptr;
  NodeRef input[max_inputs];
  virtual void backward(const Array& dy, Gradients& dx) = 0;
  virtual void forget() = 0;  // drop what was saved
  virtual size_t bytes() const = 0;
  virtual ~Node() = default;
};

// Throws if an input lies in a mapped file that was shortened: what was computed from it means nothing.
void check_files(const char* op, std::span<const Tensor* const> inputs);
Node* start_node(Node*, const char* op, const Array& y, const Tensor* const* inputs, int count);

// A test's hand in what operations compute (test/op/mutate.cpp): it may change each value that is recorded or
// declared nondifferentiable, and each gradient that a backward hands on. Null outside such a test.
struct Meddler {
  virtual Array value(const char* op, Array y) = 0;
  virtual void recorded(const Node& node) = 0;  // the node of the value before
  virtual Array gradient(const Node& node, int input, Array dx) = 0;

 protected:
  ~Meddler() = default;
};
extern Meddler* meddler;

template <class F>
struct NodeOf final : Node {
  union {
    F function;
  };
  bool alive = true;
  explicit NodeOf(F&& f) : function(std::move(f)) {}
  ~NodeOf() override { forget(); }
  void backward(const Array& dy, Gradients& dx) override { function(dy, dx); }
  void forget() override {
    if (alive) {
      alive = false;
      function.~F();
    }
  }
  size_t bytes() const override { return sizeof *this; }
};

}  // namespace detail

class Tensor {
 public:
  Tensor() = default;
  Tensor(Array value) : array_(std::move(value)) {}  // a constant
  Tensor(Array value, detail::NodeRef node) : array_(std::move(value)), node_(std::move(node)) {}

  const Array& array() const { return array_; }
  const Shape& shape() const { return array_.shape(); }
  int64_t dim(int axis) const { return array_.dim(axis); }
  int rank() const { return array_.rank(); }
  DType dtype() const { return array_.dtype(); }
  bool needs_gradient() const { return static_cast<bool>(node_); }
  // Of a parameter after backward(); an empty Array if none arrived.
  Array gradient() const;
  void clear_gradient() const;
  // The value of a tensor with one element, as a double.
  double item() const;
  explicit operator bool() const { return static_cast<bool>(array_); }
  const detail::NodeRef& node() const { return node_; }

 private:
  Array array_;
  detail::NodeRef node_;
};

// A leaf whose gradient is kept. `gradient_dtype` is what gradients are summed in: f32 for weights of 16
// bits.
Tensor parameter(Array value);
Tensor parameter(Array value, DType gradient_dtype);

// Where a backward closure puts its results. Sums over broadcast axes, casts and accumulation happen in
// add().
class Gradients {
 public:
  Gradients(detail::Node& node, Array* dy = nullptr) : node_(node), dy_(dy) {}
  bool needs(int input) const { return static_cast<bool>(node_.input[input]); }
  DType dtype(int input) const { return node_.input[input]->dtype; }  // wanted; any float type is accepted
  const Shape& shape(int input) const { return node_.input[input]->shape; }
  void add(int input, Array gradient);  // ignored where not needed
  // Adds to a part only: `part` cuts a view out of any array of the input's shape, `gradient` has the view's
  // shape.
  void add_part(int input, const std::function<Array(const Array&)>& part, const Array& gradient);

  // The incoming gradient dy for good: a long backward need not hold its memory to the end.
  Array take(const Array& dy) {
    if (dy_) return std::move(*dy_);
    return dy;
  }

 private:
  detail::Node& node_;
  Array* dy_;
};

// An Array kept for backward. Reading it throws if its memory was written after it was saved.
class Saved {
 public:
  Saved(const Array& array) : array_(array), version_(array.version()) {}
  Saved(const Tensor& tensor) : Saved(tensor.array()) {}
  const Array& operator*() const {
    if (array_.version() != version_) stale();
    return array_;
  }
  const Array* operator->() const { return &**this; }

 private:
  [[noreturn]] static void stale();
  Array array_;
  uint32_t version_;
};

bool recording();
// No operation is recorded while one of these lives in the thread.
class NoGradient {
 public:
  NoGradient();
  ~NoGradient();
  NoGradient(const NoGradient&) = delete;
  NoGradient& operator=(const NoGradient&) = delete;

 private:
  bool before_;
};

// Hands a result to the tape: the value y of the operation `op`, computed from `inputs`, and its backward
// `(const Array& dy, Gradients& dx)`, which calls dx.add(i, ...) for each input. Operations inside it are not
// recorded.
template <class F>
Tensor record(const char* op, Array y, std::span<const Tensor* const> inputs, F&& backward) {
  detail::check_files(op, inputs);
  bool wanted = false;
  for (const Tensor* t : inputs) wanted |= t->needs_gradient();
  if (!wanted || !recording()) return Tensor(std::move(y));
  if (detail::meddler) y = detail::meddler->value(op, std::move(y));
  using N = detail::NodeOf<std::decay_t<F>>;
  detail::Node* node = new (detail::node_memory(sizeof(N))) N(std::decay_t<F>(std::forward<F>(backward)));
  detail::start_node(node, op, y, inputs.data(), static_cast<int>(inputs.size()));
  return Tensor(std::move(y), detail::NodeRef(node));
}
template <class F>
Tensor record(const char* op, Array y, std::initializer_list<const Tensor*> inputs, F&& backward) {
  return record(op, std::move(y), std::span<const Tensor* const>(inputs.begin(), inputs.size()),
                std::forward<F>(backward));
}

// The value, through which no gradient flows: a deliberate stop.
Tensor stop_gradient(const Tensor& x);
// The value y of an operation that has no gradient: backward through it is an error that names `op`.
Tensor nondifferentiable(const char* op, Array y, std::initializer_list<const Tensor*> inputs);

// Gradients of `loss` (one element) are added to the parameters it was computed from. The graph is freed on
// the way.
void backward(const Tensor& loss);
// d loss / d each of `wrt` (any tensors of the graph), zeros where nothing arrives. Parameters' own gradients
// are left alone. With keep, the graph can be used again.
std::vector<Array> grad(const Tensor& loss, std::span<const Tensor> wrt, bool keep = false);

// Runs f without keeping what its backward needs, and runs it again during backward (gradient checkpointing,
// Chen et al. 2016). f must be a pure function of its inputs and of tensors it holds; random state is by
// counter, so replayed. A parameter that f uses must be among the inputs.
Tensor recompute(const std::function<Tensor(std::span<const Tensor>)>& f, std::vector<Tensor> inputs);

}  // namespace intarsia

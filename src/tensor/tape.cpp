#include <algorithm>
#include <atomic>
#include <vector>

#include "core/fail.h"
#include "core/mapping.h"
#include "intarsia/tensor.h"
#include "kernel/kernels.h"
#include "tensor/backward_from.h"
#include "tensor/sum_to.h"
#include "tensor/watcher.h"

namespace intarsia {

namespace {
thread_local bool recording_now = true;
std::atomic<uint64_t> node_order{1};

// A leaf: it only holds its gradient.
struct Leaf final : detail::Node {
  void backward(const Array&, Gradients&) override {}
  void forget() override {}
  size_t bytes() const override { return sizeof *this; }
};
}  // namespace

namespace detail {

Meddler* meddler = nullptr;
Watcher* watcher = nullptr;

void retain(Node* node) { node->references.fetch_add(1, std::memory_order_relaxed); }

// A long chain of nodes must not be freed by recursion: the inputs of a dying node wait in a list instead.
void release(Node* node) {
  if (node->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  thread_local Node* dying = nullptr;
  thread_local bool draining = false;
  node->next_dying = dying;
  dying = node;
  if (draining) return;
  draining = true;
  while (Node* dead = dying) {
    dying = dead->next_dying;
    const size_t size = dead->bytes();
    dead->~Node();
    free_node_memory(dead, size);
  }
  draining = false;
}

void check_files(const char* op, std::span<const Tensor* const> inputs) {
  if (!WatchedMapping::any_lost()) return;
  for (const Tensor* t : inputs) WatchedMapping::check(t->array() ? t->array().raw() : nullptr, op);
}

Node* start_node(Node* node, const char* op, const Array& y, const Tensor* const* inputs, int count) {
  if (count > Node::max_inputs)
    fail("{}: {} inputs were recorded, at most {} are supported", op, count, Node::max_inputs);
  node->op = op;
  node->dtype = y.dtype();
  node->shape = y.shape();
  node->order = node_order.fetch_add(1, std::memory_order_relaxed);
  node->input_count = static_cast<int8_t>(count);
  for (int i = 0; i < count; i++) node->input[i] = inputs[i]->node();
  if (meddler) meddler->recorded(*node);
  if (watcher) watcher->recorded(*node, y, {inputs, static_cast<size_t>(count)});
  return node;
}

}  // namespace detail

using detail::Node;
using detail::NodeRef;

bool recording() { return recording_now; }
NoGradient::NoGradient() : before_(recording_now) { recording_now = false; }
NoGradient::~NoGradient() { recording_now = before_; }

void Saved::stale() { fail("backward: an array that was saved for a gradient has been written since"); }

Array Tensor::gradient() const { return node_ ? node_->gradient : Array(); }
void Tensor::clear_gradient() const {
  if (node_) node_->gradient = Array();
}

double Tensor::item() const {
  if (array_.size() != 1) fail("item: shape is {}, expected one element", shape().text());
  return *kernel::cast(array_, DType::f64).data<double>();
}

Tensor parameter(Array value) {
  const DType dtype = value.dtype();
  return parameter(std::move(value), dtype);
}

Tensor parameter(Array value, DType gradient_dtype) {
  if (!is_float(value.dtype()) || !is_float(gradient_dtype))
    fail("parameter: type is {} with gradients in {}, expected floats", info(value.dtype()).name,
         info(gradient_dtype).name);
  auto* node = new (detail::node_memory(sizeof(Leaf))) Leaf;
  node->leaf = true;
  node->dtype = gradient_dtype;
  node->shape = value.shape();
  node->order = 0;
  return Tensor(std::move(value), NodeRef(node));
}

Tensor stop_gradient(const Tensor& x) { return Tensor(x.array()); }

Tensor nondifferentiable(const char* op, Array y, std::initializer_list<const Tensor*> inputs) {
  if (detail::meddler) y = detail::meddler->value(op, std::move(y));
  Tensor result = record(op, std::move(y), inputs, [](const Array&, Gradients&) {});
  if (result.node()) result.node()->refuses = true;
  return result;
}

namespace {

// Makes the gradient of a node an array of its own that may be written.
void own(Node& target) {
  if (target.gradient.unique() && target.gradient.contiguous()) return;
  Array copy = Array::empty(target.shape, target.dtype);
  kernel::copy(target.gradient, copy);
  target.gradient = std::move(copy);
}

}  // namespace

void Gradients::add(int input, Array gradient) {
  if (!needs(input)) return;
  Node& target = *node_.input[input].get();
  gradient = detail::sum_to(gradient, target.shape, target.dtype);
  if (detail::meddler) gradient = detail::meddler->gradient(node_, input, std::move(gradient));
  if (!target.gradient) {
    target.gradient = std::move(gradient);
    return;
  }
  own(target);
  kernel::accumulate(target.gradient, gradient);
}

void Gradients::add_part(int input, const std::function<Array(const Array&)>& part, const Array& given) {
  if (!needs(input)) return;
  Node& target = *node_.input[input].get();
  const Array gradient = detail::meddler ? detail::meddler->gradient(node_, input, given) : given;
  if (!target.gradient) {
    target.gradient = Array::zeros(target.shape, target.dtype);
    Array region = part(target.gradient);
    kernel::copy(gradient, region);
    return;
  }
  own(target);
  Array region = part(target.gradient);
  const Array terms[] = {region, gradient};
  kernel::copy(kernel::pointwise(kernel::Formula::add, terms, target.dtype), region);
}

namespace {

// All nodes that the loss depends on, the latest first; inputs always come after what uses them.
std::vector<NodeRef> nodes_below(const NodeRef& root) {
  std::vector<Node*> found{root.get()};
  root->found = true;  // marks what is in the list; cleared below
  for (size_t next = 0; next < found.size(); next++) {
    const Node& node = *found[next];
    for (int i = 0; i < node.input_count; i++) {
      Node* in = node.input[i].get();
      if (!in || in->found) continue;
      in->found = true;
      found.push_back(in);
    }
  }
  std::sort(found.begin(), found.end(), [](const Node* a, const Node* b) { return a->order > b->order; });
  std::vector<NodeRef> nodes;
  nodes.reserve(found.size());
  for (Node* node : found) {
    node->found = false;
    detail::retain(node);
    nodes.emplace_back(node);
  }
  return nodes;
}

// Runs the backward of every node that got a gradient, the latest first. If one throws, no inner node keeps a
// gradient that a later call would add to. `seen`, if given, is shown each gradient when it is complete.
void sweep(std::vector<NodeRef>& nodes, bool keep,
           const std::function<void(const Node&, const Array&)>& seen = {}) {
  struct ForgetInner {
    const std::vector<NodeRef>& nodes;
    ~ForgetInner() {
      for (const NodeRef& n : nodes)
        if (n && !n->leaf) n->gradient = Array();
    }
  } cleanup{nodes};
  NoGradient inner;
  for (NodeRef& ref : nodes) {
    Node& node = *ref.get();
    if (!node.gradient) continue;
    if (seen) seen(node, node.gradient);
    if (node.leaf) continue;
    Array dy = kernel::contiguous(std::exchange(node.gradient, Array()));
    Gradients dx(node, &dy);
    if (detail::watcher) detail::watcher->backward_begins(node);
    node.backward(dy, dx);
    if (detail::watcher) detail::watcher->backward_ended(node);
    if (keep) continue;
    node.forget();
    node.spent = true;
    for (int i = 0; i < node.input_count; i++) node.input[i] = NodeRef();
    ref = NodeRef();  // what only this node kept alive can be used again at once
  }
}

// Refuses graphs that cannot be walked before anything is computed.
void check_nodes(const std::vector<NodeRef>& nodes) {
  for (const NodeRef& n : nodes) {
    if (n->spent)
      fail("backward: the graph of {} was used already; call grad(..., keep = true) to use it twice", n->op);
    if (n->refuses)
      fail("backward: {} has no gradient; use stop_gradient(x) where none is meant to flow", n->op);
  }
}

std::vector<NodeRef> start(const Tensor& loss, const char* who) {
  if (!recording_now)
    fail("{}: called inside a backward or under NoGradient; gradients of gradients are not supported", who);
  if (!loss.node()) fail("{}: the loss depends on no parameter", who);
  if (loss.array().size() != 1)
    fail("{}: the loss has shape {}, expected one element", who, loss.shape().text());
  std::vector<NodeRef> nodes = nodes_below(loss.node());
  check_nodes(nodes);
  Array seed = Array::empty(loss.shape(), loss.node()->dtype);
  kernel::fill(seed, 1);
  loss.node()->gradient = std::move(seed);
  return nodes;
}

}  // namespace

void backward(const Tensor& loss) {
  std::vector<NodeRef> nodes = start(loss, "backward");
  sweep(nodes, false);
}

std::vector<Array> grad(const Tensor& loss, std::span<const Tensor> wrt, bool keep) {
  for (const Tensor& t : wrt)
    if (!t.node()) fail("grad: one of the tensors asked for needs no gradient");
  if (!loss.node()) fail("grad: the loss depends on no parameter");
  // The parameters' own gradients are put aside and come back at the end, whatever happens.
  struct Aside {
    std::vector<std::pair<NodeRef, Array>> kept;
    ~Aside() {
      for (auto& [node, gradient] : kept) node->gradient = std::move(gradient);
    }
  } aside;
  for (const NodeRef& n : nodes_below(loss.node()))
    if (n->leaf) aside.kept.emplace_back(n, std::exchange(n->gradient, Array()));

  std::vector<NodeRef> nodes = start(loss, "grad");
  std::vector<Array> result(wrt.size());
  sweep(nodes, keep, [&](const Node& node, const Array& dy) {
    for (size_t i = 0; i < wrt.size(); i++)
      if (wrt[i].node().get() == &node) result[i] = dy;
  });
  for (size_t i = 0; i < wrt.size(); i++)
    if (!result[i]) result[i] = Array::zeros(wrt[i].shape(), wrt[i].node()->dtype);
  return result;
}

void detail::backward_from(Tensor y, Array dy) {
  const NodeRef root = y.node();
  y = Tensor();  // its value is not needed any more
  std::vector<NodeRef> nodes = nodes_below(root);
  check_nodes(nodes);
  root->gradient = std::move(dy);
  sweep(nodes, false);
}

namespace {

// Runs f on fresh leaves in place of `inputs`, this time recording, and sends dy back through it.
void replay(const std::function<Tensor(std::span<const Tensor>)>& f, const std::vector<Tensor>& inputs,
            const Array& dy, Gradients& dx) {
  std::vector<Tensor> fresh;
  for (int i = 0; i < static_cast<int>(inputs.size()); i++) {
    const Array& value = inputs[static_cast<size_t>(i)].array();
    fresh.push_back(dx.needs(i) ? parameter(value, dx.dtype(i)) : Tensor(value));
  }
  struct Record {
    bool before = std::exchange(recording_now, true);
    ~Record() { recording_now = before; }
  };
  Tensor y;
  {
    Record on;
    y = f(fresh);
  }
  if (!y.node()) return;
  detail::backward_from(std::move(y), dx.take(dy));
  for (int i = 0; i < static_cast<int>(fresh.size()); i++)
    if (Array g = fresh[static_cast<size_t>(i)].gradient()) dx.add(i, std::move(g));
}

}  // namespace

Tensor recompute(const std::function<Tensor(std::span<const Tensor>)>& f, std::vector<Tensor> inputs) {
  Tensor y;
  {
    NoGradient no_tape;
    y = f(inputs);
  }
  std::vector<const Tensor*> recorded;
  recorded.reserve(inputs.size());
  for (const Tensor& t : inputs) recorded.push_back(&t);
  // The inputs are kept without their nodes, so that the closure does not hold the graph behind it.
  std::vector<Tensor> values;
  values.reserve(inputs.size());
  for (const Tensor& t : inputs) values.push_back(stop_gradient(t));
  return record(
      "recompute", y.array(), recorded,
      [f, values = std::move(values)](const Array& dy, Gradients& dx) { replay(f, values, dy, dx); });
}

}  // namespace intarsia

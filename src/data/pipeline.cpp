#include "intarsia/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "core/fail.h"
#include "core/threads.h"
#include "data/permutation.h"

namespace intarsia {

namespace {

constexpr uint64_t map_stream = 0x6d6170ull << 40;

// Row i of an array, with the first axis gone.
Array row_of(const Array& array, int64_t i) {
  Shape shape, strides;
  for (int axis = 1; axis < array.rank(); axis++) {
    shape.append(array.shape()[axis]);
    strides.append(array.strides()[axis]);
  }
  return array.view(shape, strides, i * array.strides()[0]);
}

// The arrays of `samples`, one behind the other along a new first axis.
Sample stacked(const std::vector<Sample>& samples, int64_t first) {
  Sample batch;
  const Sample& pattern = samples.front();
  for (size_t k = 0; k < pattern.size(); k++) {
    Shape shape{static_cast<int64_t>(samples.size())};
    for (const int64_t length : pattern[k].shape()) shape.append(length);
    Array all = Array::empty(shape, pattern[k].dtype());
    auto* to = static_cast<char*>(all.raw_mutable());
    for (size_t i = 0; i < samples.size(); i++) {
      const bool fits = samples[i].size() == pattern.size() && samples[i][k].shape() == pattern[k].shape() &&
                        samples[i][k].dtype() == all.dtype();
      if (!fits)
        fail("pipeline: sample {} differs in shape or type from sample {}: {} where {} is expected",
             first + static_cast<int64_t>(i), first,
             samples[i].size() == pattern.size() ? samples[i][k].shape().text() : "another number of arrays",
             pattern[k].shape().text());
      const Array& array = samples[i][k];
      if (!array.contiguous())
        fail("pipeline: array {} of sample {} is a strided view, expected a contiguous array", k,
             first + static_cast<int64_t>(i));
      if (array.bytes()) std::memcpy(to, array.raw(), array.bytes());
      to += array.bytes();
    }
    batch.push_back(std::move(all));
  }
  return batch;
}

}  // namespace

// ---- Pipeline

Pipeline::Pipeline(int64_t count, std::function<Sample(int64_t index)> read)
    : items_(count), read_(std::move(read)) {
  if (count < 1) fail("pipeline: has {} items, expected at least 1", count);
}

Pipeline Pipeline::of(std::vector<Array> arrays) {
  if (arrays.empty()) fail("pipeline: no array is given");
  for (const Array& array : arrays)
    if (array.rank() < 1 || array.dim(0) != arrays[0].dim(0) || !array.contiguous())
      fail("pipeline: an array has shape {}, expected contiguous arrays of {} rows", array.shape().text(),
           arrays[0].rank() ? arrays[0].dim(0) : 0);
  const int64_t count = arrays[0].dim(0);
  return Pipeline(count, [arrays = std::move(arrays)](int64_t i) {
    Sample sample;
    for (const Array& array : arrays) sample.push_back(row_of(array, i));
    return sample;
  });
}

Pipeline Pipeline::shuffle(uint64_t seed) const {
  Pipeline changed = *this;
  changed.seed_ = seed;
  return changed;
}

Pipeline Pipeline::map(std::function<Sample(Sample sample, Random& random)> f) const {
  Pipeline changed = *this;
  changed.maps_.push_back(std::move(f));
  return changed;
}

Pipeline Pipeline::batch(int64_t size) const {
  if (size < 1) fail("pipeline: the batch size is {}, expected at least 1", size);
  Pipeline changed = *this;
  changed.batch_ = size;
  return changed;
}

Pipeline Pipeline::epochs(int64_t count) const {
  if (count < 0) fail("pipeline: {} epochs are asked for, expected 0 or more", count);
  Pipeline changed = *this;
  changed.epochs_ = count;
  return changed;
}

int64_t Pipeline::samples() const {
  int64_t total;
  if (epochs_ == 0 || __builtin_mul_overflow(items_, epochs_, &total))
    return std::numeric_limits<int64_t>::max();
  return total;
}

int64_t Pipeline::item(int64_t sample) const {
  if (sample < 0 || sample >= samples())
    fail("pipeline: there is no sample {}, expected 0 to {}", sample, samples() - 1);
  const int64_t epoch = sample / items_, place = sample % items_;
  if (!seed_) return place;
  const Permutation order(static_cast<uint64_t>(items_), *seed_, static_cast<uint64_t>(epoch));
  return static_cast<int64_t>(order(static_cast<uint64_t>(place)));
}

Sample Pipeline::sample(int64_t number) const {
  Sample sample = read_(item(number));
  Random random(seed_.value_or(0), map_stream + static_cast<uint64_t>(number));
  for (const auto& f : maps_) sample = f(std::move(sample), random);
  return sample;
}

Sample Pipeline::batch_at(int64_t first_sample) const {
  std::vector<Sample> parts;
  const int64_t count = std::min(batch_, samples() - first_sample);
  for (int64_t i = 0; i < count; i++) parts.push_back(sample(first_sample + i));
  return stacked(parts, first_sample);
}

// ---- Loader

struct Loader::State {
  struct Ready {
    Sample batch;
    std::exception_ptr error;
  };

  State(Pipeline data, LoaderOptions how) : pipeline(std::move(data)), options(std::move(how)) {}

  const Pipeline pipeline;
  const LoaderOptions options;
  const int64_t batch_size = pipeline.batch_size();
  std::mutex lock;
  std::condition_variable room, ready;
  std::map<int64_t, Ready> waiting;   // by first sample
  int64_t position = 0, claimed = 0;  // first samples of the next batch to hand out, and to prepare
  bool cancelled = false, stop = false;
  std::vector<std::thread> threads;

  void work() {
    const InlineOnly alone;
    std::unique_lock hold(lock);
    while (true) {
      room.wait(hold, [&] {
        return stop || (claimed < pipeline.samples() && claimed - position < batch_size * options.ahead);
      });
      if (stop) return;
      const int64_t first = claimed;
      claimed = first + std::min(batch_size, pipeline.samples() - first);
      hold.unlock();
      Ready made;
      try {
        made.batch = pipeline.batch_at(first);
      } catch (...) { made.error = std::current_exception(); }
      hold.lock();
      waiting.emplace(first, std::move(made));
      ready.notify_all();
    }
  }
  void check(int64_t first) const {
    if (first < 0 || first > pipeline.samples())
      fail("loader: sample {} is outside of 0 to {}", first, pipeline.samples());
  }
  void start(int64_t first) {
    position = claimed = first;
    stop = false;
    for (int i = 0; i < options.workers; i++) threads.emplace_back([this] { work(); });
  }
  void end() {
    {
      const std::lock_guard hold(lock);
      stop = true;
    }
    room.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    waiting.clear();
  }
  // The batch at `position`; nothing after cancel().
  std::optional<Ready> take() {
    std::unique_lock hold(lock);
    if (options.workers > 0) {
      ready.wait(hold, [&] { return cancelled || waiting.contains(position); });
      if (cancelled) return std::nullopt;
      return std::move(waiting.extract(position).mapped());
    }
    if (cancelled) return std::nullopt;
    hold.unlock();
    return Ready{pipeline.batch_at(position), nullptr};
  }
};

Loader::Loader(Pipeline pipeline, LoaderOptions options, int64_t first)
    : state_(std::make_unique<State>(std::move(pipeline), std::move(options))) {
  State& s = *state_;
  if (s.options.workers < 0 || s.options.workers > 256 || s.options.ahead < 1)
    fail("loader: {} workers and {} batches ahead, expected 0 to 256 and at least 1", s.options.workers,
         s.options.ahead);
  s.check(first);
  s.start(first);
}

Loader::~Loader() { state_->end(); }

std::optional<Sample> Loader::next() {
  State& s = *state_;
  const int64_t total = s.pipeline.samples();
  if (s.position >= total) return std::nullopt;
  if (s.threads.empty()) s.start(s.position);
  std::optional<State::Ready> taken = s.take();
  if (!taken) return std::nullopt;
  if (taken->error) {
    s.end();  // what was prepared behind it is dropped; the next call starts afresh
    std::rethrow_exception(taken->error);
  }
  {
    const std::lock_guard hold(s.lock);
    s.position += std::min(s.batch_size, total - s.position);
  }
  s.room.notify_all();
  if (s.options.progress && !s.options.progress(s.position, total)) cancel();
  return std::move(taken->batch);
}

int64_t Loader::position() const { return state_->position; }

void Loader::seek(int64_t sample) {
  state_->check(sample);
  state_->end();
  state_->cancelled = false;
  state_->start(sample);
}

void Loader::cancel() {
  const std::lock_guard hold(state_->lock);
  state_->cancelled = true;
  state_->ready.notify_all();
}

}  // namespace intarsia

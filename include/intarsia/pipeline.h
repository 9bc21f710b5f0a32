// The way of samples into batches: read, shuffle, map, batch, prefetch.
//
//   Pipeline data = Pipeline::of({images, labels}).shuffle(seed).map(augment).batch(64);
//   Loader loader(data, {.workers = 2});
//   while (auto batch = loader.next()) train_on((*batch)[0], (*batch)[1]);
//
// Samples are numbered from 0 without end, or to the end of the last epoch. Sample n is a pure function of
// the pipeline and n: of the seed, never of threads, batches or what was asked before. So a place in the data
// is one number, and a run that goes on from it sees what it would have seen.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/random.h"

namespace intarsia {

// The arrays of a sample: an image and its label, say. A batch is the same arrays with an axis in front.
using Sample = std::vector<Array>;

class Pipeline {
 public:
  // `count` items; read(i) gives item i. It is called from several threads at once.
  Pipeline(int64_t count, std::function<Sample(int64_t index)> read);
  // Item i is row i of each array (the first axis).
  static Pipeline of(std::vector<Array> arrays);

  // Each epoch visits every item once, in a random order of its own. Without it: in the items' order.
  Pipeline shuffle(uint64_t seed) const;
  // f makes another sample of a sample; several maps run in the order given. The random numbers belong to
  // (seed of shuffle, number of the sample). Called from several threads at once.
  Pipeline map(std::function<Sample(Sample sample, Random& random)> f) const;
  Pipeline batch(int64_t size) const;    // samples in a batch (1 without it); batches go on across epochs
  Pipeline epochs(int64_t count) const;  // 0: without end

  int64_t items() const { return items_; }  // of an epoch
  int64_t batch_size() const { return batch_; }
  int64_t samples() const;                      // in all epochs; without end: the largest number
  int64_t item(int64_t sample) const;           // which item a sample is
  Sample sample(int64_t number) const;          // read and mapped
  Sample batch_at(int64_t first_sample) const;  // a batch from this sample on; at the end it is shorter

 private:
  int64_t items_ = 0, batch_ = 1, epochs_ = 1;
  std::optional<uint64_t> seed_;
  std::function<Sample(int64_t)> read_;
  std::vector<std::function<Sample(Sample, Random&)>> maps_;
};

struct LoaderOptions {
  int workers = 1;  // threads that prepare batches; 0: next() does it itself
  int ahead = 4;    // batches that may wait
  // Samples handed out, and how many there are in all; returning false cancels. Called by next().
  std::function<bool(int64_t done, int64_t total)> progress = {};
};

// Hands out the batches of a pipeline in order, prepared ahead by its threads. The batches are the same for
// any number of them. One thread at a time may use it; cancel() may be called from any.
class Loader {
 public:
  // Begins with sample `first`: the position of an earlier loader goes on where that one stood.
  explicit Loader(Pipeline pipeline, LoaderOptions options = {}, int64_t first = 0);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch; nothing at the end or after cancel(). What reading or mapping threw is thrown here, when
  // its batch is due; the position stays before it, so that the next call tries it again.
  std::optional<Sample> next();
  int64_t position() const;   // the first sample of the next batch
  void seek(int64_t sample);  // the next batch begins here
  void cancel();              // wakes a waiting next(); seek() takes it back

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace intarsia

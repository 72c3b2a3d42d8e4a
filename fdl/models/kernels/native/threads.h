// Work split over the threads of a pool, so that results do not depend on their number or timing.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace fdl {

// The pool that runs the kernels: XLA's own, or a test's.
class Pool {
 public:
  virtual ~Pool() = default;
  virtual int64_t threads() = 0;
  virtual void schedule(std::function<void()> task) = 0;
};

// Run work(0), ..., work(count - 1), each once, in any order and on any thread, and return when all are done.
// The calling thread works too and waits only for work that another thread has begun: a busy pool cannot block it.
// Which thread does what changes no number, since the calls share no sum.
inline void parallel_for(Pool& pool, int64_t count, const std::function<void(int64_t)>& work) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable changed;
    int64_t done = 0;
  };
  const auto shared = std::make_shared<Shared>();  // outlives this call: helpers may start after it
  const auto* task = &work;                        // used only by who holds a number below count, so during this call
  const auto run = [shared, task, count] {
    int64_t mine = 0;
    for (int64_t i; (i = shared->next.fetch_add(1)) < count; ++mine) (*task)(i);
    if (mine == 0) return;
    const std::lock_guard<std::mutex> lock(shared->mutex);
    shared->done += mine;
    if (shared->done == count) shared->changed.notify_all();
  };
  const int64_t helpers = std::min(pool.threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.schedule(run);
  run();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->changed.wait(lock, [&] { return shared->done == count; });
}

// Run work(step, 0), ..., work(step, count - 1) for one step after the other, in any order within a step.
// Threads that help stay for all steps, wait without sleeping, and take the same items in each if nobody was faster. An
// item that somebody has begun is all that others wait for: a busy pool cannot block the calling thread.
inline void in_steps(Pool& pool, int64_t steps, int64_t count, const std::function<void(int64_t, int64_t)>& work) {
  struct Shared {
    explicit Shared(int64_t count) : taken(new std::atomic<int64_t>[count]) {
      for (int64_t i = 0; i < count; ++i) taken[i] = 0;
    }
    const std::unique_ptr<std::atomic<int64_t>[]> taken;  // of each item: steps that a thread has begun
    std::atomic<int64_t> done{0};                         // items of all steps
  };
  const auto shared = std::make_shared<Shared>(count);  // outlives this call: helpers may start after it
  const auto* task = &work;                             // used only by who took an item, so during this call
  const int64_t threads = std::max<int64_t>(1, std::min(pool.threads(), count));
  const auto run = [shared, task, steps, count, threads](int64_t thread) {
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t item = (thread * count / threads + i) % count;
        int64_t expected = step;
        if (!shared->taken[item].compare_exchange_strong(expected, step + 1)) continue;
        (*task)(step, item);
        shared->done.fetch_add(1);
      }
      for (int64_t spins = 0; shared->done.load() < (step + 1) * count; ++spins)
        if (spins > 1000) std::this_thread::yield();
    }
  };
  for (int64_t thread = 1; thread < threads; ++thread) pool.schedule([run, thread] { run(thread); });
  run(0);
}

// Memory of this thread for one purpose, kept from call to call: fresh pages would cost more than the work on them.
template <int purpose>
float* scratch(int64_t size) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local int64_t held = 0;
  if (size > held) {
    memory.reset();
    held = 0;
    memory.reset(new float[size]);
    held = size;
  }
  return memory.get();
}

}  // namespace fdl

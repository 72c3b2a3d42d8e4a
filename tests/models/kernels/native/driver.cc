// Calls every kernel on drawn shapes with pools of several sizes, for the sanitizers: against sums by the definition, and
// bit by bit against a pool of one thread. Prints {"shapes": n, "wrong": n}.
#include <cmath>
#include <cstdio>
#include <deque>
#include <random>
#include <thread>

#include "convolution.h"
#include "lstm.h"

namespace {

class Threads : public fdl::Pool {
 public:
  explicit Threads(int64_t count) {
    for (int64_t i = 0; i < count; ++i) threads_.emplace_back([this] { loop(); });
  }
  ~Threads() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  int64_t threads() override { return static_cast<int64_t>(threads_.size()) + 1; }
  void schedule(std::function<void()> task) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

 private:
  void loop() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return ended_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

using Floats = std::vector<float>;

bool close(const Floats& got, const std::vector<double>& want) {
  double most = 1e-30, worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    most = std::max(most, std::abs(want[i]));
    worst = std::max(worst, std::abs(want[i] - got[i]));
  }
  return worst <= 1e-5 * most;
}

// Return how many drawn LSTMs have other bits by some pool than by the first; their values are compared in Python.
template <class Draw>
int lstms(const Draw& draw, const std::vector<fdl::Pool*>& pools) {
  int wrong = 0;
  for (int k = 0; k < 30; ++k) {
    const fdl::Sequence s{draw(1, 9), draw(1, 40), 16 * draw(1, 6), draw(0, 1) == 1};
    const int64_t states = s.time * s.states();
    const auto filled = [&](int64_t size) {
      Floats values(size);
      for (float& value : values) value = static_cast<float>(draw(-1000, 1000)) / 1000;
      return values;
    };
    const Floats x = filled(4 * states), w = filled(4 * s.width * s.width), h = filled(s.states()), c = filled(s.states()),
                 g = filled(states);
    std::vector<Floats> first;
    for (fdl::Pool* pool : pools) {
      Floats hs(states, NAN), cs(states, NAN), gates(4 * states, NAN), dx(4 * states, NAN), dh = h, dc = c;
      fdl::lstm(*pool, s, x.data(), w.data(), h.data(), c.data(), hs.data(), cs.data(), gates.data());
      fdl::lstm_gradient(*pool, s, w.data(), c.data(), cs.data(), gates.data(), g.data(), dx.data(), dh.data(), dc.data());
      const std::vector<Floats> now = {hs, cs, gates, dx, dh, dc};
      if (first.empty()) first = now;
      wrong += now != first;  // NAN, which is no number's equal, too
    }
  }
  return wrong;
}

}  // namespace

int main() {
  std::mt19937 random(7);
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % (high - low + 1)); };
  Threads alone(0), few(1), many(5);
  int wrong = 0;
  const int shapes = 120;
  for (int k = 0; k < shapes; ++k) {
    fdl::Shape s;
    s.batch = draw(1, 20);
    s.channels = draw(1, 20);
    s.features = draw(1, 40);
    const int64_t dimensions = draw(1, 3);
    for (int d = 0; d < 3; ++d) {
      const bool there = d >= 3 - dimensions;
      s.stride[d] = there ? draw(1, 3) : 1;
      s.side[d] = there ? draw(1, dimensions == 3 ? 3 : 5) : 1;
      s.low[d] = there ? draw(0, 3) : 0;
      s.size[d] = there ? draw(1, dimensions == 3 ? 5 : 9) : 1;
      const int64_t high = there ? draw(0, 3) : 0;
      s.out[d] = std::max<int64_t>(1, (s.size[d] + s.low[d] + high - s.side[d]) / s.stride[d] + 1);
    }
    const int64_t in = fdl::product(s.size) * s.channels, out = fdl::product(s.out) * s.features;
    const int64_t weights = fdl::product(s.side) * s.channels * s.features;
    const auto filled = [&](int64_t size) {
      Floats values(size);
      for (float& value : values) value = static_cast<float>(draw(-1000, 1000)) / 1000;
      return values;
    };
    const Floats x = filled(s.batch * in), w = filled(weights), g = filled(s.batch * out);
    std::vector<double> y(g.size()), dx(x.size()), dw(w.size());
    for (int64_t n = 0; n < s.batch; ++n)
      fdl::each_place(s.out, [&](int64_t oz, int64_t oy, int64_t ox) {
        fdl::each_place(s.side, [&](int64_t kz, int64_t ky, int64_t kx) {
          const int64_t z = oz * s.stride[0] + kz - s.low[0], v = oy * s.stride[1] + ky - s.low[1];
          const int64_t u = ox * s.stride[2] + kx - s.low[2];
          if (z < 0 || v < 0 || u < 0 || z >= s.size[0] || v >= s.size[1] || u >= s.size[2]) return;
          const int64_t from = n * in + ((z * s.size[1] + v) * s.size[2] + u) * s.channels;
          const int64_t to = n * out + ((oz * s.out[1] + oy) * s.out[2] + ox) * s.features;
          const int64_t tap = ((kz * s.side[1] + ky) * s.side[2] + kx) * s.channels;
          for (int64_t c = 0; c < s.channels; ++c)
            for (int64_t f = 0; f < s.features; ++f) {
              const int64_t weight = (tap + c) * s.features + f;
              y[to + f] += static_cast<double>(x[from + c]) * w[weight];
              dx[from + c] += static_cast<double>(g[to + f]) * w[weight];
              dw[weight] += static_cast<double>(x[from + c]) * g[to + f];
            }
        });
      });
    std::vector<Floats> first;
    for (fdl::Pool* pool : {static_cast<fdl::Pool*>(&alone), static_cast<fdl::Pool*>(&few), static_cast<fdl::Pool*>(&many)}) {
      Floats a(y.size(), NAN), b(dx.size(), NAN), c(dw.size(), NAN);
      fdl::convolve(*pool, s, x.data(), w.data(), a.data());
      fdl::input_gradient(*pool, s, g.data(), w.data(), b.data());
      fdl::kernel_gradient(*pool, s, x.data(), g.data(), c.data());
      const std::vector<Floats> now = {a, b, c};
      if (first.empty()) {
        first = now;
        wrong += !close(a, y) + !close(b, dx) + !close(c, dw);
      }
      wrong += now != first;
    }
  }
  wrong += lstms(draw, {&alone, &few, &many});
  std::printf("{\"shapes\": %d, \"wrong\": %d}\n", shapes, wrong);
  return 0;
}

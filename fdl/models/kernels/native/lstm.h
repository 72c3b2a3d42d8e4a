// An LSTM over a sequence in float32, forward and backward; gates are in the order i f g o.
//
// Its weights are packed once, and the threads go through time together: each step is split into blocks of units whose
// numbers depend on no other block of that step, so the bits are always the same. A thread keeps to its blocks, whose
// weights stay in its cache.
#pragma once

#include <vector>

#include "activations.h"
#include "threads.h"
#include "vectors.h"

namespace fdl {

// sums[r] += a[r] @ weights, for rows of one tile. a: [rows, depth], `step` floats from row to row;
// weights: [depth][vector]; sums: `sums_step` floats from row to row.
struct ProductTile {
  const float *a, *weights;
  int64_t step, depth;
  float* sums;
  int64_t sums_step;

  template <int rows, int vectors>
  [[gnu::noinline]] void run() const {
    constexpr int bases = ceil_div(rows, 3);  // addresses in registers: a third of the rows
    const float* from[bases];
    for (int i = 0; i < bases; ++i) from[i] = a + 3 * i * step;
    Vector tile[rows][vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) tile[r][v] = load(sums + r * sums_step + v * kLanes);
    const float* w = weights;
    for (int64_t k = 0; k < depth; ++k, w += vectors * kLanes) {
      add_products(tile, w, [&](int r) { return from[r / 3][r % 3 * step]; });
#pragma GCC unroll 8
      for (int i = 0; i < bases; ++i) ++from[i];
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) store(sums + r * sums_step + v * kLanes, tile[r][v]);
  }
};

// Shapes: [time, batch, width] of states and cells, [time, batch, 4 * width] of projections and gates.
struct Sequence {
  int64_t time, batch, width;
  bool reverse;

  int64_t at(int64_t step) const { return reverse ? time - 1 - step : step; }
  int64_t states() const { return batch * width; }  // floats of a time step
};

// kernel: [width, 4 * width]; state, cell: before the first step. Writes all states, cells and gates (activated).
inline void lstm(Pool& pool, const Sequence& s, const float* projections, const float* kernel, const float* state,
                 const float* cell, float* states, float* cells, float* gates) {
  const int64_t blocks = s.width / kLanes, half = s.width * kWidth;  // floats of the weights of a block's two gates
  std::vector<float> packed(2 * blocks * half);
  parallel_for(pool, blocks, [&](int64_t block) {
    float* to = packed.data() + 2 * block * half;
    for (int64_t pair = 0; pair < 2; ++pair)
      for (int64_t k = 0; k < s.width; ++k)
        for (int64_t gate = 2 * pair; gate < 2 * pair + 2; ++gate, to += kLanes)
          store(to, load(kernel + (k * 4 + gate) * s.width + block * kLanes));
  });
  in_steps(pool, s.time, blocks, [&](int64_t step, int64_t block) {
    const int64_t t = s.at(step), before = step ? s.at(step - 1) : 0, unit = block * kLanes;
    const float* h = step ? states + before * s.states() : state;
    const float* c = (step ? cells + before * s.states() : cell) + unit;
    float* sums = scratch<3>(s.batch * 4 * kLanes);
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t gate = 0; gate < 4; ++gate)
        store(sums + (b * 4 + gate) * kLanes, load(projections + ((t * s.batch + b) * 4 + gate) * s.width + unit));
    for (int64_t pair = 0; pair < 2; ++pair)
      each_tile(0, s.batch, kRows, [&](int64_t b, int64_t rows) {
        with_tile_size(rows, kVectors, ProductTile{h + b * s.width, &packed[(2 * block + pair) * half], s.width,
                                                   s.width, sums + b * 4 * kLanes + pair * kWidth, 4 * kLanes});
      });
    for (int64_t b = 0; b < s.batch; ++b) {
      const float* z = sums + b * 4 * kLanes;
      const Vector i = sigmoid(load(z)), f = sigmoid(load(z + kLanes)), g = tanh(load(z + 2 * kLanes)),
                   o = sigmoid(load(z + 3 * kLanes)), after = f * load(c + b * s.width) + i * g;
      float* out = gates + (t * s.batch + b) * 4 * s.width + unit;
      store(out, i), store(out + s.width, f), store(out + 2 * s.width, g), store(out + 3 * s.width, o);
      store(cells + t * s.states() + b * s.width + unit, after);
      store(states + t * s.states() + b * s.width + unit, o * tanh(after));
    }
  });
}

// Gradients by the preactivations, [time, batch, 4 * width], and by the first state and cell.
// dstates: by every state; dstate, dcell: by the last ones, which become those by the first.
inline void lstm_gradient(Pool& pool, const Sequence& s, const float* kernel, const float* cell, const float* cells,
                          const float* gates, const float* dstates, float* dpreactivations, float* dstate,
                          float* dcell) {
  const int64_t depth = 4 * s.width, blocks = ceil_div(s.width, kWidth);
  std::vector<float> packed(s.width * depth);
  parallel_for(pool, blocks, [&](int64_t block) {
    const int64_t unit = block * kWidth, wide = std::min<int64_t>(kWidth, s.width - unit);
    float* to = packed.data() + unit * depth;
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t u = 0; u < wide; ++u) *to++ = kernel[(unit + u) * depth + k];
  });
  const auto by_states = [&](int64_t step, int64_t block, float* sums) {  // sums += gradients of the step after
    const int64_t unit = block * kWidth, vectors = std::min<int64_t>(kVectors, (s.width - unit) / kLanes);
    each_tile(0, s.batch, kRows, [&](int64_t b, int64_t rows) {
      const float* from = dpreactivations + (s.at(step) * s.batch + b) * depth;
      with_tile_size(rows, vectors, ProductTile{from, &packed[unit * depth], depth, depth, sums + b * s.width, s.width});
    });
  };
  // Step 0 is the last in time; one more than there are adds up the gradient by the first state.
  in_steps(pool, s.time + 1, blocks, [&](int64_t back, int64_t block) {
    const int64_t step = s.time - 1 - back, begin = block * kWidth, end = std::min(s.width, begin + kWidth);
    const int64_t t = step >= 0 ? s.at(step) : 0;
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t u = begin; u < end; u += kLanes) {
        float* sum = dstate + b * s.width + u;  // after the last step nothing but what the later step sends back
        const Vector carried = back ? Vector{} : load(sum);
        store(sum, step >= 0 ? carried + load(dstates + t * s.states() + b * s.width + u) : carried);
      }
    if (back) by_states(step + 1, block, dstate + begin);
    if (step < 0) return;
    const float* cells_before = step ? cells + s.at(step - 1) * s.states() : cell;
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t u = begin; u < end; u += kLanes) {
        const int64_t at = b * s.width + u;
        const float* gate = gates + (t * s.batch + b) * depth + u;
        const Vector i = load(gate), f = load(gate + s.width), g = load(gate + 2 * s.width),
                     o = load(gate + 3 * s.width), y = tanh(load(cells + t * s.states() + at)), dh = load(dstate + at),
                     dc = load(dcell + at) + dh * o * (1 - y * y);
        float* out = dpreactivations + (t * s.batch + b) * depth + u;
        store(out, dc * g * i * (1 - i));
        store(out + s.width, dc * load(cells_before + at) * f * (1 - f));
        store(out + 2 * s.width, dc * i * (1 - g * g));
        store(out + 3 * s.width, dh * y * o * (1 - o));
        store(dcell + at, dc * f);
      }
  });
}

}  // namespace fdl

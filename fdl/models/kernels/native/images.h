// Shapes of convolutions, images surrounded by zeros, and the offsets in them.
#pragma once

#include <array>
#include <vector>

#include "threads.h"
#include "vectors.h"

namespace fdl {

using Sizes = std::array<int64_t, 3>;  // of depth, height and width; leading ones where there are fewer

inline int64_t product(const Sizes& sizes) { return sizes[0] * sizes[1] * sizes[2]; }

// Shapes: x[batch, size..., channels], w[side..., channels, features], y[batch, out..., features].
struct Shape {
  int64_t batch, channels, features;
  Sizes size, out, side, stride, low;  // low: zeros before the first element of each dimension

  bool worth_threads() const { return batch * product(out) * product(side) * channels * features > 100000; }
};

// An image surrounded by zeros, as it lies in memory.
struct Padded {
  Sizes size, low, full;  // of the image, of the zeros before it, of both with the zeros after it
  int64_t channels;
  bool copied = true;

  Padded(const Sizes& size, const Sizes& low, const Sizes& needed, int64_t channels)
      : size(size), low(low), channels(channels) {
    for (int d = 0; d < 3; ++d) full[d] = std::max(size[d] + low[d], needed[d]);
    copied = full != size;
  }

  int64_t floats() const { return product(full) * channels; }
  int64_t at(int64_t z, int64_t y, int64_t x) const { return ((z * full[1] + y) * full[2] + x) * channels; }

  // Return `count` images as padded ones: in `memory`, or where they are if they need no zeros.
  const float* fill(const float* images, int64_t count, float* memory) const {
    if (!copied) return images;
    std::memset(memory, 0, count * floats() * sizeof(float));
    const int64_t row = size[2] * channels;
    for (int64_t n = 0; n < count; ++n)
      for (int64_t z = 0; z < size[0]; ++z)
        for (int64_t y = 0; y < size[1]; ++y, images += row)
          std::memcpy(memory + n * floats() + at(z + low[0], y + low[1], low[2]), images, row * sizeof(float));
    return memory;
  }
};

using Offsets = std::vector<int32_t>;

// Visit all places of a box: visit(z, y, x).
template <class Visit>
inline void each_place(const Sizes& sizes, const Visit& visit) {
  for (int64_t z = 0; z < sizes[0]; ++z)
    for (int64_t y = 0; y < sizes[1]; ++y)
      for (int64_t x = 0; x < sizes[2]; ++x) visit(z, y, x);
}

// Return whether neighbouring outputs in a row see neighbouring windows, as rows.h wants them.
inline bool by_rows(const Shape& s) { return s.stride[2] == 1 && s.side[2] == 3; }

// The padded input of a convolution.
inline Padded padded_input(const Shape& s) {
  Sizes needed;
  for (int d = 0; d < 3; ++d) needed[d] = (s.out[d] - 1) * s.stride[d] + s.side[d];
  return Padded(s.size, s.low, needed, s.channels);
}

inline Offsets input_pixels(const Shape& s, const Padded& padded) {
  Offsets pixels;
  each_place(s.out, [&](int64_t z, int64_t y, int64_t x) {
    pixels.push_back(static_cast<int32_t>(padded.at(z * s.stride[0], y * s.stride[1], x * s.stride[2])));
  });
  return pixels;
}

}  // namespace fdl

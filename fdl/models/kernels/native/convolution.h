// Convolution in float32 and both its gradients, in one to three dimensions, of any size, stride and padding.
//
// All three read images through tables of offsets. Output pixel p begins at floats `pixels[p]` of a padded image, and
// element t of its window, a tap, lies `taps[t]` floats further, so that
//   y[p, f]  = sum_t image[pixels[p] + taps[t]] * w[t, f]      (correlate; the input gradient is one too, of y's gradient)
//   dw[t, f] = sum_p image[pixels[p] + taps[t]] * g[p, f]      (accumulate)
// A tile of sums stays in registers. How sums are split depends on shapes alone, so the bits are always the same.
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

// One correlation: the window's taps and the weights [tile of columns][tap][column], and which pixels go where.
struct Correlation {
  Offsets pixels, targets;           // of one image: offsets of what is read, and of where its sums are written
  std::vector<int32_t> starts;       // the window as runs of adjacent taps: where each run begins
  int64_t run = 0, columns = 0;      // taps of a run; columns of the result
  std::vector<float> weights;

  int64_t taps() const { return static_cast<int64_t>(starts.size()) * run; }

  // Store all weights, zeros beyond the last column. of(tap): the tap's weight of column 0; `step` floats to the next.
  template <class Of>
  void pack(const Of& of, int64_t step) {
    weights.assign(vectors_of(columns) * kLanes * taps(), 0.0f);
    for (int64_t tap = 0; tap < taps(); ++tap) {
      const float* from = of(tap);
      for (int64_t first = 0; first < columns; first += kWidth) {
        const int64_t width = std::min<int64_t>(kVectors, vectors_of(columns - first)) * kLanes;
        float* to = weights.data() + first * taps() + tap * width;
        const int64_t count = std::min(width, columns - first);
        for (int64_t c = 0; c < count; ++c) to[c] = from[(first + c) * step];
      }
    }
  }
};

struct CorrelateTile {
  const Correlation& what;
  const float *image, *weights;
  const int32_t* pixels;
  float* out;
  const int32_t* targets;
  int64_t columns;  // of the result that this tile may write

  template <int rows, int vectors>
  void run() const {
    Vector sums[rows][vectors] = {};
    int64_t at[rows];
    for (int r = 0; r < rows; ++r) at[r] = pixels[r];
    const float* w = weights;
    for (const int32_t start : what.starts) {
      const float* from = image + start;
      for (const float* end = from + what.run; from != end; ++from, w += vectors * kLanes) {
        Vector wide[vectors];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) wide[v] = load(w + v * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
          for (int v = 0; v < vectors; ++v) sums[r][v] += wide[v] * from[at[r]];
      }
    }
    for (int r = 0; r < rows; ++r)
      if (columns >= vectors * kLanes) {
        for (int v = 0; v < vectors; ++v) store(out + targets[r] + v * kLanes, sums[r][v]);
      } else {
        Vector last[vectors];  // a copy: the sums must have no address, or they would not stay in registers
        for (int v = 0; v < vectors; ++v) last[v] = sums[r][v];
        std::memcpy(out + targets[r], last, columns * sizeof(float));
      }
  }
};

// Correlate `count` images that lie one after the other.
inline void correlate(const Correlation& what, const Padded& padded, const float* images, int64_t count, float* out,
                      int64_t out_floats) {
  const int64_t pixels = what.pixels.size();
  Offsets from(count * pixels), to(count * pixels);  // the pixels of all images: late layers have few in each
  for (int64_t n = 0; n < count; ++n)
    for (int64_t p = 0; p < pixels; ++p) {
      from[n * pixels + p] = static_cast<int32_t>(n * padded.floats() + what.pixels[p]);
      to[n * pixels + p] = static_cast<int32_t>(n * out_floats + what.targets[p]);
    }
  const float* weights = what.weights.data();
  for (int64_t first = 0; first < what.columns; first += kWidth) {
    const int64_t left = what.columns - first, vectors = std::min<int64_t>(kVectors, vectors_of(left));
    each_tile(count * pixels, [&](int64_t row, int64_t rows) {
      with_tile_size(rows, vectors, CorrelateTile{what, images, weights, &from[row], out + first, &to[row], left});
    });
    weights += what.taps() * vectors * kLanes;
  }
}

// Correlate all images by each of the correlations, a few images at a time.
inline void correlate_all(Pool& pool, const Shape& shape, const Padded& padded, const std::vector<Correlation>& all,
                          const float* images, float* out, int64_t out_floats) {
  if (all.empty()) return;
  const int64_t image_floats = product(padded.size) * padded.channels;
  const int64_t together = std::clamp<int64_t>(4 * kRows / static_cast<int64_t>(std::max<size_t>(1, all[0].pixels.size())),
                                               1, std::max<int64_t>(1, shape.batch / 8));
  const int64_t tasks = ceil_div(shape.batch, together);
  const auto work = [&](int64_t task) {
    const int64_t first = task * together, count = std::min(together, shape.batch - first);
    float* memory = padded.copied ? scratch<0>(together * padded.floats()) : nullptr;
    const float* ready = padded.fill(images + first * image_floats, count, memory);
    for (const Correlation& one : all) correlate(one, padded, ready, count, out + first * out_floats, out_floats);
  };
  if (shape.worth_threads()) parallel_for(pool, tasks, work);
  else for (int64_t task = 0; task < tasks; ++task) work(task);
}

// Visit all places of a box: visit(z, y, x).
template <class Visit>
inline void each_place(const Sizes& sizes, const Visit& visit) {
  for (int64_t z = 0; z < sizes[0]; ++z)
    for (int64_t y = 0; y < sizes[1]; ++y)
      for (int64_t x = 0; x < sizes[2]; ++x) visit(z, y, x);
}

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

// y = convolution of x with w.
inline void convolve(Pool& pool, const Shape& s, const float* x, const float* w, float* y) {
  const Padded padded = padded_input(s);
  std::vector<Correlation> all(1);
  Correlation& one = all[0];
  one.pixels = input_pixels(s, padded);
  for (int64_t p = 0; p < product(s.out); ++p) one.targets.push_back(static_cast<int32_t>(p * s.features));
  each_place({s.side[0], s.side[1], 1},
             [&](int64_t z, int64_t y, int64_t) { one.starts.push_back(static_cast<int32_t>(padded.at(z, y, 0))); });
  one.run = s.side[2] * s.channels;
  one.columns = s.features;
  one.pack([&](int64_t tap) { return w + tap * s.features; }, 1);
  correlate_all(pool, s, padded, all, x, y, product(s.out) * s.features);
}

// dx = gradient by the input. The pixels of each phase of the strides see every stride-th tap of the window only, so
// that each phase is a correlation of g with a smaller window, and no zeros are multiplied.
inline void input_gradient(Pool& pool, const Shape& s, const float* g, const float* w, float* dx) {
  Sizes most, needed, phases;  // taps per dimension of the largest phase; g with zeros around it
  for (int d = 0; d < 3; ++d) {
    most[d] = ceil_div(s.side[d], s.stride[d]);
    needed[d] = most[d] + (s.size[d] - 1 + s.low[d]) / s.stride[d];
    phases[d] = s.stride[d];
  }
  const Padded padded(s.out, {most[0] - 1, most[1] - 1, most[2] - 1}, needed, s.features);
  std::vector<Correlation> all;
  each_place(phases, [&](int64_t pz, int64_t py, int64_t px) {
    const Sizes phase = {pz, py, px};
    Sizes taps, first, count;  // of this phase: window; the first pixel in units of strides; pixels
    for (int d = 0; d < 3; ++d) {
      taps[d] = phase[d] < s.side[d] ? ceil_div(s.side[d] - phase[d], s.stride[d]) : 0;
      first[d] = s.low[d] > phase[d] ? ceil_div(s.low[d] - phase[d], s.stride[d]) : 0;
      const int64_t beyond = s.size[d] + s.low[d] - phase[d];  // pixels first .. beyond / stride, rounded up
      count[d] = std::max<int64_t>(0, (beyond > 0 ? ceil_div(beyond, s.stride[d]) : 0) - first[d]);
    }
    if (product(count) == 0) return;
    Correlation one;
    each_place(count, [&](int64_t z, int64_t y, int64_t x) {
      const Sizes q = {first[0] + z, first[1] + y, first[2] + x};
      Sizes to, from;
      for (int d = 0; d < 3; ++d) {
        to[d] = q[d] * s.stride[d] + phase[d] - s.low[d];
        from[d] = q[d] + most[d] - std::max<int64_t>(taps[d], 1);
      }
      one.targets.push_back(static_cast<int32_t>(((to[0] * s.size[1] + to[1]) * s.size[2] + to[2]) * s.channels));
      one.pixels.push_back(static_cast<int32_t>(padded.at(from[0], from[1], from[2])));
    });
    if (product(taps) > 0)  // else no output saw these pixels: no runs, and the sums are zero
      each_place({taps[0], taps[1], 1}, [&](int64_t z, int64_t y, int64_t) {
        one.starts.push_back(static_cast<int32_t>(padded.at(z, y, 0)));
      });
    one.run = taps[2] * s.features;
    one.columns = s.channels;
    const auto weight = [&](int64_t tap) {
      const int64_t f = tap % s.features, place = tap / s.features;
      const Sizes t = {place / taps[2] / taps[1], place / taps[2] % taps[1], place % taps[2]};
      int64_t k[3];  // g is read forwards, so the window backwards
      for (int d = 0; d < 3; ++d) k[d] = phase[d] + s.stride[d] * (taps[d] - 1 - t[d]);
      return w + ((k[0] * s.side[1] + k[1]) * s.side[2] + k[2]) * s.channels * s.features + f;
    };
    one.pack(weight, s.features);
    all.push_back(std::move(one));
  });
  correlate_all(pool, s, padded, all, g, dx, product(s.size) * s.channels);
}

struct AccumulateTile {
  const float *images, *g;
  int64_t count, image_floats, pixels, row;  // images; floats of each; pixels of each, and floats of g for a pixel
  const int32_t *at, *taps;
  float* sums_of_taps;

  template <int rows, int vectors>
  void run() const {
    Vector sums[rows][vectors];
    int64_t tap[rows];
    for (int r = 0; r < rows; ++r) {
      tap[r] = taps[r];
      for (int v = 0; v < vectors; ++v) sums[r][v] = load(sums_of_taps + r * row + v * kLanes);
    }
    const float* gradient = g;
    for (int64_t n = 0; n < count; ++n)
      for (int64_t p = 0; p < pixels; ++p, gradient += row) {
        const float* from = images + n * image_floats + at[p];
        Vector wide[vectors];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) wide[v] = load(gradient + v * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
          for (int v = 0; v < vectors; ++v) sums[r][v] += wide[v] * from[tap[r]];
      }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) store(sums_of_taps + r * row + v * kLanes, sums[r][v]);
  }
};

// dw = gradient by the kernel. Groups of images have sums of their own, which are added in order; their number depends
// on the shape alone.
inline void kernel_gradient(Pool& pool, const Shape& s, const float* x, const float* g, float* dw) {
  constexpr int64_t most_groups = 16, most_floats = int64_t{1} << 22, cached = int64_t{1} << 16;
  constexpr int64_t least_pixels = 256;  // of a sum: with fewer, loading and storing it costs more than computing it
  const Padded padded = padded_input(s);
  const Offsets pixels = input_pixels(s, padded);
  Offsets taps;
  each_place(s.side, [&](int64_t z, int64_t y, int64_t x) {
    for (int64_t c = 0; c < s.channels; ++c) taps.push_back(static_cast<int32_t>(padded.at(z, y, x) + c));
  });
  const int64_t count = taps.size(), row = vectors_of(s.features) * kLanes, all_pixels = pixels.size();
  const int64_t groups =
      std::max<int64_t>(1, std::min({most_groups, s.batch, s.batch * all_pixels / least_pixels, most_floats / (count * row)}));
  const int64_t parts = std::min(ceil_div(most_groups, groups), ceil_div(count, kRows));  // of the taps
  const int64_t image_floats = product(s.size) * s.channels, g_floats = all_pixels * s.features;
  const int64_t in_cache = cached / (padded.floats() + all_pixels * row);
  const int64_t block =  // images for which sums stay in registers
      std::clamp<int64_t>(std::max(in_cache, ceil_div(least_pixels, all_pixels)), 1, ceil_div(s.batch, groups));
  float* sums = scratch<2>(groups * count * row);
  std::memset(sums, 0, groups * count * row * sizeof(float));

  const auto work = [&](int64_t task) {
    const int64_t group = task / parts, part = task % parts;
    const int64_t first_tap = count * part / parts, end_tap = count * (part + 1) / parts;
    const int64_t end = s.batch * (group + 1) / groups;
    for (int64_t n = s.batch * group / groups; n < end; n += block) {
      const int64_t images = std::min(block, end - n);
      float* memory = padded.copied ? scratch<0>(block * padded.floats()) : nullptr;
      const float* ready = padded.fill(x + n * image_floats, images, memory);
      const float* gradient = g + n * g_floats;
      if (row != s.features) {  // vectors must not reach beyond a row
        float* wide = scratch<1>(block * all_pixels * row);
        for (int64_t p = 0; p < images * all_pixels; ++p) {
          std::memcpy(wide + p * row, gradient + p * s.features, s.features * sizeof(float));
          std::memset(wide + p * row + s.features, 0, (row - s.features) * sizeof(float));
        }
        gradient = wide;
      }
      for (int64_t f = 0; f < row; f += kWidth)
        each_tile(end_tap - first_tap, [&](int64_t tap, int64_t rows) {
          tap += first_tap;
          const AccumulateTile tile{ready,        gradient + f,  images,     padded.floats(), all_pixels, row,
                                    pixels.data(), &taps[tap], sums + (group * count + tap) * row + f};
          with_tile_size(rows, std::min<int64_t>(kVectors, (row - f) / kLanes), tile);
        });
    }
  };
  const int64_t tasks = groups * parts;
  if (s.worth_threads()) parallel_for(pool, tasks, work);
  else for (int64_t task = 0; task < tasks; ++task) work(task);
  for (int64_t tap = 0; tap < count; ++tap)
    for (int64_t f = 0; f < s.features; ++f) {
      float total = 0;
      for (int64_t group = 0; group < groups; ++group) total += sums[(group * count + tap) * row + f];
      dw[tap * s.features + f] = total;
    }
}

}  // namespace fdl

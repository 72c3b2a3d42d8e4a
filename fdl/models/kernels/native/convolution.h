// Convolution in float32 and both its gradients, in one to three dimensions, of any size, stride and padding.
//
// All three read images through tables of offsets. Output pixel p begins at floats `pixels[p]` of a padded image, and
// element t of its window, a tap, lies `taps[t]` floats further, so that
//   y[p, f]  = sum_t image[pixels[p] + taps[t]] * w[t, f]      (correlate; the input gradient is one too, of y's gradient)
//   dw[t, f] = sum_p image[pixels[p] + taps[t]] * g[p, f]      (accumulate)
// A tile of sums stays in registers. How sums are split depends on shapes alone, so the bits are always the same.
#pragma once

#include "tiles.h"

namespace fdl {

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
  if (by_rows(s)) one.width = s.out[2];
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
    if (by_rows(s)) one.width = count[2];
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
  const int64_t run = s.side[2] * s.channels;  // of adjacent taps
  const int64_t count = taps.size(), row = vectors_of(s.features) * kLanes, all_pixels = pixels.size();
  const int64_t groups =
      std::max<int64_t>(1, std::min({most_groups, s.batch, s.batch * all_pixels / least_pixels, most_floats / (count * row)}));
  const int64_t parts = std::min(ceil_div(most_groups, groups), ceil_div(count, kRows));  // of the taps
  const bool whole = by_rows(s) && s.channels % kBlock == 0 && count / run % parts == 0;  // parts have whole runs
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
      for (int64_t f = 0; f < row; f += kWidth) {
        const int64_t vectors = std::min<int64_t>(kVectors, (row - f) / kLanes);
        if (whole && vectors == 1) {
          for (int64_t tap = first_tap; tap < end_tap; tap += run)
            for (int64_t c = 0; c < s.channels; c += kBlock)
              AccumulateRow{ready + taps[tap] + c, gradient + f, images, padded.floats(), all_pixels, s.out[2],
                            pixels.data(), s.channels, row, sums + (group * count + tap + c) * row + f}
                  .run();
          continue;
        }
        for (int64_t begin = first_tap, stop; begin < end_tap; begin = stop) {
          // Tiles of adjacent taps are the faster ones, unless there are few of them.
          stop = run < kRows ? end_tap : std::min(end_tap, (begin / run + 1) * run);
          each_tile(begin, stop, kRows, [&](int64_t tap, int64_t rows) {
            const AccumulateTile tile{ready,         gradient + f, images, padded.floats(), all_pixels, row,
                                      pixels.data(), &taps[tap],   sums + (group * count + tap) * row + f};
            with_tile_size(rows, vectors, tile);
          });
        }
      }
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

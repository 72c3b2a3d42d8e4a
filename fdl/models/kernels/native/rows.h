// Windows three pixels wide that move over rows by one pixel.
//
// Tiles of any pixels and taps (tiles.h) load a number for one or two multiply-adds, and processors load hardly faster
// than they multiply. Here a number of the image is loaded once for the three places of the window that see it.
#pragma once

#include "images.h"

namespace fdl {

constexpr int kSeen = 3;  // places that see a pixel: the width of the window
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kLong[] = {16, 10};  // pixels of a tile of one vector of columns, and of two; 0: none
constexpr int kBlock = 8;          // channels of a tile of kSeen x kBlock sums
#else
constexpr int kLong[] = {10, 0};
constexpr int kBlock = 3;
#endif

// Correlate `rows` adjacent pixels.
struct CorrelateRow {
  const std::vector<int32_t>& starts;  // of the window's runs of adjacent taps
  const float *image, *weights;        // at the first pixel
  float* out;
  const int32_t* targets;
  int64_t channels, columns;

  template <int rows, int vectors>
  void run() const {
    if constexpr (rows <= kLong[vectors - 1]) sum<rows, vectors>();
  }

  template <int rows, int vectors>
  [[gnu::noinline]] void sum() const {
    constexpr int bases = ceil_div(rows + kSeen - 1, 3);  // addresses in registers: a third of the pixels
    constexpr int lanes = vectors * kLanes;
    Vector sums[rows][vectors] = {};
    const float* w = weights;
    for (const int32_t start : starts) {
      const float* from[bases];
      for (int i = 0; i < bases; ++i) from[i] = image + start + 3 * i * channels;
      for (int64_t c = 0; c < channels; ++c, w += lanes) {
        Vector wide[kSeen][vectors];
#pragma GCC unroll 3
        for (int k = 0; k < kSeen; ++k)
#pragma GCC unroll 2
          for (int v = 0; v < vectors; ++v) wide[k][v] = load(w + k * channels * lanes + v * kLanes);
#pragma GCC unroll 32
        for (int q = 0; q < rows + kSeen - 1; ++q) {
          const float value = from[q / 3][q % 3 * channels];
#pragma GCC unroll 3
          for (int k = 0; k < kSeen; ++k)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; ++v)
              if (q >= k && q - k < rows) sums[q - k][v] += wide[k][v] * value;
        }
#pragma GCC unroll 16
        for (int i = 0; i < bases; ++i) ++from[i];
      }
      w += (kSeen - 1) * channels * lanes;
    }
    for (int r = 0; r < rows; ++r) store_columns<vectors>(out + targets[r], sums[r], columns);
  }
};

// Accumulate the sums of kSeen taps in a row, kBlock channels of each, where features fill one vector.
struct AccumulateRow {
  const float *images, *g;
  int64_t count, image_floats, pixels, width;  // images; floats of each; pixels of each, and of each row
  const int32_t* at;
  int64_t channels, row;  // floats from a pixel to the next, of the image and of g and the sums
  float* sums_of_taps;

  void run() const {
    Vector sums[kSeen][kBlock];
    for (int k = 0; k < kSeen; ++k)
      for (int c = 0; c < kBlock; ++c) sums[k][c] = load(sums_of_taps + (k * channels + c) * row);
    const float* gradient = g;
    for (int64_t n = 0; n < count; ++n)
      for (int64_t p = 0; p < pixels; p += width) {
        const float* from = images + n * image_floats + at[p];
        Vector before = {}, second = {};  // of the pixel before, and of the one before that
        const auto see = [&](Vector here) {
#pragma GCC unroll 8
          for (int c = 0; c < kBlock; ++c) {
            sums[0][c] += here * from[c];
            sums[1][c] += before * from[c];
            sums[2][c] += second * from[c];
          }
          second = before, before = here;
          from += channels;
        };
        for (int64_t q = 0; q < width; ++q, gradient += row) see(load(gradient));
        for (int k = 1; k < kSeen; ++k) see(Vector{});
      }
    for (int k = 0; k < kSeen; ++k)
      for (int c = 0; c < kBlock; ++c) store(sums_of_taps + (k * channels + c) * row, sums[k][c]);
  }
};

}  // namespace fdl

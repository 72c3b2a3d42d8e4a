// The two loops that all convolutions are: correlate and accumulate. A tile of sums stays in registers.
#pragma once

#include "images.h"
#include "rows.h"

namespace fdl {

// One correlation: the window's taps and the weights [tile of columns][tap][column], and which pixels go where.
struct Correlation {
  Offsets pixels, targets;           // of one image: offsets of what is read, and of where its sums are written
  std::vector<int32_t> starts;       // the window as runs of adjacent taps: where each run begins
  int64_t run = 0, columns = 0;      // taps of a run; columns of the result
  int64_t width = 0;                 // pixels of a row that are adjacent and see kSeen of them; 0 if they do not
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
  [[gnu::noinline]] void run() const {
    Vector sums[rows][vectors] = {};
    int64_t at[rows];
    for (int r = 0; r < rows; ++r) at[r] = pixels[r];
    const float* w = weights;
    for (const int32_t start : what.starts) {
      const float* from = image + start;
      for (const float* end = from + what.run; from != end; ++from, w += vectors * kLanes)
        add_products(sums, w, [from, &at](int r) { return from[at[r]]; });
    }
    for (int r = 0; r < rows; ++r) store_columns<vectors>(out + targets[r], sums[r], columns);
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
    const auto tile = [&](int64_t p, int64_t rows) {
      with_tile_size(rows, vectors, CorrelateTile{what, images, weights, &from[p], out + first, &to[p], left});
    };
    const auto row_tile = [&](int64_t p, int64_t rows) {
      with_tile_size<kLong[0]>(
          rows, vectors, CorrelateRow{what.starts, images + from[p], weights, out + first, &to[p], what.run / kSeen, left});
    };
    const int64_t most = kLong[vectors - 1];
    if (what.width == 0 || most == 0) each_tile(0, count * pixels, kRows, tile);
    else for (int64_t p = 0; p < count * pixels; p += what.width) each_tile(p, p + what.width, most, row_tile);
    weights += what.taps() * vectors * kLanes;
  }
}

// Correlate all images by each of the correlations, a few images at a time.
inline void correlate_all(Pool& pool, const Shape& shape, const Padded& padded, const std::vector<Correlation>& all,
                          const float* images, float* out, int64_t out_floats) {
  if (all.empty()) return;
  const int64_t image_floats = product(padded.size) * padded.channels;
  // Few pixels must not be all that a reading of many weights is for.
  const int64_t least = all[0].weights.size() > (size_t{1} << 18) ? 16 * kRows : 4 * kRows;
  const int64_t together = std::clamp<int64_t>(least / static_cast<int64_t>(std::max<size_t>(1, all[0].pixels.size())),
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

struct AccumulateTile {
  const float *images, *g;
  int64_t count, image_floats, pixels, row;  // images; floats of each; pixels of each, and floats of g for a pixel
  const int32_t *at, *taps;
  float* sums_of_taps;

  template <int rows, int vectors>
  void run() const {
    if (taps[rows - 1] - taps[0] == rows - 1) sum<rows, vectors, true>();
    else sum<rows, vectors, false>();
  }

  // adjacent: the taps follow one another, so that their addresses need no registers of their own.
  template <int rows, int vectors, bool adjacent>
  [[gnu::noinline]] void sum() const {
    Vector sums[rows][vectors];
    int64_t tap[rows];
    for (int r = 0; r < rows; ++r) {
      tap[r] = adjacent ? r : taps[r] - taps[0];
      for (int v = 0; v < vectors; ++v) sums[r][v] = load(sums_of_taps + r * row + v * kLanes);
    }
    const float* gradient = g;
    for (int64_t n = 0; n < count; ++n)
      for (int64_t p = 0; p < pixels; ++p, gradient += row) {
        const float* from = images + n * image_floats + at[p] + taps[0];
        add_products(sums, gradient, [from, &tap](int r) { return from[tap[r]]; });
      }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) store(sums_of_taps + r * row + v * kLanes, sums[r][v]);
  }
};

}  // namespace fdl

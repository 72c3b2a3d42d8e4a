// Vectors of the widest registers that the target has, by the vector extensions of GCC and Clang.
#pragma once

#include <cstdint>
#include <cstring>

namespace fdl {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 14;  // 28 of 32 registers hold sums
#elif defined(__AVX__)
constexpr int kLanes = 8, kRows = 6;  // 12 of 16
#elif defined(__aarch64__)
constexpr int kLanes = 4, kRows = 14;  // 28 of 32
#else
constexpr int kLanes = 4, kRows = 6;  // 12 of 16
#endif
constexpr int kVectors = 2;  // a tile of sums is at most kRows x kVectors vectors
constexpr int kWidth = kVectors * kLanes;

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);  // unaligned
  return value;
}

inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

// sums[r] += weights * value(r) for the rows of a tile, whose loops are unrolled so that the sums stay in registers.
template <int rows, int vectors, class Value>
[[gnu::always_inline]] inline void add_products(Vector (&sums)[rows][vectors], const float* weights,
                                                const Value& value) {
  Vector wide[vectors];
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) wide[v] = load(weights + v * kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sums[r][v] += wide[v] * value(r);
}

// Store the first `columns` numbers of some vectors.
template <int vectors>
inline void store_columns(float* to, const Vector (&values)[vectors], int64_t columns) {
  if (columns >= vectors * kLanes) {
    for (int v = 0; v < vectors; ++v) store(to + v * kLanes, values[v]);
  } else {
    Vector last[vectors];  // a copy: the values must have no address, or they would not stay in registers
    for (int v = 0; v < vectors; ++v) last[v] = values[v];
    std::memcpy(to, last, columns * sizeof(float));
  }
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline int64_t vectors_of(int64_t columns) { return ceil_div(columns, kLanes); }

// Call `body.template operator()<rows, vectors>()` for the tile's actual size, known to the compiler in each.
template <int rows = kRows, class Body>
inline void with_tile_size(int64_t actual_rows, int64_t actual_vectors, const Body& body) {
  if (actual_rows == rows) {
    if (actual_vectors == 1) body.template run<rows, 1>();
    else body.template run<rows, kVectors>();
  } else if constexpr (rows > 1) {
    with_tile_size<rows - 1>(actual_rows, actual_vectors, body);
  }
}

// Split the rows from `begin` to `end` into tiles of at most `most` whose sizes differ by one at most: visit(first, rows).
template <class Visit>
inline void each_tile(int64_t begin, int64_t end, int64_t most, const Visit& visit) {
  const int64_t count = end - begin, tiles = ceil_div(count, most);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = count * tile / tiles;
    visit(begin + first, count * (tile + 1) / tiles - first);
  }
}

}  // namespace fdl

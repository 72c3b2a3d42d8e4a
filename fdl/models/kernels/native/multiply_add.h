// The most floating point operations that a core does in a second: what every kernel is compared with.
#pragma once

#include "vectors.h"

namespace fdl {

// Return the FLOPs of `rounds` rounds of independent fused multiply-adds, twelve vectors each: as many as hide the
// latency of two units on any processor that has them, and as fit the registers.
inline double multiply_add(int64_t rounds) {
  constexpr int count = 12;
  volatile float scale = 0.999f, more = 0.001f;  // unknown to the compiler
  const Vector a = scale - Vector{}, b = more - Vector{};
  Vector sums[count];
  for (int i = 0; i < count; ++i) sums[i] = b * static_cast<float>(i);
  for (int64_t round = 0; round < rounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < count; ++i) sums[i] = sums[i] * a + b;
  Vector total = {};
  for (int i = 0; i < count; ++i) total += sums[i];
  volatile float used = total[0];  // without a use there would be no work
  static_cast<void>(used);
  return 2.0 * count * kLanes * static_cast<double>(rounds);
}

}  // namespace fdl

// Activations of vectors, to some 2e-7 of the largest value.
#pragma once

#include "vectors.h"

namespace fdl {

typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t))));

// e^x as 2^n e^r with |r| at most half of log 2, by the Taylor series of e^r.
inline Vector exp(Vector x) {
  constexpr float most = 87.0f, round = 12582912.0f;  // 1.5 * 2^23: adding it leaves no digit after the point
  x = x > most ? Vector{} + most : x < -most ? Vector{} - most : x;
  const Vector shifted = x * 1.44269504f + round, n = shifted - round;
  const Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;  // log 2 in two parts, the first of few digits
  Vector series = Vector{} + 1.0f / 5040;
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) series = series * r + factor;
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits - 0x4b400000 + 127) << 23;  // the bits of 1.5 * 2^23 are 0x4b400000
  Vector power;
  std::memcpy(&power, &bits, sizeof power);
  return series * power;
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exp(-x)); }

inline Vector tanh(Vector x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }

}  // namespace fdl

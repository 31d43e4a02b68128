// The nearest matrix of a low rank.
#pragma once

#include <cstdint>
#include <vector>

namespace guildhall {

struct LowRankFit {
  std::vector<float> a;         // (rank, in)
  std::vector<float> b;         // (out, rank)
  double relative_error = 0.0;  // || matrix - b a || / || matrix ||, Frobenius; of the rounded factors
};

// The truncated singular value decomposition of `matrix` (out, in), by subspace iteration in double precision
// (Halko, Martinsson, Tropp 2011, algorithm 4.4): a deterministic start, the singular values shared evenly by
// the factors. 1 <= rank <= min(out, in).
LowRankFit FitLowRank(const std::vector<double>& matrix, int64_t out, int64_t in, int64_t rank);

}  // namespace guildhall

#include "tools/low_rank_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "base/check.h"

namespace guildhall {
namespace {

constexpr int64_t kOversampling = 8;
constexpr int kIterations = 8;

// Row-major.
struct Matrix2 {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix2(int64_t r, int64_t c) : rows(r), columns(c), values(static_cast<size_t>(r * c)) {}
  double* Row(int64_t r) { return values.data() + r * columns; }
  const double* Row(int64_t r) const { return values.data() + r * columns; }
};

// Rows of `basis` become orthonormal; one that depends on those before it becomes zero. Done twice,
// because a single pass of Gram-Schmidt loses digits.
void Orthonormalise(Matrix2& basis) {
  const int64_t n = basis.columns;
  for (int64_t i = 0; i < basis.rows; ++i) {
    double* row = basis.Row(i);
    const double before = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const double* other = basis.Row(j);
        const double along = std::inner_product(row, row + n, other, 0.0);
        for (int64_t c = 0; c < n; ++c) row[c] -= along * other[c];
      }
    }
    const double length = std::sqrt(std::inner_product(row, row + n, row, 0.0));
    const double factor = length > 1e-12 * before && length > 0 ? 1.0 / length : 0.0;
    for (int64_t c = 0; c < n; ++c) row[c] *= factor;
  }
}

// rows (k, out) times the matrix (out, in).
Matrix2 TimesMatrix(const Matrix2& rows, const std::vector<double>& matrix, int64_t in) {
  Matrix2 product(rows.rows, in);
  for (int64_t o = 0; o < rows.columns; ++o) {
    const double* from = matrix.data() + o * in;
    for (int64_t k = 0; k < rows.rows; ++k) {
      const double factor = rows.Row(k)[o];
      double* to = product.Row(k);
      for (int64_t c = 0; c < in; ++c) to[c] += factor * from[c];
    }
  }
  return product;
}

// rows (k, in) times the transposed matrix (in, out).
Matrix2 TimesTransposed(const Matrix2& rows, const std::vector<double>& matrix, int64_t out) {
  Matrix2 product(rows.rows, out);
  for (int64_t o = 0; o < out; ++o) {
    const double* from = matrix.data() + o * rows.columns;
    for (int64_t k = 0; k < rows.rows; ++k) {
      product.Row(k)[o] = std::inner_product(from, from + rows.columns, rows.Row(k), 0.0);
    }
  }
  return product;
}

// Eigenvectors (rows) and values of a symmetric matrix, by Jacobi's rotations.
struct Eigen {
  Matrix2 vectors;
  std::vector<double> values;
};

Eigen JacobiEigen(Matrix2 m) {
  const int64_t n = m.rows;
  Matrix2 vectors(n, n);
  for (int64_t i = 0; i < n; ++i) vectors.Row(i)[i] = 1.0;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, diagonal = 0;
    for (int64_t i = 0; i < n; ++i) {
      diagonal += m.Row(i)[i] * m.Row(i)[i];
      for (int64_t j = 0; j < i; ++j) off += m.Row(i)[j] * m.Row(i)[j];
    }
    if (off <= 1e-30 * diagonal) break;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double across = m.Row(p)[q];
        if (across == 0) continue;
        const double theta = (m.Row(q)[q] - m.Row(p)[p]) / (2 * across);
        const double t = (theta >= 0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int64_t i = 0; i < n; ++i) {
          const double x = m.Row(i)[p], y = m.Row(i)[q];
          m.Row(i)[p] = c * x - s * y;
          m.Row(i)[q] = s * x + c * y;
        }
        for (Matrix2* turned : {&m, &vectors}) {
          double* x = turned->Row(p);
          double* y = turned->Row(q);
          for (int64_t i = 0; i < n; ++i) {
            const double first = x[i], second = y[i];
            x[i] = c * first - s * second;
            y[i] = s * first + c * second;
          }
        }
      }
    }
  }
  Eigen eigen{std::move(vectors), {}};
  for (int64_t i = 0; i < n; ++i) eigen.values.push_back(m.Row(i)[i]);
  return eigen;
}

double RelativeError(const std::vector<double>& matrix, int64_t out, int64_t in, int64_t rank,
                     const LowRankFit& fit) {
  double error = 0, whole = 0;
  std::vector<double> row(static_cast<size_t>(in));
  for (int64_t o = 0; o < out; ++o) {
    std::copy_n(matrix.data() + o * in, in, row.data());
    whole += std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
    for (int64_t k = 0; k < rank; ++k) {
      const double factor = fit.b[static_cast<size_t>(o * rank + k)];
      for (int64_t c = 0; c < in; ++c) {
        row[static_cast<size_t>(c)] -= factor * double{fit.a[static_cast<size_t>(k * in + c)]};
      }
    }
    error += std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
  }
  return whole > 0 ? std::sqrt(error / whole) : 0.0;
}

}  // namespace

LowRankFit FitLowRank(const std::vector<double>& matrix, int64_t out, int64_t in, int64_t rank) {
  GH_CHECK(rank >= 1 && rank <= std::min(out, in));
  const int64_t width = std::min({rank + kOversampling, out, in});
  Matrix2 basis(width, out);  // rows span the space of the matrix's columns
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (double& value : basis.values) value = normal(random);
  Orthonormalise(basis);
  for (int i = 0; i < kIterations; ++i) {
    Matrix2 inputs = TimesMatrix(basis, matrix, in);
    Orthonormalise(inputs);
    basis = TimesTransposed(inputs, matrix, out);
    Orthonormalise(basis);
  }
  const Matrix2 small = TimesMatrix(basis, matrix, in);  // (width, in): the matrix in that space
  Matrix2 gram(width, width);
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      gram.Row(i)[j] = std::inner_product(small.Row(i), small.Row(i) + in, small.Row(j), 0.0);
    }
  }
  const Eigen eigen = JacobiEigen(std::move(gram));
  std::vector<int64_t> order(static_cast<size_t>(width));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t x, int64_t y) {
    return eigen.values[static_cast<size_t>(x)] > eigen.values[static_cast<size_t>(y)];
  });
  LowRankFit fit;
  fit.a.resize(static_cast<size_t>(rank * in));
  fit.b.resize(static_cast<size_t>(out * rank));
  for (int64_t k = 0; k < rank; ++k) {
    const int64_t at = order[static_cast<size_t>(k)];
    const double* mix = eigen.vectors.Row(at);
    const double singular = std::sqrt(std::max(eigen.values[static_cast<size_t>(at)], 0.0));
    if (singular == 0) continue;  // of a lower rank than asked for
    const double root = std::sqrt(singular);
    for (int64_t c = 0; c < in; ++c) {
      double sum = 0;
      for (int64_t w = 0; w < width; ++w) sum += mix[w] * small.Row(w)[c];
      fit.a[static_cast<size_t>(k * in + c)] = static_cast<float>(sum / root);
    }
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t w = 0; w < width; ++w) sum += mix[w] * basis.Row(w)[o];
      fit.b[static_cast<size_t>(o * rank + k)] = static_cast<float>(sum * root);
    }
  }
  fit.relative_error = RelativeError(matrix, out, in, rank, fit);
  return fit;
}

}  // namespace guildhall

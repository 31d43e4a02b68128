// Products y (64, columns) = a (64, k) b (columns, k)^T of bf16 numbers, and what is asked
// of their columns.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace guildhall::probe {

constexpr int kRows = 64;    // of a: what one wgmma has, and four warps of mma.sync
constexpr int kSize = 2048;  // of k

using Matrix = std::vector<uint16_t>;  // bits of bf16 numbers
using Product = std::function<std::vector<float>(const Matrix& a, const Matrix& b)>;

// By mma.sync; `columns` a multiple of 8.
std::vector<float> MmaOf(const Matrix& a, const Matrix& b, int columns);

std::vector<float> ColumnOf(const std::vector<float>& y, int columns, int column);

// A fact: how many of so many results differ.
void Answer(const std::string& question, size_t different, size_t of);

// One column, moved over all places beside random neighbours, and beside zeros, infinities
// and NaNs.
void AskPlaces(const std::string& kind, int columns, const Product& product);

}  // namespace guildhall::probe

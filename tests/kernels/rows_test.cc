// Ops that move rows: embed and gather_rows.
#include <catch2/catch.hpp>

#include "tests/kernels/kernel_test.h"

namespace guildhall {

TEST_CASE("embed widens rows of every dtype exactly, at any width and alignment") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (int64_t hidden : {1, 2, 7, 16, 31, 33, 64, 257}) {
        Random random(static_cast<uint64_t>(hidden));
        const int64_t vocabulary = 11;
        // One byte off: a mapped checkpoint promises no alignment.
        std::vector<std::byte> bytes(static_cast<size_t>(vocabulary * hidden) * DTypeSize(dtype) + 1);
        for (int64_t i = 0; i < vocabulary * hidden; ++i) {
          const float value = random.Float();
          const auto bits = std::bit_cast<uint32_t>(value);
          const auto half =
              static_cast<uint16_t>(dtype == DType::kBF16 ? FloatToBF16(value) : bits % 0x7c00u);
          if (dtype == DType::kF32) {
            std::memcpy(bytes.data() + 1 + 4 * i, &value, 4);
          } else {
            std::memcpy(bytes.data() + 1 + 2 * i, &half, 2);
          }
        }
        const std::vector<int32_t> tokens{3, 10, 0, 3};
        const auto rows = static_cast<int64_t>(tokens.size());
        const auto tokens_there = OnDevice(*backend, tokens);
        const auto table = OnDevice(*backend, bytes);
        const auto there = FilledOnDevice(*backend, rows * hidden, -1.0f);
        backend->Embed({tokens_there.data(), table.data() + 1, dtype, there.data(), rows, hidden});
        const auto y = there.Read();
        for (size_t row = 0; row < tokens.size(); ++row) {
          for (int64_t i = 0; i < hidden; ++i) {
            const float expected = LoadElement(bytes.data() + 1, dtype, tokens[row] * hidden + i);
            REQUIRE(y[row * static_cast<size_t>(hidden) + static_cast<size_t>(i)] == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("embed reads every finite f16 as the number that it is") {
  std::vector<uint16_t> table;
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    if ((bits & 0x7c00u) != 0x7c00u) table.push_back(static_cast<uint16_t>(bits));
  }
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    const auto token = FilledOnDevice(*backend, 1, int32_t{0});
    const auto width = static_cast<int64_t>(table.size());
    const auto table_there = OnDevice(*backend, table);
    const auto there = FilledOnDevice(*backend, width, 0.0f);
    backend->Embed({token.data(), table_there.data(), DType::kF16, there.data(), 1, width});
    const auto y = there.Read();
    for (size_t i = 0; i < table.size(); ++i) REQUIRE(y[i] == F16ToFloat(table[i]));
  }
}

TEST_CASE("gather_rows copies the rows that it is told, also twice, on any number of threads") {
  for (const TestBackend& on : OpTestBackends()) {
    Random random(4);
    const int64_t width = 1001, all = 90;
    const auto x = random.Floats(all * width);
    std::vector<int32_t> rows;
    for (int i = 0; i < 70; ++i) rows.push_back(static_cast<int32_t>(random.Below(all)));
    for (const int threads : on.lanes) {
      const auto backend = MakeTestBackend(on, threads);
      const auto count = static_cast<int64_t>(rows.size());
      const auto x_there = OnDevice(*backend, x);
      const auto rows_there = OnDevice(*backend, rows);
      const auto there = FilledOnDevice(*backend, count * width, 0.0f);
      backend->GatherRows({x_there.data(), rows_there.data(), there.data(), count, width});
      const auto y = there.Read();
      for (size_t i = 0; i < rows.size(); ++i) {
        REQUIRE(std::memcmp(y.data() + i * static_cast<size_t>(width), x.data() + rows[i] * width,
                            static_cast<size_t>(width) * 4) == 0);
      }
    }
  }
}

}  // namespace guildhall

// A step's arrays on the device.
#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/kernels/cuda/cuda_fixture.h"

namespace guildhall {
namespace {

using emulation::EmulatedDevice;

// What lies at `home`.
template <typename T>
std::vector<T> Read(Backend& backend, const T* home, size_t count) {
  const size_t bytes = count * sizeof(T);
  auto* const place = reinterpret_cast<std::byte*>(const_cast<T*>(home));
  auto twin = backend.memory().MakeTwin(place, bytes);
  REQUIRE(twin.ok());
  REQUIRE(backend.memory().Download(*twin, bytes).ok());
  const T* const values = twin->template As<T>();
  return {values, values + count};
}

// `rows` rows of one sequence, row r of set[r].
struct Rows {
  explicit Rows(int32_t count) {
    for (int32_t row = 0; row < count; ++row) {
      tokens.push_back(100 + row);
      positions.push_back(row);
      sequence.push_back(0);
      kv_place.push_back(1000 + row);
    }
    block_table.assign(static_cast<size_t>(count / kKvBlockTokens + 1), 9);
  }
  StepInputs Of(std::span<const SetTable> sets = {}) const {
    return {.tokens = tokens,
            .positions = positions,
            .sequence = sequence,
            .kv_place = kv_place,
            .set = set,
            .block_table = block_table,
            .max_blocks = static_cast<int64_t>(block_table.size()),
            .logit_rows = logit_rows,
            .sets = sets};
  }

  std::vector<int32_t> tokens, positions, sequence, set, block_table, logit_rows;
  std::vector<int64_t> kv_place;
};

TEST_CASE("cuda step: all arrays arrive, in one copy") {
  CudaFixture cuda;
  Rows rows(5);
  rows.logit_rows = {1, 4};
  EmulatedDevice::TakeCounts();
  const StepData& data = cuda->BeginStep(rows.Of());
  REQUIRE(cuda->Finish().ok());
  CHECK(EmulatedDevice::TakeCounts().uploads == 1);
  CHECK(data.rows == 5);
  CHECK(data.logits == 2);
  CHECK(data.max_blocks == 1);
  CHECK(data.row_sets.none());
  CHECK(Read(*cuda, data.tokens, 5) == rows.tokens);
  CHECK(Read(*cuda, data.positions, 5) == rows.positions);
  CHECK(Read(*cuda, data.sequence, 5) == rows.sequence);
  CHECK(Read(*cuda, data.kv_place, 5) == rows.kv_place);
  CHECK(Read(*cuda, data.block_table, 1) == rows.block_table);
  CHECK(Read(*cuda, data.logit_rows, 2) == rows.logit_rows);
}

TEST_CASE("cuda step: sets become segments, cut where they are long, and base rows are in none") {
  CudaFixture cuda;
  Rows rows(200);
  rows.set.assign(200, 1);
  for (size_t row = 0; row < 10; ++row) rows.set[row] = -1;
  for (size_t row = 10; row < 30; ++row) rows.set[row] = 0;
  rows.logit_rows = {0, 29, 199};
  const std::array<SetTable, 2> sets = {};
  const StepData& data = cuda->BeginStep(rows.Of(sets));
  REQUIRE(cuda->Finish().ok());
  CHECK(Read(*cuda, data.row_sets.set, 200) == rows.set);
  const auto segments = Read(*cuda, data.row_sets.segments, static_cast<size_t>(data.row_sets.segment_count));
  int32_t row = 10;
  for (const RowSegment& segment : segments) {
    CHECK(segment.begin == row);
    CHECK(segment.end - segment.begin <= 64);
    CHECK(segment.set == rows.set[static_cast<size_t>(row)]);
    row = segment.end;
  }
  CHECK(row == 200);
  CHECK(Read(*cuda, data.logit_sets.set, 3) == std::vector<int32_t>{-1, 0, 1});
  CHECK(data.logit_sets.segment_count == 2);
}

TEST_CASE("cuda step: the arrays stay at one address, and a larger step gets room for itself") {
  CudaFixture cuda;
  const int32_t* const small = cuda->BeginStep(Rows(3).Of()).tokens;
  REQUIRE(cuda->Finish().ok());
  CHECK(cuda->BeginStep(Rows(4).Of()).tokens == small);
  const Rows many(40'000);
  const StepData& data = cuda->BeginStep(many.Of());
  REQUIRE(cuda->Finish().ok());
  CHECK(Read(*cuda, data.positions, 40'000) == many.positions);
}

TEST_CASE("cuda step: a step that is begun before the last was awaited does not change what that one reads") {
  CudaFixture cuda;
  cuda.PrepareSteps();
  const DeviceBuffer values = cuda.Upload(std::array<float, 8>{0, 1, 2, 3, 4, 5, 6, 7});
  const DeviceBuffer to = cuda.Upload(std::array<float, 8>{});
  for (int32_t row : {1, 0}) {
    Rows rows(1);
    rows.tokens[0] = row;
    const StepData& data = cuda->BeginStep(rows.Of());
    cuda->GatherRows(
        {.x = values.As<float>(), .row = data.tokens, .y = to.As<float>() + 4 * row, .rows = 1, .width = 4});
  }
  REQUIRE(cuda->Finish().ok());
  CHECK(cuda.Download(to.data(), 8) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("cuda step: without room for its arrays a step fails, and nothing is enqueued") {
  CudaFixture cuda;
  cuda.PrepareSteps();
  const DeviceBuffer values = cuda.Upload(std::array<float, 4>{1, 2, 3, 4});
  EmulatedDevice::Fail("cudaMalloc", 1, cudaErrorMemoryAllocation);
  EmulatedDevice::TakeCounts();
  const StepData& data = cuda->BeginStep(Rows(3).Of());
  cuda->GatherRows({.x = values.As<float>(), .row = data.tokens, .y = nullptr, .rows = 1, .width = 4});
  CHECK(cuda->Finish().code() == absl::StatusCode::kResourceExhausted);
  CHECK(EmulatedDevice::TakeCounts().kernels.empty());
  cuda->BeginStep(Rows(3).Of());
  CHECK(cuda->Finish().ok());
}

}  // namespace
}  // namespace guildhall

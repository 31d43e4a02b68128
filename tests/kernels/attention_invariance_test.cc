// A row of attention has the same bits whatever stands beside it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "tests/kernels/attention_case.h"

namespace guildhall {
namespace {

std::vector<AttentionCase> Cases(const TestBackend& on) {
  std::vector<AttentionCase> cases;
  for (KvFormat format : on.kv_formats()) {
    cases.push_back({{2, 33, 33, false, format}, 1, 0, {150, 40, 70}});
    cases.push_back({{2, 64, 40, false, format}, 7, 0, {100, 17, 20}});
    cases.push_back({{1, 16, 16, false, format}, 3, 21, {150, 80, 33}});
    cases.push_back({{1, 52, 43, true, format}, 16, 0, {100, 3, 30}});
    cases.push_back({{1, 20, 16, true, format}, 5, 37, {110, 60, 64}});
  }
  return cases;
}

// The bits that every row must have: whole sequences alone, on one thread.
std::map<RowId, std::vector<float>> Expected(const AttentionData& data, const TestBackend& on) {
  const auto backend = MakeTestBackend(on, 1);
  PagedCache cache(data, *backend, 11);
  std::map<RowId, std::vector<float>> rows;
  const auto width = static_cast<size_t>(data.c.heads() * data.c.shape.value_dim);
  for (int64_t s = 0; s < static_cast<int64_t>(data.c.lengths.size()); ++s) {
    const auto ids = WholeSequence(data, s);
    const auto y = cache.Step(ids);
    for (size_t i = 0; i < ids.size(); ++i)
      rows[ids[i]] = {y.begin() + static_cast<int64_t>(i * width),
                      y.begin() + static_cast<int64_t>((i + 1) * width)};
  }
  return rows;
}

void RequireRows(const std::vector<RowId>& ids, const std::vector<float>& y,
                 const std::map<RowId, std::vector<float>>& expected) {
  const size_t width = y.size() / ids.size();
  for (size_t i = 0; i < ids.size(); ++i) {
    INFO("sequence " << ids[i].first << ", position " << ids[i].second);
    REQUIRE(SameBits({y.data() + i * width, width}, expected.at(ids[i])));
  }
}

}  // namespace

TEST_CASE("attention: a row alone has the bits of the row in its prompt", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on, 2);
    for (const AttentionCase& c : Cases(on)) {
      const AttentionData data(c);
      const auto expected = Expected(data, on);
      PagedCache cache(data, *backend, 12);
      INFO(on.name << ", " << c.Text());
      for (const RowId& row : WholeSequence(data, 0)) RequireRows({row}, cache.Step({row}), expected);
    }
  }
}

TEST_CASE(
    "attention: prompts in random chunks, mixed with others, on 1 to 3 threads, in other blocks: the same "
    "bits",
    "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    for (const int threads : on.lanes) {
      const auto backend = MakeTestBackend(on, threads);
      for (const AttentionCase& c : Cases(on)) {
        const AttentionData data(c);
        const auto expected = Expected(data, on);
        Random random(c.seed + static_cast<uint64_t>(threads));
        PagedCache cache(data, *backend, 13 + static_cast<uint64_t>(threads));
        std::vector<int64_t> done(c.lengths.size());
        INFO(on.name << ", " << threads << " threads, " << c.Text());
        while (true) {
          // One step: a chunk of each of some sequences, in random order.
          std::vector<RowId> rows;
          for (int32_t s : random.Permutation(static_cast<int64_t>(done.size()))) {
            const auto i = static_cast<size_t>(s);
            const int64_t most = random.Below(3) == 0 ? 1 : random.Below(70);
            const int64_t end = std::min(c.lengths[i], done[i] + most);
            for (; done[i] < end; ++done[i]) rows.emplace_back(s, done[i]);
          }
          if (!rows.empty()) RequireRows(rows, cache.Step(rows), expected);
          if (done == c.lengths) break;
        }
      }
    }
  }
}

TEST_CASE("attention: keys in parts over 1 to 3 threads, few heads and many: the same bits", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    for (KvFormat format : on.kv_formats()) {
      for (const KvShape& shape : {KvShape{1, 24, 20, true, format}, KvShape{2, 17, 19, false, format}}) {
        for (int window : {0, 700}) {
          const AttentionData data({shape, 5, window, {1300, 530}});
          const auto expected = Expected(data, on);
          for (const int threads : on.lanes) {
            const auto backend = MakeTestBackend(on, threads);
            PagedCache cache(data, *backend, 20);
            INFO(on.name << ", " << threads << " threads, " << data.c.Text());
            for (int64_t s : {0, 1}) cache.Append(WholeSequence(data, s));
            // One row, or two with contexts of three parts and of two, go by parts; many do not.
            for (const std::vector<RowId>& rows :
                 {std::vector<RowId>{{0, 1299}}, {{0, 1298}, {0, 1299}, {1, 512}}, {{1, 511}}, {{0, 1024}}}) {
              RequireRows(rows, cache.Attend(rows), expected);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("attention: a window of one token more than the position changes no bit") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    AttentionCase c{{2, 24, 24, false, KvFormat::kBF16}, 2, 0, {90}};
    const AttentionData open(c);
    c.window = 90;
    const AttentionData windowed(c);
    const auto rows = WholeSequence(open, 0);
    REQUIRE(SameBits(PagedCache(open, *backend, 1).Step(rows), PagedCache(windowed, *backend, 2).Step(rows)));
  }
}

}  // namespace guildhall

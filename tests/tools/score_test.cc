// Scores against double precision, and the .npy files against a reader of the tests' own.
#include "tools/score.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"
#include "tests/support/npy.h"
#include "tests/support/temp_folder.h"
#include "tools/npy.h"

namespace guildhall {
namespace {

// Every third is served with an adapter set.
std::vector<ScoreSequence> Sequences() {
  std::vector<ScoreSequence> sequences;
  for (int32_t i = 0; i < 12; ++i) {
    std::vector<int32_t> tokens(static_cast<size_t>(1 + i * 9));
    std::iota(tokens.begin(), tokens.end(), i);
    for (int32_t& token : tokens) token %= 61;
    sequences.push_back(
        {.tokens = std::move(tokens), .adapters = i % 3 == 1 ? MakeSet(static_cast<uint64_t>(i)) : nullptr});
  }
  return sequences;
}

// The logits that follow the first `count` tokens.
std::vector<float> LogitsAfter(const ScoreSequence& sequence, size_t count) {
  return FakeLogits(std::span(sequence.tokens).first(count), 61,
                    sequence.adapters == nullptr ? 0 : sequence.adapters->id);
}

double ExactLogprob(const ScoreSequence& sequence, size_t count) {
  const std::vector<float> logits = LogitsAfter(sequence, count);
  const int32_t token = sequence.tokens[count];
  double sum = 0.0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  return static_cast<double>(logits[static_cast<size_t>(token)]) - std::log(sum);
}

TEST_CASE("Every token's log-probability and the perplexity, whatever the queue and the step hold") {
  FakeModel model({.max_outputs = 7, .kv_blocks = 16});
  EngineOptions options = SmallOptions();
  options.max_queued = GENERATE(2, 1000);
  Engine engine(model, options, BaseTask());
  engine.Start();
  const std::vector<ScoreSequence> sequences = Sequences();
  const auto results = Score(engine, sequences);
  REQUIRE(results.ok());
  REQUIRE(results->size() == sequences.size());
  for (size_t s = 0; s < sequences.size(); ++s) {
    const ScoreResult& result = (*results)[s];
    REQUIRE(result.logprobs.size() == sequences[s].tokens.size() - 1);
    double sum = 0.0;
    for (size_t i = 0; i + 1 < sequences[s].tokens.size(); ++i) {
      const double exact = ExactLogprob(sequences[s], i + 1);
      CHECK(static_cast<double>(result.logprobs[i]) == Approx(exact).margin(1e-5));
      sum += exact;
    }
    if (s == 0) {
      CHECK(std::isnan(result.perplexity));
    } else {
      CHECK(result.perplexity ==
            Approx(std::exp(-sum / static_cast<double>(sequences[s].tokens.size() - 1))).epsilon(1e-5));
    }
  }
}

TEST_CASE("Every row of logits reaches the callback once, in order") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  const std::vector<ScoreSequence> sequences = Sequences();
  std::map<size_t, int32_t> rows;
  bool right = true;
  const auto results =
      Score(engine, sequences, [&](size_t sequence, int32_t position, std::span<const float> logits) {
        right = right && rows[sequence]++ == position;
        const std::vector<float> expected =
            LogitsAfter(sequences[sequence], static_cast<size_t>(position) + 1);
        right = right && std::equal(logits.begin(), logits.end(), expected.begin(), expected.end());
        return absl::OkStatus();
      });
  REQUIRE(results.ok());
  CHECK(right);
  for (size_t s = 0; s < sequences.size(); ++s)
    CHECK(rows[s] == static_cast<int32_t>(sequences[s].tokens.size()));
}

TEST_CASE("An error names the sequence and leaves nothing running") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  std::vector<ScoreSequence> sequences = Sequences();
  SECTION("of the callback") {
    const auto results =
        Score(engine, sequences, [](size_t sequence, int32_t position, std::span<const float>) {
          return sequence == 3 && position == 5 ? absl::UnavailableError("no space left on device")
                                                : absl::OkStatus();
        });
    CHECK(results.status().code() == absl::StatusCode::kUnavailable);
    CHECK(results.status().message() == "sequence 3: no space left on device");
  }
  SECTION("of the engine") {
    sequences[4].tokens[2] = 61;
    const auto results = Score(engine, sequences);
    CHECK(results.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(results.status().message()).find("sequence 4: prompt[2] is 61") == 0);
  }
  AwaitIdle(engine);
  CHECK(engine.Status().kv_blocks_free == 64);
}

TEST_CASE("A .npy file reads back as it was written, its data on a border of 64 bytes") {
  const TempFolder folder;
  for (const int64_t columns : {1, 3, 1000}) {
    auto writer = NpyWriter::Create(folder / "a.npy", 2, columns);
    REQUIRE(writer.ok());
    std::vector<float> values(static_cast<size_t>(2 * columns));
    std::iota(values.begin(), values.end(), 0.5f);
    REQUIRE(writer->Append(std::span(values).first(static_cast<size_t>(columns))).ok());
    REQUIRE(writer->Append(std::span(values).subspan(static_cast<size_t>(columns))).ok());
    REQUIRE(writer->Close().ok());
    const NpyArray array = ReadNpy(folder / "a.npy");
    CHECK(array.shape == std::vector<int64_t>{2, columns});
    CHECK(array.values == values);
    CHECK((std::filesystem::file_size(folder / "a.npy") - values.size() * 4) % 64 == 0);
  }
}

TEST_CASE("The first bytes of a .npy file are those of its format, version 1.0") {
  const TempFolder folder;
  auto writer = NpyWriter::Create(folder / "a.npy", 1, 2);
  REQUIRE(writer.ok());
  REQUIRE(writer->Append(std::vector<float>{1.0f, 2.0f}).ok());
  REQUIRE(writer->Close().ok());
  std::ifstream file(folder / "a.npy", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  CHECK(bytes.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  CHECK(bytes.substr(10, 61) == "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }  ");
  CHECK(bytes[127] == '\n');
  CHECK(bytes.substr(128) == std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));
}

TEST_CASE("A .npy file that cannot be written or is left incomplete is an error that names it") {
  const TempFolder folder;
  const auto absent = NpyWriter::Create(folder / "absent/a.npy", 1, 1);
  CHECK(std::string(absent.status().message()).find("absent/a.npy: No such file or directory") !=
        std::string::npos);
  auto writer = NpyWriter::Create(folder / "a.npy", 2, 1);
  REQUIRE(writer.ok());
  REQUIRE(writer->Append(std::vector<float>{1.0f}).ok());
  CHECK(writer->Close().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace guildhall

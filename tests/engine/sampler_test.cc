// The sampler against a plain double-precision reference, by hand-computed examples and by the distribution
// it draws.
#include "engine/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "engine/logprobs.h"
#include "engine/philox.h"

namespace guildhall {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

SamplingParams Plain() {
  SamplingParams params;
  params.temperature = 0.0f;
  return params;
}

int32_t Choose(const std::vector<float>& logits, const SamplingParams& params,
               std::vector<int32_t> prompt = {}, std::vector<int32_t> output = {},
               std::vector<int32_t> masked = {}) {
  Sampler sampler(static_cast<int64_t>(logits.size()));
  const auto token = sampler.Sample(logits, params, prompt, output, masked);
  REQUIRE(token.ok());
  return *token;
}

// All processors in doubles, by the words of the header: the probability of each token.
std::vector<double> ReferenceProbabilities(const std::vector<float>& logits, const SamplingParams& params,
                                           const std::vector<int32_t>& prompt,
                                           const std::vector<int32_t>& output,
                                           const std::vector<int32_t>& masked) {
  std::vector<double> x(logits.begin(), logits.end());
  const auto contains = [](const std::vector<int32_t>& tokens, size_t id) {
    return std::find(tokens.begin(), tokens.end(), static_cast<int32_t>(id)) != tokens.end();
  };
  for (const auto& [token, bias] : params.logit_bias)
    x[static_cast<size_t>(token)] += static_cast<double>(bias);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto penalty = static_cast<double>(params.repetition_penalty);
    if (contains(prompt, i) || contains(output, i)) x[i] = x[i] < 0 ? x[i] * penalty : x[i] / penalty;
    const auto count = static_cast<double>(std::count(output.begin(), output.end(), static_cast<int32_t>(i)));
    if (count > 0) {
      x[i] -= static_cast<double>(params.presence_penalty) +
              count * static_cast<double>(params.frequency_penalty);
    }
    if (contains(masked, i)) x[i] = -std::numeric_limits<double>::infinity();
    x[i] /= static_cast<double>(params.temperature);
  }
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  std::vector<double> p(x.size(), 0.0);
  const double kth = params.top_k > 0
                         ? x[order[std::min(order.size(), static_cast<size_t>(params.top_k)) - 1]]
                         : -std::numeric_limits<double>::infinity();
  double total = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] >= kth) p[i] = std::exp(x[i] - x[order[0]]);
    total += p[i];
  }
  double sum = 0.0;
  for (const size_t i : order) {
    if (sum >= static_cast<double>(params.top_p) * total) p[i] = 0.0;
    sum += p[i];
  }
  for (double& value : p) {
    if (value < static_cast<double>(params.min_p)) value = 0.0;
  }
  total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= total;
  return p;
}

TEST_CASE("Philox4x32-10 gives the published vectors") {
  using Words = std::array<uint32_t, 4>;
  CHECK(Philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(Philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Uniform numbers are in at least 0 and below 1 and differ by seed and by position") {
  CHECK(UniformAt(0, 0) == static_cast<double>(0x6627e8d5e169c58du >> 11) * 0x1.0p-53);
  CHECK(UniformAt(1, 0) != UniformAt(0, 0));
  CHECK(UniformAt(uint64_t{1} << 40, 0) != UniformAt(0, 0));
  CHECK(UniformAt(0, 1) != UniformAt(0, 0));
  double sum = 0.0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = UniformAt(42, i);
    REQUIRE((u >= 0.0 && u < 1.0));
    sum += u;
  }
  CHECK(sum / 10000 == Approx(0.5).margin(0.01));  // three sigma: 0.0087
}

TEST_CASE("Greedy takes the largest, the lowest id among equals") {
  CHECK(Choose({1.0f, 3.0f, 2.0f}, Plain()) == 1);
  CHECK(Choose({1.0f, 3.0f, 3.0f, 3.0f}, Plain()) == 1);
  std::vector<float> many(1000, -5.0f);
  many[777] = many[333] = 2.0f;
  CHECK(Choose(many, Plain()) == 333);
}

TEST_CASE("Repetition penalty divides positive and multiplies negative logits, once for each token") {
  SamplingParams params = Plain();
  params.repetition_penalty = 2.0f;
  // 3 / 2 = 1.5 < 2, however often token 0 occurred.
  CHECK(Choose({3.0f, 2.0f, 0.0f}, params, {0, 0, 0}) == 1);
  CHECK(Choose({3.0f, 1.4f, 0.0f}, params, {0}, {0}) == 0);
  // -1 * 2 = -2 < -1.5; a division would have raised it to -0.5.
  CHECK(Choose({-1.0f, -1.5f}, params, {}, {0}) == 1);
}

TEST_CASE("Presence penalty counts once, frequency penalty each time, both over the output only") {
  SamplingParams params = Plain();
  params.presence_penalty = 1.0f;
  CHECK(Choose({2.0f, 1.5f}, params, {}, {0, 0, 0}) == 1);  // 2 - 1 = 1
  CHECK(Choose({3.0f, 1.5f}, params, {}, {0, 0, 0}) == 0);  // 3 - 1 = 2
  CHECK(Choose({2.0f, 1.5f}, params, {0, 0, 0}) == 0);
  params = Plain();
  params.frequency_penalty = 0.5f;
  CHECK(Choose({3.0f, 1.6f}, params, {}, {0, 0, 0}) == 1);  // 3 - 1.5 = 1.5
  CHECK(Choose({3.0f, 1.6f}, params, {}, {0, 0}) == 0);     // 3 - 1 = 2
  params.frequency_penalty = -1.0f;                         // rewards
  CHECK(Choose({3.0f, 1.6f}, params, {}, {1, 1}) == 1);     // 1.6 + 2
}

TEST_CASE("Logit bias adds, before the repetition penalty, -infinity excludes") {
  SamplingParams params = Plain();
  params.logit_bias = {{1, 2.5f}};
  CHECK(Choose({3.0f, 1.0f}, params) == 1);
  params.repetition_penalty = 2.0f;
  CHECK(Choose({3.0f, 1.0f}, params, {1}) == 0);  // (1 + 2.5) / 2 = 1.75, and not 1 / 2 + 2.5 = 3
  params = Plain();
  params.logit_bias = {{0, -kInfinity}};
  CHECK(Choose({3.0f, 1.0f}, params) == 1);
  params.temperature = 1.0f;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    params.seed = seed;
    CHECK(Choose({3.0f, 1.0f}, params) == 1);
  }
}

TEST_CASE("Masked tokens are never chosen, and a mask over everything is an error") {
  CHECK(Choose({3.0f, 1.0f, 2.0f}, Plain(), {}, {}, {0}) == 2);
  Sampler sampler(2);
  const std::vector<int32_t> all = {0, 1};
  const auto token = sampler.Sample(std::vector<float>{3.0f, 1.0f}, Plain(), {}, {}, all);
  CHECK(token.status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("A logit that is NaN or infinite is an error that names the token") {
  for (const float bad : {std::nanf(""), kInfinity, -kInfinity}) {
    std::vector<float> logits(40, 0.5f);
    logits[33] = bad;
    Sampler sampler(40);
    const auto token = sampler.Sample(logits, Plain(), {}, {}, {});
    CHECK(token.status().code() == absl::StatusCode::kInternal);
    CHECK(std::string(token.status().message()).find("logit of token 33") != std::string::npos);
  }
}

TEST_CASE(
    "Top-k keeps the k best and those equal to the k-th, top-p the smallest sufficient set, min-p the "
    "ratio") {
  const auto drawn = [](const std::vector<float>& logits, SamplingParams params) {
    std::vector<int32_t> seen;
    Sampler sampler(static_cast<int64_t>(logits.size()));
    for (params.seed = 0; params.seed < 400; ++params.seed) {
      const int32_t token = *sampler.Sample(logits, params, {}, {}, {});
      if (std::find(seen.begin(), seen.end(), token) == seen.end()) seen.push_back(token);
    }
    std::sort(seen.begin(), seen.end());
    return seen;
  };
  using Ids = std::vector<int32_t>;
  SamplingParams params;
  params.top_k = 2;
  CHECK(drawn({1.0f, 2.0f, 3.0f, 1.5f}, params) == Ids{1, 2});
  CHECK(drawn({2.0f, 2.0f, 3.0f, 1.5f}, params) == Ids{0, 1, 2});
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> halves = {std::log(4.0f), std::log(2.0f), 0.0f, 0.0f};
  params = {};
  params.top_p = 0.4f;
  CHECK(drawn(halves, params) == Ids{0});
  params.top_p = 0.6f;
  CHECK(drawn(halves, params) == Ids{0, 1});
  params.top_p = 0.8f;
  CHECK(drawn(halves, params) == Ids{0, 1, 2});
  params.top_p = 0.9f;
  CHECK(drawn(halves, params) == Ids{0, 1, 2, 3});
  params.top_p = 1e-6f;
  CHECK(drawn(halves, params) == Ids{0});
  params = {};
  params.min_p = 0.3f;
  CHECK(drawn(halves, params) == Ids{0, 1});
  params.min_p = 0.2f;
  CHECK(drawn(halves, params) == Ids{0, 1, 2, 3});
  // Temperature comes first: at 0.25 the ratios are their fourth powers, 1/16 and 1/256.
  params.temperature = 0.25f;
  params.min_p = 0.06f;
  CHECK(drawn(halves, params) == Ids{0, 1});
  params.min_p = 0.065f;
  CHECK(drawn(halves, params) == Ids{0});
}

TEST_CASE("A tiny temperature is greedy") {
  SamplingParams params;
  for (const float temperature : {1e-6f, 1e-30f, std::numeric_limits<float>::denorm_min()}) {
    params.temperature = temperature;
    for (params.seed = 0; params.seed < 20; ++params.seed) CHECK(Choose({1.0f, 1.5f, 1.4999f}, params) == 1);
  }
}

TEST_CASE("The draw inverts the reference's cumulative distribution for every combination of settings") {
  std::mt19937 random(11);
  const auto uniform = [&] { return std::uniform_real_distribution<float>(0.0f, 1.0f)(random); };
  int checked = 0;
  for (int round = 0; round < 600; ++round) {
    const size_t vocabulary = round % 3 == 0 ? 7 : round % 3 == 1 ? 100 : 5000;
    std::vector<float> logits(vocabulary);
    for (float& logit : logits) logit = uniform() * 12.0f - 8.0f;
    SamplingParams params;
    params.temperature = 0.2f + 2.0f * uniform();
    params.seed = random();
    if (random() % 2 == 0) params.top_k = 1 + static_cast<int32_t>(random() % 200);
    if (random() % 2 == 0) params.top_p = 0.05f + 0.94f * uniform();
    if (random() % 2 == 0) params.min_p = 0.2f * uniform();
    if (random() % 2 == 0) params.repetition_penalty = 0.7f + uniform();
    if (random() % 2 == 0) params.presence_penalty = uniform() * 4.0f - 2.0f;
    if (random() % 2 == 0) params.frequency_penalty = uniform() * 4.0f - 2.0f;
    std::vector<int32_t> prompt, output, masked;
    for (int i = 0; i < 10; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % vocabulary));
      output.push_back(static_cast<int32_t>(random() % vocabulary));
    }
    if (random() % 2 == 0) masked = {static_cast<int32_t>(random() % vocabulary)};
    if (random() % 2 == 0) params.logit_bias = {{static_cast<int32_t>(random() % vocabulary), 3.0f}};

    const int32_t token = Choose(logits, params, prompt, output, masked);
    const std::vector<double> p = ReferenceProbabilities(logits, params, prompt, output, masked);
    const double u = UniformAt(params.seed, output.size());
    double below = 0.0;
    for (int32_t i = 0; i < token; ++i) below += p[static_cast<size_t>(i)];
    const double above = below + p[static_cast<size_t>(token)];
    // A margin for the floats of the sampler; a cut that falls between two almost equal tokens may shift by
    // one of them.
    CAPTURE(round, token, u, below, above);
    CHECK(u >= below - 2e-3);
    CHECK(u <= above + 2e-3);
    ++checked;
  }
  CHECK(checked == 600);
}

TEST_CASE("Ten thousand seeds draw the distribution") {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f, 0.5f};
  SamplingParams params;
  params.temperature = 0.8f;
  const std::vector<double> p = ReferenceProbabilities(logits, params, {}, {}, {});
  std::vector<int> counts(logits.size());
  Sampler sampler(5);
  for (params.seed = 0; params.seed < 10000; ++params.seed) {
    ++counts[static_cast<size_t>(*sampler.Sample(logits, params, {}, {}, {}))];
  }
  double chi_squared = 0.0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * 10000;
    chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  CHECK(chi_squared < 13.28);  // 4 degrees of freedom, 1 %; the seeds are fixed
}

TEST_CASE("The output position alone moves the draw on") {
  const std::vector<float> logits(64, 0.0f);
  SamplingParams params;
  params.seed = 9;
  std::vector<int32_t> output;
  for (int i = 0; i < 20; ++i) {
    const int32_t token = Choose(logits, params, {1, 2, 3}, output);
    CHECK(token == Choose(logits, params, {}, output));
    CHECK(token == static_cast<int32_t>(UniformAt(9, output.size()) * 64));
    output.push_back(token);
  }
}

TEST_CASE("A large vocabulary gives the same draw as its reference, flat or peaked") {
  for (const float spread : {0.0f, 0.01f, 20.0f}) {
    std::mt19937 random(3);
    std::vector<float> logits(200000);
    for (float& logit : logits) logit = spread * std::uniform_real_distribution<float>(-1.0f, 1.0f)(random);
    SamplingParams params;
    params.top_p = 0.9f;
    params.seed = 77;
    const int32_t token = Choose(logits, params);
    const std::vector<double> p = ReferenceProbabilities(logits, params, {}, {}, {});
    double below = 0.0;
    for (int32_t i = 0; i < token; ++i) below += p[static_cast<size_t>(i)];
    CHECK(UniformAt(77, 0) >= below - 1e-4);
    CHECK(UniformAt(77, 0) <= below + p[static_cast<size_t>(token)] + 1e-4);
  }
}

}  // namespace
}  // namespace guildhall

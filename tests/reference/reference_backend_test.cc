// What a back end needs is behind the interface: one that owns memory which nobody else can touch, and that
// computes nothing before it is asked to finish, serves whole models, adapters and the engine.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <variant>

#include "absl/time/clock.h"
#include "engine/engine.h"
#include "engine/token_stream.h"
#include "tests/model/adapter_runner.h"
#include "tests/model/runner.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/compare.h"

namespace guildhall {
namespace {

constexpr Tolerance kFloat{1e-4, 1e-4};

LoadedModel OnReference(const std::string& directory) {
  return LoadModelOn(std::make_unique<ReferenceBackend>(), directory);
}

// Whether a process that does this is ended by it.
template <typename Action>
bool Ends(Action action) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT}) std::signal(signal, SIG_DFL);
    action();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

TEST_CASE("host code that reads or writes guarded memory faults, and twins are the way in and out") {
  GuardedMemory memory;
  const DeviceBuffer buffer = memory.Allocate(4096, "some bytes").value();
  volatile std::byte* const home = buffer.data();
  CHECK(Ends([&] { (void)static_cast<std::byte>(home[17]); }));
  CHECK(Ends([&] { home[17] = std::byte{1}; }));
  CHECK_FALSE(Ends([] {}));

  const HostTwin twin = memory.MakeTwin(buffer.data() + 64, 8).value();
  for (size_t i = 0; i < 8; ++i) twin.data()[i] = static_cast<std::byte>(i);
  REQUIRE(memory.Upload(twin).ok());
  const HostTwin other = memory.MakeTwin(buffer.data() + 66, 2).value();
  REQUIRE(memory.Download(other, 2).ok());
  CHECK(other.data()[0] == std::byte{2});
  CHECK(other.data()[1] == std::byte{3});
  // The owner sees the same, and no promise of zeros elsewhere.
  CHECK(memory.At(buffer.data(), 4096)[65] == std::byte{1});
  CHECK(memory.At(buffer.data(), 4096)[0] == std::byte{0xff});
}

TEST_CASE("every float32 family is served in memory that the host cannot touch") {
  int families = 0;
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    if (golden.bf16) continue;
    const LoadedModel model = OnReference(golden.directory);
    const Golden::Sequence& sequence = golden.sequences.front();
    INFO(name);
    const std::vector<float> logits = FeedAlone(*model.decoder, sequence.tokens);
    REQUIRE(logits.size() == sequence.logits.values.size());
    CHECK(Excess(logits, sequence.logits.values, kFloat) <= 0.0);
    ++families;
  }
  CHECK(families >= 20);
}

TEST_CASE("adapters of every kind are served there, in one mixed batch") {
  for (const std::string name : {"esft_deepseek_v2_lite", "esft_qwen2_moe", "lora_latent_v3",
                                 "lora_per_expert_olmoe", "lora_shared_deepseek", "lora_clip_olmoe",
                                 "lora_embedding_qwen2", "dora_latent", "dora_per_expert", "mixed_olmoe"}) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    AdaptedModel model(golden, OnReference(LoadGolden(golden.base).directory));
    std::mt19937 random(3);
    const auto mixed = FeedTogether(
        *model.loaded.decoder, model.tokens, [](size_t, int64_t left) { return left; }, random,
        model.AllServed());
    for (size_t s = 0; s < golden.sequences.size(); ++s) {
      INFO(name << ", sequence " << s);
      CHECK(Excess(mixed[s], golden.sequences[s].logits.values, {2e-4, 2e-4}) <= 0.0);
    }
  }
}

TEST_CASE("normed rows and the routers' choices come down beside logits") {
  const Golden golden = LoadGolden("olmoe_f32");
  for (const bool reference : {false, true}) {
    INFO(reference);
    const LoadedModel model =
        reference ? OnReference(golden.directory) : LoadModel(golden.directory, DefaultTestBackend(), 1);
    const ModelSpec& spec = model.decoder->spec();
    const std::vector<int32_t> tokens{3, 1, 4}, positions{0, 1, 2}, sequence{0, 0, 0}, table{5};
    const std::vector<int64_t> places{80, 81, 82};
    const std::vector<OutputRow> outputs{
        {0, OutputRow::Kind::kHidden}, {1, OutputRow::Kind::kLogits}, {2, OutputRow::Kind::kHidden}};
    Batch batch;
    batch.tokens = tokens;
    batch.positions = positions;
    batch.sequence = sequence;
    batch.kv_place = places;
    batch.block_table = table;
    batch.max_blocks = 1;
    batch.outputs = outputs;
    batch.observe_routes = true;
    const std::vector<float> all = FeedAlone(*model.decoder, tokens);
    const StepOutput out = RunStep(*model.decoder, batch).value();
    CHECK(out.logits.size() == static_cast<size_t>(spec.vocabulary));
    REQUIRE(out.hidden.size() == static_cast<size_t>(2 * spec.hidden));
    CHECK(out.routes.size() == spec.layers.size());
    for (const StepOutput::Routes& routes : out.routes) {
      CHECK(routes.experts.size() == static_cast<size_t>(3 * spec.gate.k));
      for (const int32_t expert : routes.experts) CHECK((expert >= 0 && expert < spec.gate.experts));
    }
    const auto width = static_cast<size_t>(spec.vocabulary);
    CHECK(Excess({out.logits.begin(), out.logits.end()},
                 {all.begin() + static_cast<long>(width), all.begin() + static_cast<long>(2 * width)},
                 kFloat) <= 0.0);
  }
}

std::vector<int32_t> Answer(TokenStream& stream) {
  std::vector<int32_t> tokens;
  while (auto event = stream.Pop(absl::Now() + absl::Minutes(5))) {
    if (const auto* token = std::get_if<TokenEvent>(&*event)) tokens.push_back(token->token);
    if (std::holds_alternative<RequestEnd>(*event)) return tokens;
  }
  FAIL("no end within five minutes");
  return tokens;
}

TEST_CASE("the engine over it continues as transformers does, token for token") {
  for (const std::string name : {"olmoe_f32", "deepseek_v2_lite_f32"}) {
    const Golden golden = LoadGolden(name);
    const LoadedModel model = OnReference(golden.directory);
    EngineOptions options;
    options.prefill_chunk = 5;
    Engine engine(*model.decoder, options, {TaskPolicy{}});
    engine.Start();
    std::vector<std::shared_ptr<Request>> requests;
    for (const Golden::Greedy& greedy : golden.greedy) {
      auto request = std::make_shared<Request>();
      request->id = requests.size() + 1;
      request->prompt = greedy.prompt;
      request->sampling.temperature = 0.0f;
      request->sampling.max_tokens = static_cast<int32_t>(greedy.continuation.size());
      request->stream = std::make_shared<TokenStream>(greedy.continuation.size() + 1);
      requests.push_back(request);
      REQUIRE(engine.Submit(request).ok());
    }
    INFO(name);
    for (size_t i = 0; i < requests.size(); ++i) {
      CHECK(Answer(*requests[i]->stream) == golden.greedy[i].continuation);
    }
  }
}

}  // namespace
}  // namespace guildhall

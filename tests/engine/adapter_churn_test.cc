// Requests over several tasks while adapters are loaded, replaced, pinned, evicted and unloaded beside them:
// every answer is that of the request alone, with the weights that it began with.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"
#include "tests/weights/manager_fixture.h"
#include "weights/product_numbers.h"
#include "weights/weight_manager.h"

namespace guildhall {
namespace {

constexpr uint64_t kBlock = 2048;  // bytes
const std::vector<std::string> kNames{"a", "b", "c", "d", "e"};

AdapterManifest ManifestOf(const ModelSpec& spec, const std::string& name) {
  if (name == "a") return EsftManifest({{1, 0}, {2, 0}});
  if (name == "b") return EsftManifest({{1, 1}, {2, 1}, {2, -1}});
  if (name == "c") return EsftManifest({{1, 2}, {1, 3}});
  if (name == "d") return EsftManifest({{2, 2}, {2, 3}});
  return LoraManifest({TinyChange(spec, {WeightRole::kQ, 1}, 5), TinyChange(spec, {WeightRole::kO, 2}, 20)});
}

class Hash {
 public:
  void Add(uint64_t value) {
    state_ = (state_ ^ value) * 0xbf58476d1ce4e5b9u;
    state_ ^= state_ >> 29;
  }
  void Add(const Matrix& matrix) {
    if (matrix.empty()) return;
    const size_t bytes = FixtureBackend().PackedBytes(PackShape::Stack(matrix.format, matrix.out, matrix.in));
    std::vector<uint64_t> words(bytes / 8);
    CopyFromDevice(FixtureBackend(), matrix.data, std::as_writable_bytes(std::span(words)));
    for (const uint64_t word : words) Add(word);
  }
  uint64_t value() const { return state_ | 1; }  // 0 is the base

 private:
  uint64_t state_ = 1;
};

// A number made of every weight that the set brings, read where a step would read it: through its expert map
// in these tables. The base's own experts count as their slots.
uint64_t ContentOf(const AdapterSet& set, const ExpertTables& tables) {
  Hash hash;
  for (size_t l = 0; l < set.layers.size(); ++l) {
    const LayerAdapterSet& layer = set.layers[l];
    for (size_t e = 0; e < layer.expert_map.size(); ++e) {
      const auto slot = static_cast<size_t>(layer.expert_map[e]);
      GH_CHECK_LT(slot, tables.tables[static_cast<size_t>(RoutedMap(l))].slots.size());
      if (slot == e) continue;
      const FfnWeights& expert = tables.tables[static_cast<size_t>(RoutedMap(l))].slots[slot];
      GH_CHECK(!expert.gate_up.empty());
      hash.Add(1000 * l + e);
      hash.Add(expert.gate_up);
      hash.Add(expert.down);
    }
    if (layer.shared_slot < 0) continue;
    const auto slot = static_cast<size_t>(layer.shared_slot);
    const FfnWeights& shared = tables.tables[static_cast<size_t>(SharedMap(l))].slots.at(slot);
    hash.Add(shared.gate_up);
    hash.Add(shared.down);
  }
  for (const std::vector<LowRankTerm>& terms : set.products) {
    for (const LowRankTerm& term : terms) {
      LowRank change;  // lies on the device
      CopyFromDevice(FixtureBackend(), reinterpret_cast<const std::byte*>(term.change),
                     std::as_writable_bytes(std::span(&change, 1)));
      hash.Add(change.a);
    }
  }
  return hash.value();
}

// Of the model: texts repeat themselves, so that guesses are right at times.
constexpr int64_t kVocabulary = 17;
constexpr int64_t kMemory = 2;  // tokens

class Churn {
 public:
  explicit Churn(uint32_t seed)
      : seed_(seed),
        model_({.vocabulary = kVocabulary,
                .kv_blocks = 48,
                .release_blocks = 3,
                .memory = kMemory,
                .set_number = [](const Batch& batch,
                                 size_t set) { return ContentOf(*batch.sets[set], *batch.tables); },
                .on_batch = [this](const Batch&) { CheckBudget(); }}) {
    EngineOptions options = SmallOptions();
    options.budget = f_.budget;
    options.kv_block_bytes = kBlock;
    options.min_kv_blocks = 12;
    options.co_batching_patience = 2;
    options.step_bound = StepCost::Mode::kAuto;
    engine_ = std::make_unique<Engine>(model_, options, BaseTask(), f_.manager.get());
    engine_->Start();
  }

  // Each of three clients asks so many times.
  void Run(int requests) {
    std::vector<std::thread> clients;
    for (uint32_t i = 0; i < 3; ++i)
      clients.emplace_back([this, i, requests] { Ask(seed_ * 100 + i, requests); });
    std::thread admin([this] { Administer(seed_ * 100 + 50); });
    for (std::thread& client : clients) client.join();
    done_ = true;
    admin.join();

    CHECK(served_ == 3 * requests);
    CHECK(wrong_ == 0);
    CHECK(refused_ > 0);
    CHECK(over_budget_ == 0);
    CHECK(model_.most_sets() > 1);
    CHECK(numbers_.size() > kNames.size());  // some were replaced
    const EngineStatus status = engine_->Status();
    CHECK(status.kv_blocks_free == status.kv_blocks);
    for (const EngineStatus::Task& task : status.tasks) CHECK(task.queued + task.running == 0);
    CHECK(status.tasks.front().accepted_tokens > 0);

    engine_.reset();
    for (const AdapterInfo& info : f_.manager->List()) {
      CHECK(info.readers == 0);
      // It may be on its way from disk, for a request that did not wait for it.
      const auto unloaded = f_.manager->Unload(info.name, info.version, absl::Minutes(1));
      INFO(unloaded.status().ToString());
      CHECK(unloaded.ok());
    }
    f_.manager->AwaitFreed();
    CHECK(f_.manager->mapped_bytes() == 0);
    CHECK(f_.pages->mapped_bytes == 0);
    CHECK(f_.budget->free() == f_.budget->total());
    CHECK(f_.budget->wanted_of_kv() == 0);
  }

 private:
  // On the engine thread, so that the KV cache's part stands still.
  void CheckBudget() {
    if (f_.pages->mapped_bytes + f_.budget->used(ByteBudget::Holder::kKvCache) > f_.budget->total())
      ++over_budget_;
  }

  struct Open {
    std::shared_ptr<Request> request;
    uint64_t number = 0;
    size_t cancel_after = SIZE_MAX;
  };

  void Ask(uint32_t seed, int requests) {
    std::mt19937 random(seed);
    std::vector<Open> open;
    for (int accepted = 0; accepted < requests;) {
      Open next;
      next.request =
          MakeRequest(std::vector<int32_t>(1 + random() % 60, static_cast<int32_t>(random() % 3)),
                      Greedy(1 + static_cast<int32_t>(random() % 30)), random() % 3 == 0 ? "law" : "");
      if (random() % 2 == 0) {
        next.request->speculation = {.max_draft_tokens = 6, .min_ngram = 1, .max_ngram = 3};
      }
      if (!Acquire(random, *next.request, next.number)) {
        ++refused_;
        // A load waits for the readers before it, and this client holds some: it lets go of one.
        if (open.empty()) {
          std::this_thread::sleep_for(std::chrono::microseconds(200));  // the administrator will see to it
        } else {
          Finish(open, random() % open.size());
        }
        continue;
      }
      if (random() % 6 == 0) next.cancel_after = random() % 10;
      if (!engine_->Submit(next.request).ok()) continue;  // the task is not there at the moment
      ++accepted;
      open.push_back(std::move(next));
      while (open.size() > random() % 8) Finish(open, random() % open.size());
    }
    for (const Open& one : open) Check(*one.request, one.number, one.cancel_after);
  }

  void Finish(std::vector<Open>& open, size_t at) {
    Check(*open[at].request, open[at].number, open[at].cancel_after);
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
  }

  bool Acquire(std::mt19937& random, Request& request, uint64_t& number) {
    if (random() % 4 == 0) return true;  // the base
    std::vector<AdapterUse> uses{{kNames[random() % kNames.size()]}};
    if (random() % 3 == 0) uses.push_back({kNames[random() % kNames.size()]});
    const absl::Time deadline = random() % 4 == 0 ? absl::Now() : absl::Now() + absl::Milliseconds(20);
    auto set = f_.manager->Acquire(uses, deadline);
    if (!set.ok()) return false;
    number = ContentOf(**set, *f_.manager->Tables());
    request.adapters = *std::move(set);
    // A set's number stands for its content for ever, whatever was evicted and came back in between.
    std::lock_guard lock(mutex_);
    if (numbers_.emplace(request.adapters->id, number).first->second != number) ++wrong_;
    return true;
  }

  void Check(const Request& request, uint64_t number, size_t cancel_after) {
    TokenStream& stream = *request.stream;
    std::vector<int32_t> tokens;
    if (cancel_after == 0) stream.Cancel(FinishReason::kCancelled);
    RequestEnd end;
    while (auto event = stream.Pop(absl::Now() + absl::Minutes(1))) {
      if (auto* last = std::get_if<RequestEnd>(&*event)) {
        end = *last;
        break;
      }
      tokens.push_back(std::get<TokenEvent>(*event).token);
      if (tokens.size() == cancel_after) stream.Cancel(FinishReason::kCancelled);
    }
    const std::vector<int32_t> solo = SoloTokens(request, kVocabulary, {}, number, kMemory);
    const bool cut = end.reason == FinishReason::kCancelled && cancel_after != SIZE_MAX;
    const bool right =
        cut ? tokens.size() <= solo.size() && std::equal(tokens.begin(), tokens.end(), solo.begin())
            : end.status.ok() && tokens == solo;
    ++(right ? served_ : wrong_);
  }

  void Administer(uint32_t seed) {
    std::mt19937 random(seed);
    while (!done_) {
      const std::string& name = kNames[random() % kNames.size()];
      switch (random() % 10) {
        case 0:
          (void)f_.manager->Unload(name, std::nullopt, absl::Milliseconds(random() % 3));
          break;
        case 1:
          (void)f_.manager->Pin(name, true);
          break;
        case 2:
        case 3:
          for (const std::string& any : kNames) (void)f_.manager->Pin(any, false);
          break;
        case 4:
          GH_CHECK(engine_->PutTask({.id = "law", .max_running = 2}).ok());
          break;
        case 5:
          (void)engine_->DeleteTask("law");
          break;
        default: {
          const auto world = std::make_shared<TinyWorld>();
          if (random() % 5 == 0) world->fail_at = 1 + random() % 6;
          LoadRequest request{.name = name,
                              .open = OpenTiny(f_.spec, ManifestOf(f_.spec, name), random(), world)};
          request.replace = random() % 2 == 0;
          if (random() % 6 == 0) request.cancel = Stopped();
          (void)f_.manager->Load(request);
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
    }
    for (const std::string& any : kNames) (void)f_.manager->Pin(any, false);
  }

  const uint32_t seed_;
  // Room for the least KV cache and about half of the adapters.
  ManagerFixture f_{uint64_t{18} * ManagerFixture::kPage + 16 * kBlock, {.formats = {}, .load_threads = 2}};
  FakeModel model_;
  std::unique_ptr<Engine> engine_;
  std::atomic<bool> done_{false};
  std::atomic<int64_t> served_{0}, wrong_{0}, refused_{0}, over_budget_{0};
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> numbers_;  // set id -> content
};

TEST_CASE("Under churn of adapters every request is served with the weights that it began with", "[device]") {
  const uint32_t seed = GENERATE(1u, 2u, 3u);
  Churn(seed).Run(250);
}

}  // namespace
}  // namespace guildhall

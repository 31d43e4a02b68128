// Every key of the configuration has an effect or is refused: shown here, or by the test that is named here.
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "config/keys.h"
#include "server/deployment.h"
#include "server/sampling_messages.h"
#include "tests/server/config_proofs.h"

namespace guildhall {
namespace {

void ProveSampling(Proofs& proofs) {
  for (const SamplingEffect& effect : SamplingEffects()) {
    if (effect.name == "seed" || effect.name == "logit_bias") continue;  // no keys
    const std::string name = effect.name == "bad_words_ids.ids" ? "bad_words_ids" : effect.name;
    v1::GenerateRequest request = effect.base;
    request.clear_sampling();
    if (effect.base.sampling().has_seed()) request.mutable_sampling()->set_seed(1);
    proofs.Add("sampling." + name, std::function<bool()>([effect, request] {
                 const auto seen = [&](const v1::SamplingOptions& options) {
                   ServerConfig config = TestConfig();
                   config.sampling = Merge(ReadSampling(options, "sampling").value(), config.sampling);
                   TestServer server(EffectModel(), config);
                   return Seen(*server.Inference(), request);
                 };
                 v1::SamplingOptions with = effect.base.sampling();
                 effect.set(with);
                 return seen(effect.base.sampling()) != seen(with);
               }));
  }
}

// Of messages and what is in them.
void ProveLimits(Proofs& proofs) {
  const auto limit = [&](const std::string& name, int64_t LimitsConfig::*member, int64_t value,
                         const v1::GenerateRequest& request) {
    proofs.Answered("limits." + name, request, [=](ServerConfig& config) { config.limits.*member = value; });
  };
  const v1::GenerateRequest request = IdRequest(kRepeats, 8);
  const auto with = [&](const std::function<void(v1::GenerateRequest&)>& change) {
    v1::GenerateRequest changed = request;
    change(changed);
    return changed;
  };
  limit("prompt_tokens", &LimitsConfig::prompt_tokens, 1,
        with([](auto& r) { r.mutable_token_ids()->add_ids(5); }));
  limit("max_tokens", &LimitsConfig::max_tokens, 3, request);
  limit("prompt_bytes", &LimitsConfig::prompt_bytes, 1, TextRequest("hello", 2));
  limit("message_bytes", &LimitsConfig::message_bytes, 1024, TextRequest(std::string(2000, 'a'), 2));
  const auto stopped = with([](auto& r) { r.mutable_sampling()->add_stop("two"); });
  limit("stop_strings", &LimitsConfig::stop_strings, 0, stopped);
  limit("stop_bytes", &LimitsConfig::stop_bytes, 1, stopped);
  limit("stop_token_ids", &LimitsConfig::stop_token_ids, 0,
        with([](auto& r) { r.mutable_sampling()->add_stop_token_ids(5); }));
  limit("logit_bias", &LimitsConfig::logit_bias, 0,
        with([](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[5] = 1.0f; }));
  limit("top_logprobs", &LimitsConfig::top_logprobs, 0,
        with([](auto& r) { r.mutable_logprobs()->set_top(2); }));
  limit("draft_tokens", &LimitsConfig::draft_tokens, 0,
        with([](auto& r) { r.mutable_speculation()->set_max_draft_tokens(4); }));
  limit("chat_messages", &LimitsConfig::chat_messages, 1, with([](auto& r) {
          for (int i = 0; i < 2; ++i) r.mutable_chat()->add_messages()->set_role("user");
          for (auto& message : *r.mutable_chat()->mutable_messages()) message.set_content("hello");
        }));
  proofs.Answered("limits.time_limit_s", IdRequest(kRepeats, 4000),
                  [](ServerConfig& config) { config.limits.time_limit_s = 0.001; });
}

// The value comes to what reads it; tests of the engine show what it makes of it.
template <typename Get>
void Arrives(Proofs& proofs, const std::string& name, const std::function<void(EngineConfig&)>& set,
             Get get) {
  proofs.Add("engine." + name, std::function<bool()>([set, get] {
               EngineConfig config;
               const auto before = get(EngineOptionsOf(config).value());
               set(config);
               return before != get(EngineOptionsOf(config).value());
             }));
}

void ProveEngine(Proofs& proofs) {
  const auto arrives = [&](const auto& name, const auto& set, const auto& get) {
    Arrives(proofs, name, set, get);
  };
  arrives(
      "token_budget", [](auto& e) { e.token_budget = 300; }, [](auto o) { return o.token_budget; });
  arrives(
      "prefill_chunk", [](auto& e) { e.prefill_chunk = 30; }, [](auto o) { return o.prefill_chunk; });
  arrives(
      "target_step_ms", [](auto& e) { e.target_step_ms = "7"; }, [](auto o) { return o.target_step; });
  arrives(
      "co_batching_patience", [](auto& e) { e.co_batching_patience = 3; },
      [](auto o) { return o.co_batching_patience; });
  for (const char* key : {"engine.max_queued", "engine.max_running"}) {
    proofs.Test(key, "server/errors_test.cc", "a full queue, a task's quota");
  }
  for (const char* key : {"engine.stall_limit_s", "engine.stream_capacity"}) {
    proofs.Test(key, "server/lifecycle_test.cc", "a reader that stops reading pauses itself");
  }
  proofs.Test("engine.hung_step_s", "server/lifecycle_test.cc", "a step that hangs turns liveness");
  proofs.Served(
      "engine.prefix_cache", [](ServerConfig& config) { config.engine.prefix_cache = false; },
      [](TestServer& server) {
        v1::GenerateRequest prompt = IdRequest(kRepeats, 1);
        for (int i = 0; i < 200; ++i) prompt.mutable_token_ids()->add_ids(i % 7 + 10);
        Ask(*server.Inference(), prompt);
        return Seen(*server.Inference(), prompt);
      });
  v1::GenerateRequest repeating = IdRequest(kRepeats, 64);
  for (int i = 0; i < 8; ++i) repeating.mutable_token_ids()->add_ids(kRepeats);
  proofs.Answered("engine.speculation.max_draft_tokens", repeating,
                  [](ServerConfig& config) { config.engine.speculation.max_draft_tokens = 4; });
  repeating.mutable_speculation()->set_max_draft_tokens(4);
  proofs.Answered("engine.speculation.min_ngram", repeating, [](ServerConfig& config) {
    config.engine.speculation.min_ngram = 64;
    config.engine.speculation.max_ngram = 64;
  });
  v1::GenerateRequest two = IdRequest(kLooksUp, 3);
  for (const int32_t id : {5, 6, 70, 8, 6, 71, 5}) two.mutable_token_ids()->add_ids(id);
  two.mutable_speculation()->set_max_draft_tokens(1);
  two.mutable_speculation()->set_min_ngram(1);
  proofs.Answered("engine.speculation.max_ngram", two, [](ServerConfig& config) {
    config.engine.speculation.min_ngram = 1;  // as the request says
    config.engine.speculation.max_ngram = 1;
  });
}

void CheckAll(const Proofs& proofs) {
  for (const auto& [key, proof] : proofs.all()) {
    INFO(key << ": set, and nothing changed");
    CHECK(Holds(key, proof));
  }
}

}  // namespace

TEST_CASE("every key of the configuration has an effect or is refused") {
  Proofs proofs, listeners;
  ProveSampling(proofs), ProveLimits(proofs), ProveEngine(proofs), ProveModelKeys(proofs);
  ProveListenerKeys(listeners);
  std::set<std::string> keys;
  for (const auto& key : ServerKeys()) keys.insert(key.path);
  for (const auto& key : AdapterKeys()) keys.insert("adapters.preload.NAME." + key.path);
  for (const std::string& key : keys) {
    INFO(key << ": a key that nothing shows to have an effect");
    CHECK((proofs.all().contains(key) || listeners.all().contains(key)));
  }
  for (const Proofs* some : {&proofs, &listeners}) {
    for (const auto& [key, proof] : some->all()) CHECK(keys.contains(key));
  }
  CheckAll(proofs);
}

TEST_CASE("every key of the listeners has an effect or is refused") {
  Proofs proofs;
  ProveListenerKeys(proofs);
  CheckAll(proofs);
}

}  // namespace guildhall

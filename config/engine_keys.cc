// The keys of the engine, and the upper bounds of single requests.
#include "config/key_group.h"
#include "engine/speculation.h"

namespace guildhall {
namespace {

void AddSpeculationKeys(KeyGroup<ServerConfig, SpeculationConfig> speculation) {
  speculation.Add("max_draft_tokens",
                  "tokens that prompt lookup guesses at a time where neither request nor task says; 0: none",
                  &SpeculationConfig::max_draft_tokens, {0, kMaxDraftTokens});
  speculation.Add("min_ngram", "so many last tokens must have occurred before", &SpeculationConfig::min_ngram,
                  {1, kMaxNgram});
  speculation.Add("max_ngram", "more last tokens are not compared", &SpeculationConfig::max_ngram,
                  {1, kMaxNgram});
}

void AddLimitsKeys(KeyGroup<ServerConfig, LimitsConfig> limits) {
  limits.Add("message_bytes", "largest request message", &LimitsConfig::message_bytes, {1024, 1 << 30});
  limits.Add("metadata_bytes", "largest metadata of a call", &LimitsConfig::metadata_bytes, {1024, 1 << 20});
  limits.Add("concurrent_requests", "open Generate calls of all clients", &LimitsConfig::concurrent_requests,
             {1, 4096});
  limits.Add("concurrent_requests_per_host",
             "open Generate calls of the clients of one address; 0: seven eighths of all",
             &LimitsConfig::concurrent_requests_per_host, {0, 4096});
  limits.Add("streams_per_connection", "open calls of one connection", &LimitsConfig::streams_per_connection,
             {1, 65536});
  limits.Add("connections", "connections of the clients' listener; 0: what the descriptors allow",
             &LimitsConfig::connections, {0, 1 << 20});
  limits.Add("connections_per_host", "connections of one address; 0: seven eighths of all",
             &LimitsConfig::connections_per_host, {0, 1 << 20});
  limits.Add("resets_per_second",
             "calls that their client leaves before they are answered; a connection with more is closed",
             &LimitsConfig::resets_per_second, {1, 1e6});
  limits.Add("prompt_bytes", "longest text of a prompt, as its template renders it",
             &LimitsConfig::prompt_bytes, {1, 16 << 20});
  limits.Add("prompt_tokens", "longest prompt; 0: the model's context", &LimitsConfig::prompt_tokens,
             {0, kMaxInt32});
  limits.Add("max_tokens", "largest max_tokens; 0: the model's context", &LimitsConfig::max_tokens,
             {0, kMaxInt32});
  limits.Add("time_limit_s", "longest time of a request, queue included", &LimitsConfig::time_limit_s,
             {0.001, 1e7});
  limits.Add("chat_messages", "messages of a chat", &LimitsConfig::chat_messages, {1, 1e6});
  limits.Add("stop_strings", "stop strings of a request", &LimitsConfig::stop_strings, {0, 64});
  limits.Add("stop_bytes", "bytes of one stop string", &LimitsConfig::stop_bytes, {1, 4096});
  limits.Add("stop_token_ids", "stop tokens of a request", &LimitsConfig::stop_token_ids, {0, 65536});
  limits.Add("logit_bias", "logit_bias entries of a request", &LimitsConfig::logit_bias, {0, 1 << 20});
  limits.Add("top_logprobs", "alternatives per position", &LimitsConfig::top_logprobs, {0, kMaxTopLogprobs});
  limits.Add("draft_tokens", "tokens that a request may have guessed at a time; 0: no speculation",
             &LimitsConfig::draft_tokens, {0, kMaxDraftTokens});
  limits.Add(
      "request_memory_bytes",
      "memory of all open requests beside the KV cache: messages, prompts, tokens, answers on their way",
      &LimitsConfig::request_memory_bytes, {1 << 20, int64_t{1} << 50});
}

}  // namespace

void AddEngineKeys(KeyList<ServerConfig>& keys) {
  KeyGroup<ServerConfig, ServerConfig> root = RootGroup(keys);
  auto engine = root.Inside("engine", &ServerConfig::engine);
  engine.Add("max_queued", "requests waiting, all tasks", &EngineConfig::max_queued, {1, 1e6});
  engine.Add("max_running", "sequences computed at a time", &EngineConfig::max_running, {1, 4096});
  engine.Add("token_budget", "tokens of one step", &EngineConfig::token_budget, {1, 65536});
  engine.Add("prefill_chunk", "most prompt tokens of one sequence in one step", &EngineConfig::prefill_chunk,
             {1, 65536});
  engine.Add("prefix_cache", "keep the keys of prompts for later prompts", &EngineConfig::prefix_cache);
  engine
      .Add("target_step_ms",
           "how long prompts may make a step with decoding sequences: milliseconds, none, or auto: 10 ms, "
           "and beyond that as few prompt tokens at a time as go at nearly the best rate",
           &EngineConfig::target_step_ms)
      .number_too = true;
  engine.Add("co_batching_patience",
             "how often a waiting request may be overtaken by one that fits and shares more experts with "
             "those that run, whether or not reading experts is what bounds the step; 0: never",
             &EngineConfig::co_batching_patience, {0, 1000});
  engine.Add("stall_limit_s", "seconds until a reader that takes nothing is cancelled",
             &EngineConfig::stall_limit_s, {0.05, 86400});
  engine.Add(
      "hung_step_s",
      "seconds after which a step counts as hung, and the health of liveness and readiness is off; 0: never",
      &EngineConfig::hung_step_s, {0, 86400});
  engine.Add("stream_capacity", "tokens that a slow reader may lag behind before its sequence pauses",
             &EngineConfig::stream_capacity, {1, 65536});
  engine.Add("profile", "log at the end where the engine's time went, by phase and by op",
             &EngineConfig::profile);
  engine
      .Add("trace", "file for a timeline of the first steps, written at the end; empty: none",
           &EngineConfig::trace)
      .file = true;
  AddSpeculationKeys(engine.Inside("speculation", &EngineConfig::speculation));
  AddLimitsKeys(root.Inside("limits", &ServerConfig::limits));
}

}  // namespace guildhall

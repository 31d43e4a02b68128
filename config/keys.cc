#include "config/keys.h"

#include <cctype>
#include <type_traits>

#include "base/str_cat.h"
#include "engine/speculation.h"
#include "kernels/weight_format.h"

namespace guildhall {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
bool LetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr double kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

// The three groups of sampling keys are the same for the server and for a task.
template <typename Owner>
void AddSamplingKeys(std::vector<ConfigKey<Owner>>& keys, std::function<SamplingDefaults&(Owner&)> sampling) {
  const auto add = [&](const char* name, const char* help, auto member, double min, double max,
                       bool above = false) {
    using Value = std::remove_reference_t<decltype(std::declval<SamplingDefaults&>().*member)>;
    ConfigKey<Owner> key;
    key.path = StrCat("sampling.", name);
    key.help = help;
    key.field = FieldAccess<Owner, Value>(
        [sampling, member](Owner& owner) -> Value& { return sampling(owner).*member; });
    key.min = min;
    key.max = max;
    key.above_min = above;
    keys.push_back(std::move(key));
  };
  using S = SamplingDefaults;
  add("temperature", "0 is greedy", &S::temperature, 0, 100);
  add("top_k", "keep the k most likely tokens; 0: all", &S::top_k, 0, kMaxInt32);
  add("top_p", "keep the most likely tokens up to this sum of probabilities; 1: all", &S::top_p, 0, 1, true);
  add("min_p", "drop tokens below this share of the best token's probability; 0: none", &S::min_p, 0, 0.999);
  add("repetition_penalty", "over prompt and output; 1: none", &S::repetition_penalty, 0, 100, true);
  add("presence_penalty", "over the output", &S::presence_penalty, -2, 2);
  add("frequency_penalty", "over the output", &S::frequency_penalty, -2, 2);
  add("max_tokens", "most tokens to generate", &S::max_tokens, 0, kMaxInt32);
  add("min_tokens", "no end before so many tokens", &S::min_tokens, 0, kMaxInt32);
  add("ignore_eos", "go on past the model's end tokens", &S::ignore_eos, -kInfinity, kInfinity);
  add("include_stop", "send the stop string that matched", &S::include_stop, -kInfinity, kInfinity);
  add("stop", "stop strings, where a request gives none", &S::stop, -kInfinity, kInfinity);
  add("stop_token_ids", "stop tokens, where a request gives none", &S::stop_token_ids, 0, kMaxInt32);
}

// Builds a table with one call per key.
template <typename Owner>
struct TableBuilder {
  std::vector<ConfigKey<Owner>> keys;

  template <typename Get>
  ConfigKey<Owner>& Add(const char* path, const char* help, Get get, double min = -kInfinity,
                        double max = kInfinity) {
    using Value = std::remove_reference_t<decltype(get(std::declval<Owner&>()))>;
    ConfigKey<Owner> key;
    key.path = path;
    key.help = help;
    key.field = FieldAccess<Owner, Value>(get);
    key.min = min;
    key.max = max;
    keys.push_back(std::move(key));
    return keys.back();
  }
};

#define GH_FIELD(member) \
  [](auto& c) -> auto& { \
    return c.member;     \
  }

void AddModelKeys(TableBuilder<ServerConfig>& t) {
  t.Add("model.path", "the Hugging Face folder that is served", GH_FIELD(model.path)).file = true;
  t.Add("model.ignore_config_keys", "keys of the folder's config.json that are declared harmless",
        GH_FIELD(model.ignore_config_keys));
  t.Add("backend", "what computes; cuda needs a build with CUDA", GH_FIELD(backend)).choices = {"cpu",
                                                                                                "cuda"};
  t.Add("cpu.threads", "compute threads; 0: the CPUs that the process may use", GH_FIELD(cpu.threads), 0,
        1024);
  t.Add("cpu.pin", "bind compute threads to CPUs, where there is one for each CPU that the process may use",
        GH_FIELD(cpu.pin));
  t.Add("cpu.isa", "portable, avx2 or avx512; empty: the best one, or GUILDHALL_ISA", GH_FIELD(cpu.isa));
  t.Add("memory.kv",
        "what KV cache and adapters share: bytes (2GiB), a share of the free memory (50%), or auto",
        GH_FIELD(memory.kv));
  t.Add("memory.kv_dtype", "element type of the KV cache", GH_FIELD(memory.kv_dtype)).choices = {
      "auto", "bf16", "f32", "int8"};
  t.Add("memory.page_bytes",
        "unit of the adapters' memory, a multiple of 4096; 2 MiB gets huge pages, small models waste less "
        "with less",
        GH_FIELD(memory.page_bytes), 4096, 1 << 30);
}

void AddWeightsKeys(TableBuilder<ServerConfig>& t) {
  std::vector<std::string> formats{"auto"};
  for (int i = 0; i < kWeightFormats; ++i)
    formats.emplace_back(WeightFormatName(static_cast<WeightFormat>(i)));
  t.Add("weights.experts", "format of the routed experts; auto: as the checkpoint has them",
        GH_FIELD(weights.experts))
      .choices = formats;
  t.Add("weights.shared_experts", "format of the shared experts", GH_FIELD(weights.shared_experts)).choices =
      formats;
  t.Add("weights.dense", "format of the feed-forward networks of layers without experts",
        GH_FIELD(weights.dense))
      .choices = formats;
  t.Add("weights.attention", "format of the attention's projections", GH_FIELD(weights.attention)).choices =
      formats;
  t.Add("weights.head", "format of the vocabulary's product", GH_FIELD(weights.head)).choices = formats;
  t.Add("weights.map", "serve a packed folder (guildhall quantize) from its mapped file, without a copy",
        GH_FIELD(weights.map));
  t.Add("weights.verify", "compare the checksums of a mapped file at load", GH_FIELD(weights.verify));
}

void AddAdaptersKeys(TableBuilder<ServerConfig>& t) {
  t.Add("adapters.roots", "directories: adapters come from below them only", GH_FIELD(adapters.roots)).file =
      true;
  t.Add("adapters.allow_on_demand", "a request loads an adapter again that was evicted",
        GH_FIELD(adapters.allow_on_demand));
  t.Add("adapters.load_wait_s", "seconds that a request waits for a load", GH_FIELD(adapters.load_wait_s), 0,
        3600);
  t.Add("adapters.unload_wait_s", "seconds that an unload waits for the adapter's requests",
        GH_FIELD(adapters.unload_wait_s), 0, 86400);
  t.Add("adapters.load_threads", "threads that read and pack an adapter, at a low priority",
        GH_FIELD(adapters.load_threads), 1, 256);
  t.Add("adapters.max_rank", "largest rank of a low-rank adapter; 0: any", GH_FIELD(adapters.max_rank), 0,
        65536);
  t.Add("adapters.require_base_name", "refuse adapters that record another base model; empty: only report it",
        GH_FIELD(adapters.require_base_name));
  t.Add("adapters.expert_format",
        "format of replaced experts: the base's, or as their files have them (keep)",
        GH_FIELD(adapters.expert_format))
      .choices = {"base", "keep"};
  t.Add("adapters.state_file",
        "keeps what was changed at run time for the next start; empty: it ends with the process",
        GH_FIELD(adapters.state_file))
      .file = true;
}

void AddEngineKeys(TableBuilder<ServerConfig>& t) {
  t.Add("engine.max_queued", "requests waiting, all tasks", GH_FIELD(engine.max_queued), 1, 1e6);
  t.Add("engine.max_running", "sequences computed at a time", GH_FIELD(engine.max_running), 1, 4096);
  t.Add("engine.token_budget", "tokens of one step", GH_FIELD(engine.token_budget), 1, 65536);
  t.Add("engine.prefill_chunk", "most prompt tokens of one sequence in one step",
        GH_FIELD(engine.prefill_chunk), 1, 65536);
  t.Add("engine.prefix_cache", "keep the keys of prompts for later prompts", GH_FIELD(engine.prefix_cache));
  t.Add("engine.target_step_ms",
        "how long prompts may make a step with decoding sequences: milliseconds, none, or auto: 10 ms, and "
        "beyond that as few prompt tokens at a time as go at nearly the best rate",
        GH_FIELD(engine.target_step_ms))
      .number_too = true;
  t.Add(
      "engine.co_batching_patience",
      "how often a waiting request may be overtaken by one that fits and shares more experts with those that "
      "run, whether or not reading experts is what bounds the step; 0: never",
      GH_FIELD(engine.co_batching_patience), 0, 1000);
  t.Add("engine.stall_limit_s", "seconds until a reader that takes nothing is cancelled",
        GH_FIELD(engine.stall_limit_s), 0.05, 86400);
  t.Add("engine.stream_capacity", "tokens that a slow reader may lag behind before its sequence pauses",
        GH_FIELD(engine.stream_capacity), 1, 65536);
  t.Add("engine.profile", "log at the end where the engine's time went, by phase and by op",
        GH_FIELD(engine.profile));
  t.Add("engine.trace", "file for a timeline of the first steps, written at the end; empty: none",
        GH_FIELD(engine.trace))
      .file = true;
  t.Add("engine.speculation.max_draft_tokens",
        "tokens that prompt lookup guesses at a time where neither request nor task says; 0: none",
        GH_FIELD(engine.speculation.max_draft_tokens), 0, kMaxDraftTokens);
  t.Add("engine.speculation.min_ngram", "so many last tokens must have occurred before",
        GH_FIELD(engine.speculation.min_ngram), 1, kMaxNgram);
  t.Add("engine.speculation.max_ngram", "more last tokens are not compared",
        GH_FIELD(engine.speculation.max_ngram), 1, kMaxNgram);
  t.Add("limits.message_bytes", "largest request message", GH_FIELD(limits.message_bytes), 1024, kGiB);
  t.Add("limits.metadata_bytes", "largest metadata of a call", GH_FIELD(limits.metadata_bytes), 1024,
        1 << 20);
  t.Add("limits.concurrent_requests", "open Generate calls of all clients",
        GH_FIELD(limits.concurrent_requests), 1, 4096);
  t.Add("limits.streams_per_connection", "open calls of one connection",
        GH_FIELD(limits.streams_per_connection), 1, 65536);
  t.Add("limits.prompt_tokens", "longest prompt; 0: the model's context", GH_FIELD(limits.prompt_tokens), 0,
        kMaxInt32);
  t.Add("limits.max_tokens", "largest max_tokens; 0: the model's context", GH_FIELD(limits.max_tokens), 0,
        kMaxInt32);
  t.Add("limits.time_limit_s", "longest time of a request, queue included", GH_FIELD(limits.time_limit_s),
        0.001, 1e7);
  t.Add("limits.chat_messages", "messages of a chat", GH_FIELD(limits.chat_messages), 1, 1e6);
  t.Add("limits.stop_strings", "stop strings of a request", GH_FIELD(limits.stop_strings), 0, 64);
  t.Add("limits.stop_bytes", "bytes of one stop string", GH_FIELD(limits.stop_bytes), 1, 4096);
  t.Add("limits.stop_token_ids", "stop tokens of a request", GH_FIELD(limits.stop_token_ids), 0, 65536);
  t.Add("limits.logit_bias", "logit_bias entries of a request", GH_FIELD(limits.logit_bias), 0, 1 << 20);
  t.Add("limits.top_logprobs", "alternatives per position", GH_FIELD(limits.top_logprobs), 0, 20);
  t.Add("limits.draft_tokens", "tokens that a request may have guessed at a time; 0: no speculation",
        GH_FIELD(limits.draft_tokens), 0, kMaxDraftTokens);
}

void AddListenerKeys(TableBuilder<ServerConfig>& t) {
  t.Add("server.listen", "HOST:PORT or unix:PATH of the clients' listener", GH_FIELD(server.listen));
  t.Add("server.tls.certificate", "PEM file; enables TLS", GH_FIELD(server.tls.certificate)).file = true;
  t.Add("server.tls.key", "PEM file", GH_FIELD(server.tls.key)).file = true;
  t.Add("server.tls.client_ca", "PEM file; clients must show a certificate of it",
        GH_FIELD(server.tls.client_ca))
      .file = true;
  t.Add("server.keepalive.time_s", "seconds between pings", GH_FIELD(server.keepalive.time_s), 1, 86400);
  t.Add("server.keepalive.timeout_s", "seconds until an unanswered ping ends the connection",
        GH_FIELD(server.keepalive.timeout_s), 1, 3600);
  t.Add("server.keepalive.min_ping_interval_s", "a client may ping as often",
        GH_FIELD(server.keepalive.min_ping_interval_s), 0.1, 3600);
  t.Add("server.handshake_timeout_s", "seconds for a connection's handshake",
        GH_FIELD(server.handshake_timeout_s), 0.1, 600);
  t.Add("server.drain_limit_s", "seconds that running requests get at shutdown",
        GH_FIELD(server.drain_limit_s), 0, 86400);
  t.Add("server.memory_quota_bytes", "memory of gRPC's buffers", GH_FIELD(server.memory_quota_bytes), 1 << 20,
        1024 * kGiB);
  t.Add("admin.enabled", "serve the administration listener", GH_FIELD(admin.enabled));
  t.Add("admin.listen",
        "HOST:PORT or unix:PATH; elsewhere than loopback only with a token over TLS, or mutual TLS",
        GH_FIELD(admin.listen));
  t.Add("admin.token", "every administration call must bring it", GH_FIELD(admin.token)).secret = true;
  t.Add("admin.token_file", "file that holds the token", GH_FIELD(admin.token_file)).file = true;
  t.Add("admin.tls.certificate", "PEM file; enables TLS", GH_FIELD(admin.tls.certificate)).file = true;
  t.Add("admin.tls.key", "PEM file", GH_FIELD(admin.tls.key)).file = true;
  t.Add("admin.tls.client_ca", "PEM file; clients must show a certificate of it",
        GH_FIELD(admin.tls.client_ca))
      .file = true;
  t.Add("log.level", "least severe level that is logged", GH_FIELD(log.level)).choices = {
      "trace", "debug", "info", "warn", "error", "off"};
  t.Add("log.format", "text, or one JSON object per line", GH_FIELD(log.format)).choices = {"text", "json"};
  t.Add("log.requests", "one line per request", GH_FIELD(log.requests));
  t.Add("log.prompts", "log prompts and answers: for debugging only", GH_FIELD(log.prompts));
}

std::vector<ConfigKey<ServerConfig>> BuildServerKeys() {
  TableBuilder<ServerConfig> t;
  AddModelKeys(t);
  AddWeightsKeys(t);
  AddAdaptersKeys(t);
  AddEngineKeys(t);
  AddListenerKeys(t);
  AddSamplingKeys<ServerConfig>(t.keys, [](ServerConfig& c) -> SamplingDefaults& { return c.sampling; });
  return std::move(t.keys);
}

std::vector<ConfigKey<TaskConfig>> BuildTaskKeys() {
  TableBuilder<TaskConfig> t;
  t.Add("description", "for people, in ListTasks", GH_FIELD(description));
  t.Add("adapters", "what serves the task, in this order; none: the base weights", GH_FIELD(adapters));
  t.Add("chat_template", "Jinja source; empty: the model folder's", GH_FIELD(chat_template));
  t.Add("chat_template_file", "file with the Jinja source", GH_FIELD(chat_template_file)).file = true;
  t.Add("system_prompt", "begins every chat that brings no system message", GH_FIELD(system_prompt));
  t.Add("text", "plain text is the prompt (raw) or a user message (chat); auto: chat with a system prompt",
        GH_FIELD(text))
      .choices = {"auto", "raw", "chat"};
  t.Add("weight", "share of the tokens relative to other tasks", GH_FIELD(weight), 0.001, 1000);
  t.Add("max_queued", "requests of the task that may wait", GH_FIELD(max_queued), 0, 1e6);
  t.Add("max_running", "requests of the task computed at a time", GH_FIELD(max_running), 1, 4096);
  t.Add("speculation.max_draft_tokens", "tokens that prompt lookup guesses at a time; 0: none",
        GH_FIELD(speculation.max_draft_tokens), 0, kMaxDraftTokens);
  t.Add("speculation.min_ngram", "so many last tokens must have occurred before",
        GH_FIELD(speculation.min_ngram), 1, kMaxNgram);
  t.Add("speculation.max_ngram", "more last tokens are not compared", GH_FIELD(speculation.max_ngram), 1,
        kMaxNgram);
  AddSamplingKeys<TaskConfig>(t.keys, [](TaskConfig& c) -> SamplingDefaults& { return c.sampling; });
  return std::move(t.keys);
}

std::vector<ConfigKey<AdapterConfig>> BuildAdapterKeys() {
  TableBuilder<AdapterConfig> t;
  t.Add("path", "the adapter's folder, relative to one of adapters.roots", GH_FIELD(path));
  t.Add("pin", "never evict it", GH_FIELD(pin));
  t.Add("expert_config", "expert_cfg.json of an ESFT folder that has none, relative to the roots",
        GH_FIELD(expert_config));
  return std::move(t.keys);
}

#undef GH_FIELD

}  // namespace

const std::vector<ConfigKey<ServerConfig>>& ServerKeys() {
  static const auto* keys = new std::vector<ConfigKey<ServerConfig>>(BuildServerKeys());
  return *keys;
}

const std::vector<ConfigKey<TaskConfig>>& TaskKeys() {
  static const auto* keys = new std::vector<ConfigKey<TaskConfig>>(BuildTaskKeys());
  return *keys;
}

const std::vector<ConfigKey<AdapterConfig>>& AdapterKeys() {
  static const auto* keys = new std::vector<ConfigKey<AdapterConfig>>(BuildAdapterKeys());
  return *keys;
}

bool ValidTaskId(std::string_view id) {
  if (id.size() > 128) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const bool mark = std::string_view("._:/-").find(id[i]) != std::string_view::npos;
    if (!LetterOrDigit(id[i]) && !(mark && i > 0)) return false;
  }
  return true;
}

bool ValidAdapterName(std::string_view name) {
  if (name.empty() || name.size() > 128) return false;
  for (const char c : name) {
    if (!LetterOrDigit(c) && std::string_view("._-").find(c) == std::string_view::npos) return false;
  }
  return true;
}

std::string EnvironmentName(std::string_view path) {
  std::string name = "GUILDHALL_";
  for (const char c : path)
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace guildhall

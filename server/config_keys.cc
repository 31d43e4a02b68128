#include "server/config_keys.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <type_traits>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

template <typename T>
struct Unwrapped {
  using Type = T;
  static constexpr bool kOptional = false;
};
template <typename T>
struct Unwrapped<std::optional<T>> {
  using Type = T;
  static constexpr bool kOptional = true;
};

// The value type behind an Access<...> of the variant.
template <typename Access>
struct ValueOf;
template <typename Owner, typename Value>
struct ValueOf<std::function<Value&(Owner&)>> {
  using Type = Value;
};

template <typename T>
constexpr const char* TypeName() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, double>) return "number";
  if constexpr (std::is_same_v<T, std::string>) return "string";
  return "array";
}

std::string NumberText(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) return StrCat(static_cast<int64_t>(value));
  return StrCat(value);
}

std::string RangeText(double min, double max, bool above_min) {
  const char* from = above_min ? " above " : " from ";
  if (min == -kInfinity && max == kInfinity) return "";
  if (max == kInfinity)
    return above_min ? StrCat(" above ", NumberText(min)) : StrCat(" of at least ", NumberText(min));
  return StrCat(from, NumberText(min), " to ", NumberText(max));
}

absl::Status Expected(std::string_view where, std::string_view what, const Json& found, bool secret) {
  if (secret) return absl::InvalidArgumentError(StrCat(where, ": expected ", what, ", found another type"));
  std::string text = DumpJson(found);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return absl::InvalidArgumentError(StrCat(where, ": expected ", what, ", found ", text));
}

bool InRange(double value, double min, double max, bool above_min) {
  return (above_min ? value > min : value >= min) && value <= max;
}

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
  t.Add("cpu.pin", "bind compute threads to CPUs", GH_FIELD(cpu.pin));
  t.Add("cpu.isa", "portable, avx2 or avx512; empty: the best one, or GUILDHALL_ISA", GH_FIELD(cpu.isa));
  t.Add("memory.kv", "KV cache: bytes (2GiB), a share of the free memory (50%), or auto",
        GH_FIELD(memory.kv));
  t.Add("memory.kv_dtype", "element type of the KV cache", GH_FIELD(memory.kv_dtype)).choices = {
      "auto", "bf16", "f32"};
}

void AddEngineKeys(TableBuilder<ServerConfig>& t) {
  t.Add("engine.max_queued", "requests waiting, all tasks", GH_FIELD(engine.max_queued), 1, 1e6);
  t.Add("engine.max_running", "sequences computed at a time", GH_FIELD(engine.max_running), 1, 4096);
  t.Add("engine.token_budget", "tokens of one step", GH_FIELD(engine.token_budget), 1, 65536);
  t.Add("engine.prefill_chunk", "most prompt tokens of one sequence in one step",
        GH_FIELD(engine.prefill_chunk), 1, 65536);
  t.Add("engine.prefix_cache", "keep the keys of prompts for later prompts", GH_FIELD(engine.prefix_cache));
  t.Add("engine.stall_limit_s", "seconds until a reader that takes nothing is cancelled",
        GH_FIELD(engine.stall_limit_s), 0.05, 86400);
  t.Add("engine.stream_capacity", "tokens that a slow reader may lag behind before its sequence pauses",
        GH_FIELD(engine.stream_capacity), 1, 65536);
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
  AddEngineKeys(t);
  AddListenerKeys(t);
  AddSamplingKeys<ServerConfig>(t.keys, [](ServerConfig& c) -> SamplingDefaults& { return c.sampling; });
  return std::move(t.keys);
}

std::vector<ConfigKey<TaskConfig>> BuildTaskKeys() {
  TableBuilder<TaskConfig> t;
  t.Add("description", "for people, in ListTasks", GH_FIELD(description));
  t.Add("adapter", "reserved: no adapter is served yet", GH_FIELD(adapter));
  t.Add("chat_template", "Jinja source; empty: the model folder's", GH_FIELD(chat_template));
  t.Add("chat_template_file", "file with the Jinja source", GH_FIELD(chat_template_file)).file = true;
  t.Add("system_prompt", "begins every chat that brings no system message", GH_FIELD(system_prompt));
  t.Add("text", "plain text is the prompt (raw) or a user message (chat); auto: chat with a system prompt",
        GH_FIELD(text))
      .choices = {"auto", "raw", "chat"};
  t.Add("weight", "share of the tokens relative to other tasks", GH_FIELD(weight), 0.001, 1000);
  t.Add("max_queued", "requests of the task that may wait", GH_FIELD(max_queued), 0, 1e6);
  t.Add("max_running", "requests of the task computed at a time", GH_FIELD(max_running), 1, 4096);
  AddSamplingKeys<TaskConfig>(t.keys, [](TaskConfig& c) -> SamplingDefaults& { return c.sampling; });
  return std::move(t.keys);
}

#undef GH_FIELD

template <typename Owner>
absl::Status AssignValue(const ConfigKey<Owner>& key, const Json& value, std::string_view where,
                         auto& field) {
  using Stored = std::remove_reference_t<decltype(field)>;
  using Value = typename Unwrapped<Stored>::Type;
  if (Unwrapped<Stored>::kOptional && value.is_null()) {
    field = Stored{};
    return absl::OkStatus();
  }
  const auto expected = [&](const std::string& what) { return Expected(where, what, value, key.secret); };
  Json holder = Json::object();
  holder["value"] = value;
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(holder, std::string(where)));
  if constexpr (std::is_same_v<Value, bool>) {
    if (!value.is_boolean()) return expected("true or false");
    field = value.get<bool>();
  } else if constexpr (std::is_same_v<Value, int64_t>) {
    auto parsed = object.Int("value", static_cast<int64_t>(key.min), static_cast<int64_t>(key.max));
    if (!parsed.ok()) return expected(StrCat("an integer", RangeText(key.min, key.max, false)));
    field = *parsed;
  } else if constexpr (std::is_same_v<Value, double>) {
    auto parsed = object.Number("value");
    if (!parsed.ok() || !InRange(*parsed, key.min, key.max, key.above_min)) {
      return expected(StrCat("a number", RangeText(key.min, key.max, key.above_min)));
    }
    field = *parsed;
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!value.is_string()) return expected("a string");
    const std::string text = value.get<std::string>();
    if (!key.choices.empty() &&
        std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end()) {
      std::string list;
      for (const std::string& choice : key.choices)
        StrAppend(&list, list.empty() ? "" : ", ", "\"", choice, "\"");
      return expected(StrCat("one of ", list));
    }
    field = text;
  } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
    auto parsed = object.StringsOr("value", {});
    if (!value.is_array() || !parsed.ok()) return expected("a list of strings");
    field = *std::move(parsed);
  } else {
    auto parsed = object.IntsOr("value", {});
    const auto bad = [&](int64_t item) {
      return !InRange(static_cast<double>(item), key.min, key.max, false);
    };
    if (!value.is_array() || !parsed.ok() || std::any_of(parsed->begin(), parsed->end(), bad)) {
      return expected(StrCat("a list of integers", RangeText(key.min, key.max, false)));
    }
    field = *std::move(parsed);
  }
  return absl::OkStatus();
}

}  // namespace

template <typename Owner>
absl::Status ConfigKey<Owner>::Assign(const Json& value, std::string_view where, Owner& owner) const {
  return std::visit([&](const auto& access) { return AssignValue(*this, value, where, access(owner)); },
                    field);
}

template <typename Owner>
Json ConfigKey<Owner>::Get(Owner& owner) const {
  return std::visit(
      [&](const auto& access) -> Json {
        const auto& stored = access(owner);
        if constexpr (Unwrapped<std::remove_cvref_t<decltype(stored)>>::kOptional) {
          return stored ? Json(*stored) : Json(nullptr);
        } else {
          return Json(stored);
        }
      },
      field);
}

template <typename Owner>
std::string ConfigKey<Owner>::JsonType() const {
  return std::visit(
      [](const auto& access) -> std::string {
        using Stored = typename ValueOf<std::remove_cvref_t<decltype(access)>>::Type;
        return TypeName<typename Unwrapped<Stored>::Type>();
      },
      field);
}

template <typename Owner>
std::string ConfigKey<Owner>::ItemType() const {
  if (JsonType() != "array") return "";
  return std::holds_alternative<Access<std::vector<std::string>>>(field) ? "string" : "integer";
}

template <typename Owner>
bool ConfigKey<Owner>::optional() const {
  return std::visit(
      [](const auto& access) {
        using Stored = typename ValueOf<std::remove_cvref_t<decltype(access)>>::Type;
        return Unwrapped<Stored>::kOptional;
      },
      field);
}

template <typename Owner>
absl::StatusOr<Json> ConfigKey<Owner>::ParseText(std::string_view text, std::string_view where) const {
  if (JsonType() == "string") return Json(std::string(text));
  if (JsonType() == "array" && (text.empty() || text.front() != '[')) {
    Json items = Json::array();
    while (!text.empty()) {
      const size_t comma = text.find(',');
      const std::string_view item = text.substr(0, comma);
      text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
      if (ItemType() == "string") {
        items.push_back(std::string(item));
      } else {
        GH_ASSIGN_OR_RETURN(Json number, ParseJson(item, where));
        items.push_back(std::move(number));
      }
    }
    return items;
  }
  auto parsed = ParseJson(text, where);
  // "cpu.threads = two": the type that is expected helps more than a syntax error of JSON.
  if (!parsed.ok()) return Json(std::string(text));
  return parsed;
}

template struct ConfigKey<ServerConfig>;
template struct ConfigKey<TaskConfig>;

const std::vector<ConfigKey<ServerConfig>>& ServerKeys() {
  static const auto* keys = new std::vector<ConfigKey<ServerConfig>>(BuildServerKeys());
  return *keys;
}

const std::vector<ConfigKey<TaskConfig>>& TaskKeys() {
  static const auto* keys = new std::vector<ConfigKey<TaskConfig>>(BuildTaskKeys());
  return *keys;
}

std::string EnvironmentName(std::string_view path) {
  std::string name = "GUILDHALL_";
  for (const char c : path)
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace guildhall

// The whole configuration of a server, as plain data: what loader.h fills and serve() reads. The values
// written here are the defaults, for the file, the schema and the documentation alike (the tables of keys.h
// list every key once).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampling_fields.h"

namespace guildhall {

// An adapter that a task applies, times a factor on its low-rank changes.
struct TaskAdapter {
  std::string name;
  double scale = 1.0;

  bool operator==(const TaskAdapter&) const = default;
};

// Unset: the server's own.
struct SpeculationDefaults {
  std::optional<int64_t> max_draft_tokens;
  std::optional<int64_t> min_ngram;
  std::optional<int64_t> max_ngram;
};

struct TaskConfig {
  std::string id;  // the key under "tasks"; "" configures the base
  std::string description;
  std::vector<TaskAdapter> adapters;  // put together in this order; none: the base weights
  std::string chat_template;          // Jinja source; at most one of source and file
  std::string chat_template_file;     // both empty: the model folder's template
  std::string system_prompt;
  std::string text =
      "auto";  // how plain text is read: "raw", "chat" (one user message), "auto": chat with a system prompt
  PartialSampling sampling;
  SpeculationDefaults speculation;
  double weight = 1.0;
  int64_t max_queued = 64;
  int64_t max_running = 64;
};

struct ModelConfig {
  std::string path;
  std::vector<std::string> ignore_config_keys;
  std::vector<std::string> ignore_generation_config_keys;
  std::vector<std::string> end_tokens;  // text or id; empty: what the folder's files name
};

// A format's name by kind of matrix; "auto": as the checkpoint has it.
struct WeightsConfig {
  std::string experts = "auto";
  std::string shared_experts = "auto";
  std::string dense = "auto";
  std::string attention = "auto";
  std::string head = "auto";
  bool map = false;    // a packed folder is served from its mapped file
  bool verify = true;  // such a file's checksums are compared at load
};

struct CpuConfig {
  int64_t threads = 0;  // 0: the CPUs that the process may use
  bool pin = true;      // where the team is as large as the allowed CPUs
  std::string isa;      // "": GUILDHALL_ISA, else the best one
};

struct MemoryConfig {
  std::string kv =
      "auto";  // with the adapters' pages: bytes ("2GiB"), a share of the free memory ("50%"), or "auto"
  std::string kv_dtype = "auto";          // "auto", "f32", "bf16", "int8"
  int64_t page_bytes = int64_t{2} << 20;  // of KV cache and adapters
};

// An adapter folder that is loaded under a name: at start, or by the administration.
struct AdapterConfig {
  std::string name;           // the key under "adapters.preload"
  std::string path;           // relative to one of adapters.roots
  bool pin = false;           // never evicted
  std::string expert_config;  // ESFT folders without expert_cfg.json: one elsewhere under the roots
};

struct AdaptersConfig {
  std::vector<std::string> roots;                // directories; adapters come from below them only
  std::map<std::string, AdapterConfig> preload;  // by name; loaded at start in the names' order
  bool allow_on_demand = true;                   // an evicted adapter comes back when a request names it
  double load_wait_s = 30.0;                     // how long a request waits for that
  double unload_wait_s = 30.0;                   // how long an unload waits for the adapter's readers
  int64_t load_threads = 2;                      // that pack an adapter, at a low priority
  int64_t max_rank = 0;                          // 0: no cap beyond the smaller side of the weight
  std::string require_base_name;                 // empty: another recorded base is only reported
  std::vector<std::string> ignore_config_keys;   // unknown keys of adapters' configurations that are harmless
  int64_t shut_off_after = 0;                    // failures in a row; 0: never
  std::string expert_format = "base";            // of replaced experts: "base", or "keep" their files' own
  std::string state_file;                        // what was changed at run time; empty: forgotten at the end
};

// Prompt lookup, where neither request nor task says otherwise.
struct SpeculationConfig {
  int64_t max_draft_tokens = 0;  // 0: off
  int64_t min_ngram = 2;
  int64_t max_ngram = 6;
};

struct EngineConfig {
  int64_t max_queued = 256;
  int64_t max_running = 64;
  int64_t token_budget = 512;
  int64_t prefill_chunk = 256;
  bool prefix_cache = true;
  std::string target_step_ms = "auto";  // see step_target.h
  int64_t co_batching_patience = 8;
  double stall_limit_s = 60.0;
  double hung_step_s = 300.0;    // longer ones turn liveness off; 0: none does
  int64_t stream_capacity = 32;  // tokens that a slow reader may lag behind before its sequence pauses
  bool profile = false;          // log at the end where the engine's time went
  std::string trace;             // file for a timeline of the first steps; empty: none
  SpeculationConfig speculation;
};

// Upper bounds of a single request or call.
struct LimitsConfig {
  int64_t message_bytes = int64_t{4} << 20;
  int64_t metadata_bytes = 8192;
  int64_t concurrent_requests = 512;         // open Generate calls of all clients
  int64_t concurrent_requests_per_host = 0;  // the same, of one address; 0: seven eighths of them
  int64_t streams_per_connection = 256;      // HTTP/2 streams
  int64_t connections = 0;                   // of the clients' listener; 0: what the descriptors allow
  int64_t connections_per_host = 0;          // the same, of one address; 0: seven eighths of them
  double resets_per_second = 100.0;          // calls that their client leaves, of one connection
  // Of a text as it is encoded, its template rendered.
  int64_t prompt_bytes = int64_t{4} << 20;
  int64_t prompt_tokens = 0;  // 0: the model's context
  int64_t max_tokens = 0;     // 0: the model's context
  double time_limit_s = 3600.0;
  int64_t chat_messages = 1024;
  int64_t stop_strings = 16;
  int64_t stop_bytes = 256;  // of one stop string
  int64_t stop_token_ids = 64;
  int64_t logit_bias = 1024;
  int64_t top_logprobs = 20;
  int64_t draft_tokens = 32;                        // guessed at a time by prompt lookup
  int64_t request_memory_bytes = int64_t{1} << 30;  // of all open requests, beside the KV cache
};

struct TlsConfig {
  std::string certificate;  // PEM files
  std::string key;
  std::string client_ca;  // set: clients must show a certificate of this authority

  bool enabled() const { return !certificate.empty(); }
  bool mutual() const { return enabled() && !client_ca.empty(); }
};

struct KeepaliveConfig {
  double time_s = 45.0;
  double timeout_s = 20.0;
  double min_ping_interval_s = 10.0;
};

struct ListenerConfig {
  std::string listen = "127.0.0.1:50051";  // HOST:PORT (port 0: any free one) or unix:PATH
  TlsConfig tls;
  KeepaliveConfig keepalive;
  double handshake_timeout_s = 10.0;
  double idle_timeout_s = 600.0;    // a connection without calls is closed
  double request_timeout_s = 60.0;  // until the message of a call is there
  bool reflection = true;           // grpc.reflection on the clients' listener
  std::string socket_group;         // of the clients' Unix socket, mode 0660; empty: the process's own
  double drain_limit_s = 30.0;
  int64_t memory_quota_bytes = int64_t{256} << 20;  // of gRPC's own buffers
};

// The clients' listener that speaks HTTP, in the form of OpenAI's interface.
struct HttpConfig {
  std::string listen;  // as ListenerConfig::listen; empty: there is none
  TlsConfig tls;
  std::string socket_group;  // as ListenerConfig::socket_group
  std::string model_name;    // what clients call the base; empty: as its folder
  int64_t connections = 0;   // 0: as limits.connections
  int64_t connections_per_host = 0;
  int64_t header_bytes = 16384;                     // of one request
  int64_t body_bytes = int64_t{8} << 20;            // of one request
  int64_t memory_quota_bytes = int64_t{256} << 20;  // of all bodies until they are answered
  double header_timeout_s = 10.0;                   // until a request's headers are there
  double body_timeout_s = 60.0;                     // until its body is there
  double idle_timeout_s = 600.0;                    // a connection without requests is closed
  double comment_interval_s = 10.0;                 // between comments in a stream that has nothing to say
  int64_t choices = 128;                            // answers of one request: prompts times n
};

struct AdminConfig {
  bool enabled = true;
  std::string listen = "127.0.0.1:50052";
  std::string token;  // secret
  std::string token_file;
  TlsConfig tls;
};

struct LogConfig {
  std::string level = "info";
  std::string format = "text";
  bool requests = true;  // one line per request
  bool prompts = false;  // also prompt and answer; only for debugging
};

struct ServerConfig {
  ModelConfig model;
  std::string device = "auto";            // see DeviceName
  std::string device_products = "exact";  // who computes products of many rows on it: or "library"
  std::string device_memory = "auto";     // that may be taken of it: bytes, a share of what is free, or all
  std::string on_device_error = "exit";   // what the process does when the device is lost: or "stay"
  WeightsConfig weights;
  CpuConfig cpu;
  MemoryConfig memory;
  AdaptersConfig adapters;
  EngineConfig engine;
  LimitsConfig limits;
  PartialSampling sampling;  // below the tasks' and the model folder's
  ListenerConfig server;
  HttpConfig http;
  AdminConfig admin;
  LogConfig log;
  std::map<std::string, TaskConfig> tasks;  // by id
};

}  // namespace guildhall

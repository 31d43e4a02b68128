// Requests of the end-to-end tests over real channels.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "guildhall/v1/admin.grpc.pb.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {

struct Answer {
  grpc::Status status;
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<float> margins;  // of each token before the next likely one, where the two were asked for
  v1::GenerateEnd end;
};

// Greedy, `max_tokens` at most, with the chosen tokens' log-probabilities.
v1::GenerateRequest GreedyRequest(const std::string& task, const std::string& text, int64_t max_tokens = 64);

// Blocks until the stream has ended.
Answer Ask(const std::string& address, const v1::GenerateRequest& request);

// All at once, each on a thread of its own; answers in the order of the requests.
std::vector<Answer> AskTogether(const std::string& address, const std::vector<v1::GenerateRequest>& requests);

v1::GetStatusResponse StatusOf(const std::string& admin_address);

std::unique_ptr<v1::Admin::Stub> AdminOf(const std::string& admin_address);

// `expected_version` 0: the name must be free. `loaded`, if any, gets the adapter that came of it.
grpc::Status Load(v1::Admin::Stub& admin, const std::string& name, const std::string& path,
                  uint64_t expected_version, v1::AdapterInfo* loaded = nullptr);
grpc::Status Unload(v1::Admin::Stub& admin, const std::string& name);

// The demo's held-out examples, per task and adapter in turn.
struct Example {
  std::string task;
  std::string adapter;  // that the reference was made with; empty: the base
  std::string prompt, expected;
  std::string reference;  // transformers' greedy answer, right or wrong
};
std::vector<Example> HeldOutExamples(int per_task);

}  // namespace guildhall

#include "tests/e2e/client.h"

#include <map>
#include <thread>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"

namespace guildhall {

v1::GenerateRequest GreedyRequest(const std::string& task, const std::string& text, int64_t max_tokens) {
  v1::GenerateRequest request;
  request.set_task(task);
  request.set_text(text);
  request.mutable_sampling()->set_temperature(0.0f);
  request.mutable_sampling()->set_max_tokens(max_tokens);
  request.mutable_logprobs()->set_chosen(true);
  return request;
}

Answer Ask(const std::string& address, const v1::GenerateRequest& request) {
  auto stub = v1::Inference::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto reader = stub->Generate(&context, request);
  Answer answer;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    if (response.has_chunk()) {
      answer.text += response.chunk().text();
      answer.tokens.insert(answer.tokens.end(), response.chunk().token_ids().begin(),
                           response.chunk().token_ids().end());
      for (const v1::Logprob& logprob : response.chunk().logprobs()) {
        answer.logprobs.push_back(logprob.logprob());
        if (logprob.top_size() < 2) continue;
        answer.margins.push_back(logprob.top(0).logprob() - logprob.top(1).logprob());
      }
    } else if (response.has_end()) {
      answer.end = response.end();
    }
  }
  answer.status = reader->Finish();
  return answer;
}

std::vector<Answer> AskTogether(const std::string& address,
                                const std::vector<v1::GenerateRequest>& requests) {
  std::vector<Answer> answers(requests.size());
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < requests.size(); ++i) {
    threads.emplace_back([&, i] { answers[i] = Ask(address, requests[i]); });
  }
  threads.clear();
  return answers;
}

v1::GetStatusResponse StatusOf(const std::string& admin_address) {
  auto stub = v1::Admin::NewStub(grpc::CreateChannel(admin_address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  GH_CHECK(stub->GetStatus(&context, {}, &response).ok());
  return response;
}

std::unique_ptr<v1::Admin::Stub> AdminOf(const std::string& admin_address) {
  return v1::Admin::NewStub(grpc::CreateChannel(admin_address, grpc::InsecureChannelCredentials()));
}

grpc::Status Load(v1::Admin::Stub& admin, const std::string& name, const std::string& path,
                  uint64_t expected_version, v1::AdapterInfo* loaded) {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  if (expected_version > 0) request.set_expected_version(expected_version);
  grpc::ClientContext context;
  auto reader = admin.LoadAdapter(&context, request);
  v1::LoadAdapterResponse response;
  while (reader->Read(&response)) {
    if (response.has_loaded() && loaded != nullptr) *loaded = response.loaded();
  }
  return reader->Finish();
}

grpc::Status Unload(v1::Admin::Stub& admin, const std::string& name) {
  v1::UnloadAdapterRequest request;
  request.set_name(name);
  v1::UnloadAdapterResponse response;
  grpc::ClientContext context;
  return admin.UnloadAdapter(&context, request, &response);
}

std::vector<Example> HeldOutExamples(int per_task) {
  std::map<std::pair<std::string, std::string>, int> taken;
  std::vector<Example> examples;
  for (const char* file : {"/demo/evaluation.json", "/demo/adapters/evaluation.json"}) {
    const auto text = ReadSmallFile(std::string(GUILDHALL_SOURCE_DIR) + file, size_t{16} << 20);
    GH_CHECK(text.ok());
    const auto json = ParseJson(*text, file);
    GH_CHECK(json.ok());
    for (const Json& item : *json) {
      Example example{item["task"], item.value("adapter", ""), item["prompt"], item["expected"],
                      item["reference"]};
      if (taken[{example.task, example.adapter}]++ < per_task) examples.push_back(std::move(example));
    }
  }
  GH_CHECK(!examples.empty());
  return examples;
}

}  // namespace guildhall

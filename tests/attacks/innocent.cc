#include "tests/attacks/innocent.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall::attacks {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);  // of one call
constexpr auto kPause = std::chrono::milliseconds(25);
constexpr int kNewConnectionEach = 5;

std::unique_ptr<v1::Inference::Stub> NewStub(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::Inference::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

v1::GenerateRequest Question(const std::string& task, const std::string& text) {
  v1::GenerateRequest request;
  request.set_task(task);
  request.set_text(text);
  request.mutable_sampling()->set_max_tokens(24);
  request.mutable_logprobs()->set_top(2);
  return request;
}

}  // namespace

int64_t InnocentCounts::failures() const {
  return std::accumulate(failed.begin(), failed.end(), int64_t{0},
                         [](int64_t sum, const auto& entry) { return sum + entry.second; });
}

double InnocentCounts::Quantile(double fraction) const {
  if (seconds.empty()) return 0.0;
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<size_t>(fraction * static_cast<double>(sorted.size() - 1))];
}

Innocent::Innocent(std::string address)
    : address_(std::move(address)),
      kept_(NewStub(address_)),
      questions_{Question("numbers", "forty-two"), Question("german", "I see a red bird."),
                 Question("math", "David has 44 stamps and gives 5 to Jonas. How many are left?"),
                 Question("measure", "5082 grams in kilograms")} {
  for (size_t i = 0; i < questions_.size(); ++i) {
    const Answer answer = Ask(i, false);
    if (!answer.status.ok()) CheckFailed(__FILE__, __LINE__, address_ + ": " + answer.status.error_message());
    solo_.push_back(answer.bits);
  }
}

Innocent::Answer Innocent::Ask(size_t question, bool new_connection) const {
  const auto own = new_connection ? NewStub(address_) : nullptr;
  v1::Inference::Stub& stub = own != nullptr ? *own : *kept_;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  const auto reader = stub.Generate(&context, questions_[question]);
  Answer answer;
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    for (const v1::Logprob& token : response.chunk().logprobs()) answer.bits += token.SerializeAsString();
  }
  answer.status = reader->Finish();
  return answer;
}

InnocentCounts Innocent::Run(const std::atomic<bool>& stop, int at_least) const {
  InnocentCounts counts;
  for (int i = 0; !stop || i < at_least; ++i) {
    const size_t question = static_cast<size_t>(i) % questions_.size();
    const auto begin = std::chrono::steady_clock::now();
    const Answer answer = Ask(question, i % kNewConnectionEach == kNewConnectionEach - 1);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (answer.status.ok()) {
      ++(answer.bits == solo_[question] ? counts.ok : counts.wrong);
      counts.seconds.push_back(took.count());
    } else {
      ++counts.failed[StrCat("code ", static_cast<int>(answer.status.error_code()), ": ",
                             answer.status.error_message())];
    }
    std::this_thread::sleep_for(kPause);
  }
  return counts;
}

}  // namespace guildhall::attacks

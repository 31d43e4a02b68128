#include "client/load_sender.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "client/error_text.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// What the chunks of one answer say of its times.
class Timing {
 public:
  Timing(LoadSample& sample, Clock::time_point begin) : sample_(sample), begin_(begin) {}

  void Chunk(int tokens) {
    const Clock::time_point now = Clock::now();
    if (!started_) {
      sample_.first_token_ms = Milliseconds(now - begin_);
    } else if (tokens > 0) {
      // A chunk may bring several tokens at once: each took its part.
      sample_.token_gaps_ms.insert(sample_.token_gaps_ms.end(), static_cast<size_t>(tokens),
                                   Milliseconds(now - last_) / tokens);
    }
    started_ = true;
    last_ = now;
    sample_.tokens += tokens;
  }
  void End() { sample_.total_ms = Milliseconds(Clock::now() - begin_); }

 private:
  LoadSample& sample_;
  const Clock::time_point begin_;
  Clock::time_point last_;
  bool started_ = false;
};

LoadSample SendOne(v1::Inference::Stub& stub, const LoadRun& run, size_t index, Clock::time_point begin) {
  const LoadPrompt& prompt = run.prompts[index];
  LoadSample sample;
  sample.task = prompt.task, sample.prompt = prompt.prompt, sample.expected = prompt.expected;
  v1::GenerateRequest request;
  request.set_task(prompt.task);
  request.set_text(prompt.prompt);
  request.mutable_sampling()->set_temperature(0.0f);
  request.mutable_sampling()->set_max_tokens(run.max_tokens);
  grpc::ClientContext context;
  PrepareContext(run.connection, context);
  Timing timing(sample, begin);
  auto reader = stub.Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    if (response.has_chunk()) {
      timing.Chunk(response.chunk().token_ids_size());
      sample.answer += response.chunk().text();
      if (run.board) run.board->Append(index, response.chunk().text());
    } else if (response.has_end()) {
      sample.tokens = static_cast<int>(response.end().usage().output_tokens());
    }
  }
  const grpc::Status status = reader->Finish();
  timing.End();
  if (!status.ok()) {
    sample.error = ErrorText(status, run.connection.server);
    sample.error_code = ErrorCodeName(status);
  }
  return sample;
}

}  // namespace

std::vector<LoadSample> SendLoad(const LoadRun& run) {
  std::vector<LoadSample> samples(run.prompts.size());
  std::atomic<size_t> next{0};
  const auto channel = OpenChannel(run.connection);
  const Clock::time_point start = Clock::now();
  const auto work = [&] {
    auto stub = v1::Inference::NewStub(channel);
    for (size_t i = next++; i < run.prompts.size(); i = next++) {
      Clock::time_point begin = Clock::now();
      if (!run.due.empty()) {
        begin =
            start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(run.due[i]));
        std::this_thread::sleep_until(begin);
      }
      samples[i] = SendOne(*stub, run, i, begin);
    }
  };
  std::vector<std::jthread> streams;
  const size_t count = std::min(static_cast<size_t>(run.streams), run.prompts.size());
  for (size_t s = 0; s < count; ++s) streams.emplace_back(work);
  streams.clear();
  return samples;
}

}  // namespace guildhall
